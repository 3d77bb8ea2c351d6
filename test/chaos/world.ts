import { setTimeout as delay } from "node:timers/promises";
import type { Client, ClientOptions } from "../../src/client/mod.ts";
import { CofferError, type ErrorCode } from "../../src/errors.ts";
import type { Prng } from "../../src/stdx/mod.ts";
import type { HistoryWriter } from "./history.ts";

/** What a run is aimed at: members by name, each with its own endpoint. */
export interface Target extends AsyncDisposable {
  readonly members: readonly string[];
  open(member: string, options?: Partial<ClientOptions>): Client;
}

/** What all clients of a run share. */
export interface World {
  readonly target: Target;
  readonly history: HistoryWriter;
  /** Aborted when no more is to be begun. */
  readonly stop: AbortSignal;
  /** A number that no process had. */
  nextProcess(): number;
  /** A value that was never written. */
  nextValue(): string;
}

export function createWorld(target: Target, history: HistoryWriter, stop: AbortSignal): World {
  let processes = 0;
  let values = 0;
  return {
    target,
    history,
    stop,
    nextProcess: () => processes++,
    nextValue: () => `v${++values}`,
  };
}

export const CALL_MS_MAX = 4000;

/** A client that keeps to one member until something goes wrong there. */
export class StickyClient {
  readonly #target: Target;
  readonly #clients = new Map<string, Client>();
  #at: number;

  constructor(target: Target, first: number) {
    this.#target = target;
    this.#at = first;
  }

  get member(): string {
    const { members } = this.#target;
    return members[this.#at % members.length] ?? "";
  }

  get client(): Client {
    const { member } = this;
    const known = this.#clients.get(member);
    if (known !== undefined) return known;
    const options = { timeoutMs: CALL_MS_MAX, dialTimeoutMs: DIAL_MS_MAX };
    const made = this.#target.open(member, options);
    this.#clients.set(member, made);
    return made;
  }

  move(): void {
    this.#at++;
  }

  /** Does not wait for members that do not answer. */
  async close(): Promise<void> {
    const all = [...this.#clients.values()].map((client) => client.close());
    await Promise.race([Promise.allSettled(all), delay(CLOSE_MS_MAX, undefined, { ref: false })]);
  }
}

const DIAL_MS_MAX = 2000;
const CLOSE_MS_MAX = 2000;

/** Errors that prove that nothing happened: the request was refused before anything was proposed. */
const REFUSED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "key-empty",
  "key-not-found",
  "key-too-long",
  "value-provided",
  "lease-provided",
  "too-many-ops",
  "duplicate-key",
  "invalid-sort-option",
  "request-too-large",
  "compacted",
  "future-revision",
  "no-space",
  "too-many-requests",
  "lease-not-found",
  "lease-exists",
  "lease-ttl-too-large",
  "not-supported-for-learner",
  "permission-denied",
  "invalid-token",
  "no-identity",
  "unimplemented",
  "invalid-argument",
]);

/** Whether `error` leaves open if the request took effect. */
export function isUnknown(error: unknown): boolean {
  if (!(error instanceof CofferError)) return true;
  if (REFUSED.has(error.code)) return false;
  if (error.code !== "unreachable") return true;
  // Nobody listened, or the dial took too long: nothing was ever sent.
  const { cause } = error;
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return code !== "ECONNREFUSED" && code !== "ETIMEDOUT";
}

export function textOfError(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0]?.slice(0, 200) ?? "";
}

/** Waits `ms` or until the run stops; never throws. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

/** Times around `meanMs`, from 0 to its double. */
export function spread(prng: Prng, meanMs: number): number {
  return prng.next() * 2 * meanMs;
}

/** A key in the form of the history. Keys of a run are ASCII. */
export function keyBytes(key: string): Uint8Array {
  return Buffer.from(key, "latin1");
}

export function textOfBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
