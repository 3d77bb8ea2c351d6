import { CofferError, errorRow } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import { parseKeyId } from "./key-id.ts";
import { deriveCipherKey } from "./key-material.ts";
import type { RootKeyProvider } from "./root-key-provider.ts";
import { checkCommitment, wrapContext } from "./wrapped-key.ts";
import type { KeyHeader, KeyPlace, WrappedKey } from "./wrapped-key.ts";
import type { CipherKey } from "./xchacha.ts";

export interface RootKeysDeps {
  readonly place: KeyPlace;
  readonly provider: RootKeyProvider;
  /** The wrapped keys of the cluster's scope. */
  readonly wrapped: () => readonly WrappedKey[];
  readonly clock: Clock;
}

interface Held {
  readonly cipherKey: CipherKey;
  readonly commitment: Uint8Array;
}

/** While sealed, requests ask the provider again at most this often. */
const RETRY_MS = 1000;

/**
 * The root keys this member could open.
 *
 *     stale --use or unseal--> asking (only if the provider answers later) --> open | sealed
 *     open, sealed --invalidate--> stale       sealed --use after RETRY_MS, unseal--> asking
 *
 * Of a root key only the key derived for wrapping is held, never the root key itself.
 */
export class RootKeys {
  readonly #deps: RootKeysDeps;
  readonly #held = new Map<string, Held>();
  #phase: "stale" | "asking" | "open" | "sealed" | "closed" = "stale";
  #active: KeyHeader | undefined;
  #failure: CofferError | undefined;
  #failedAt = 0;
  #asking: Promise<void> = Promise.resolve();

  constructor(deps: RootKeysDeps) {
    this.#deps = deps;
  }

  /** The header of the root key that wraps new keys. Throws `sealed`. */
  active(): KeyHeader {
    this.#ensureOpen();
    if (this.#active === undefined) throw this.#sealed();
    return this.#active;
  }

  /** The wrapping key of root key `id`. Throws `sealed` if this member could not open it. */
  wrappingKey(id: string): CipherKey {
    this.#ensureOpen();
    const held = this.#held.get(id);
    if (held === undefined) throw new CofferError("sealed", `root key ${id} could not be opened`);
    return held.cipherKey;
  }

  /** Asks the provider for what is missing. Rejects with `sealed`, naming the cause. */
  async unseal(): Promise<void> {
    if (this.#phase === "closed") throw this.#sealed();
    if (this.#phase === "asking") await this.#asking;
    // What was asked for may be stale by now, and a failure is worth another try.
    if (this.#phase !== "open") await this.#ask();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The wrapped keys changed. Keys already open stay so if they are still the ones recorded. */
  invalidate(): void {
    if (this.#phase !== "closed") this.#phase = "stale";
  }

  /** Why nothing can be opened, or `undefined`. */
  sealedReason(): string | undefined {
    if (this.#phase === "closed") return "the keyring is closed";
    if (this.#phase === "stale") this.#askNow();
    if (this.#phase === "asking") return `waiting for ${this.#deps.provider.description}`;
    return this.#failure === undefined ? undefined : detailOf(this.#failure);
  }

  close(): void {
    this.#phase = "closed";
    for (const id of this.#held.keys()) this.#drop(id);
  }

  #ensureOpen(): void {
    if (this.#phase === "open") return;
    const now = this.#deps.clock.now();
    const due = this.#phase === "sealed" && now - this.#failedAt >= RETRY_MS;
    if (this.#phase === "stale" || due) this.#askNow();
    if ((this.#phase as string) !== "open") throw this.#sealed();
  }

  #askNow(): void {
    void this.#ask(); // Never rejects; an answer that comes at once is there on return.
  }

  #ask(): Promise<void> {
    const answers = this.#request();
    if (answers.length === 0) {
      this.#settle();
      return Promise.resolve();
    }
    this.#phase = "asking";
    this.#asking = Promise.all(answers).then(() => {
      if (this.#phase === "asking") this.#settle();
    });
    return this.#asking;
  }

  /** Asks for every root key not held; answers the promises of those that come later. */
  #request(): readonly Promise<void>[] {
    this.#failure = undefined;
    this.#active = undefined;
    const later: Promise<void>[] = [];
    for (const wrapped of this.#readWrapped()) {
      const fail = (cause: unknown): void => this.#fail(cause);
      try {
        const box = { keyId: wrapped.parent, ciphertext: wrapped.ciphertext };
        const answer = this.#deps.provider.unwrap(box, rootKeyContext(wrapped, this.#deps.place));
        if (answer instanceof Promise) {
          later.push(answer.then((key) => this.#accept(wrapped, key)).catch(fail));
        } else {
          this.#accept(wrapped, answer);
        }
      } catch (cause) {
        fail(cause);
      }
    }
    return later;
  }

  /** The root keys to ask for; sets which is active and drops those no longer recorded. */
  #readWrapped(): readonly WrappedKey[] {
    let recorded: readonly WrappedKey[] = [];
    try {
      recorded = this.#deps.wrapped().filter((one) => parseKeyId(one.id)?.kind === "root");
    } catch (cause) {
      this.#fail(cause);
    }
    const usable = recorded.filter((one) => one.state !== "destroyed");
    for (const id of this.#held.keys()) {
      if (!usable.some((one) => one.id === id && this.#holds(one))) this.#drop(id);
    }
    this.#active = usable
      .filter((one) => one.state === "active")
      .reduce<WrappedKey | undefined>(
        (a, b) => (a && versionOf(a) > versionOf(b) ? a : b),
        undefined,
      );
    return usable.filter((one) => !this.#holds(one));
  }

  #accept(wrapped: WrappedKey, key: Uint8Array): void {
    checkCommitment(key, wrapped, this.#deps.place);
    const cipherKey = deriveCipherKey(key, "root key", "wrap");
    key.fill(0);
    if (this.#phase === "closed") {
      cipherKey.fill(0);
      return;
    }
    this.#drop(wrapped.id);
    this.#held.set(wrapped.id, { cipherKey, commitment: wrapped.commitment });
  }

  /** One provider of several may fail; that matters only if the active key stays closed. */
  #settle(): void {
    if (this.#active !== undefined && this.#held.has(this.#active.id)) {
      this.#phase = "open";
      this.#failure = undefined;
      return;
    }
    this.#phase = "sealed";
    this.#failedAt = this.#deps.clock.now();
    this.#failure ??= new CofferError("sealed", "this cluster has no active root key");
  }

  #fail(cause: unknown): void {
    const description = this.#deps.provider.description;
    this.#failure ??=
      cause instanceof CofferError
        ? cause
        : new CofferError("sealed", `${description} failed; see the log`, { cause });
  }

  #holds(wrapped: WrappedKey): boolean {
    const held = this.#held.get(wrapped.id);
    return held !== undefined && Buffer.compare(held.commitment, wrapped.commitment) === 0;
  }

  #drop(id: string): void {
    this.#held.get(id)?.cipherKey.fill(0);
    this.#held.delete(id);
  }

  /** What a request gets: paths and ids of keys are for the operator, not for clients. */
  #sealed(): CofferError {
    return new CofferError("sealed", undefined, { cause: this.#failure });
  }
}

/**
 * What a provider binds to a root key; not its own key's id, which it may choose while wrapping.
 */
export function rootKeyContext(header: KeyHeader, place: KeyPlace): Uint8Array {
  return wrapContext({ ...header, parent: "" }, place);
}

function versionOf(wrapped: WrappedKey): number {
  return parseKeyId(wrapped.id)?.number ?? 0;
}

function detailOf(error: CofferError): string {
  const text = `${errorRow("sealed").text}: `;
  return error.message.startsWith(text) ? error.message.slice(text.length) : error.message;
}
