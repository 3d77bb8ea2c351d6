import type { Clock } from "../stdx/mod.ts";
import type { IssuerRecord } from "./issuer-record.ts";
import { keySetOf, parseKeySet, withdrawKeys, type KeySet } from "./key-set.ts";
import type { LoadableKeys, LoadKeys } from "./key-source.ts";
import { refused } from "./refusal.ts";
import { JsonRefused } from "./strict-json.ts";

/**
 * The keys of one issuer over time. jose's remote set fetches again for every request while the
 * endpoint is down and forgets all keys when they grow old; here an endpoint that is down is asked
 * once in a while (1 s doubling to 60 s), off the request path, and known keys last 24 h. They are
 * fetched again every five minutes though no token comes: what runs on one that was verified before must
 * end when its key is withdrawn.
 */
export interface IssuerKeyRing {
  /**
   * The set to verify with, which holds `keyId` if the issuer has it. Waits for a fetch only when
   * nothing is known yet or the key id is new. Rejects with `invalid-token`.
   */
  keysFor(keyId: string | undefined): KeySet | Promise<KeySet>;
  /** Whether only a newer record could bring the key: nothing is fetched for it. */
  lacks(keyId: string | undefined): boolean;
  /** Those known now. */
  readonly known: KeySet | undefined;
  /** Why the last fetch failed; undefined when it did not. */
  readonly failure: string | undefined;
  close(): void;
}

export interface KeyRingDeps {
  readonly clock: Clock;
  readonly load: LoadKeys;
  /** Told when fetching begins to fail, and when it works again. */
  readonly onFailure: (reason: string | undefined) => void;
  /** Told when the issuer no longer holds keys that it held; they are not live any more by then. */
  readonly onWithdrawn: () => void;
}

const REFRESH_MS = 5 * 60_000;
const KEPT_MS_MAX = 24 * 3600_000;
const BACKOFF_MS_MIN = 1000;
const BACKOFF_MS_MAX = 60_000;
/** Requests that may wait for a fetch at once: tokens with made-up key ids must not pile up. */
const WAITERS_MAX = 256;
/** How long a request may wait for the next fetch that is allowed; past it, it is refused. */
const WAIT_MS_MAX = 2000;

export function createKeyRing(
  { issuer, keys }: Pick<IssuerRecord, "issuer" | "keys">,
  deps: KeyRingDeps,
): IssuerKeyRing {
  if (keys.kind === "inline") return fixedRing(keys.keys);
  return new LoadedRing(keys.kind === "discovery" ? { ...keys, issuer } : keys, deps);
}

function fixedRing(keys: Parameters<typeof keySetOf>[0]): IssuerKeyRing {
  let set: KeySet | undefined;
  let failure: string | undefined;
  try {
    set = keySetOf(keys);
  } catch (error) {
    failure = reasonOf(error);
  }
  return {
    keysFor: () => {
      if (set === undefined) throw refused(`the issuer's keys are unusable: ${failure}`);
      return set;
    },
    lacks: (keyId) => keyId !== undefined && set?.keyIds.has(keyId) === false,
    known: set,
    failure,
    close: () => undefined,
  };
}

class LoadedRing implements IssuerKeyRing {
  readonly #keys: LoadableKeys;
  readonly #deps: KeyRingDeps;
  #set: KeySet | undefined;
  /** When `#set` was fetched. */
  #fetchedAt = 0;
  /** No fetch before this. Invariant: moves at least BACKOFF_MS_MIN ahead at each fetch. */
  #nextFetchAt = 0;
  #backoffMs = BACKOFF_MS_MIN;
  #running: Promise<void> | undefined;
  #waiting: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #refresh: NodeJS.Timeout;
  #wake: () => void = () => undefined;
  #waiters = 0;
  #closed = false;
  failure: string | undefined;

  constructor(keys: LoadableKeys, deps: KeyRingDeps) {
    this.#keys = keys;
    this.#deps = deps;
    this.#fetch();
    this.#refresh = setInterval(() => {
      if (deps.clock.now() >= this.#nextFetchAt) this.#fetch();
    }, REFRESH_MS);
    this.#refresh.unref();
  }

  keysFor(keyId: string | undefined): KeySet | Promise<KeySet> {
    const now = this.#deps.clock.now();
    const set = this.#usableSet(now);
    if (set === undefined || (keyId !== undefined && !set.keyIds.has(keyId))) {
      return this.#fetched(now);
    }
    if (now - this.#fetchedAt >= REFRESH_MS && now >= this.#nextFetchAt) this.#fetch();
    return set;
  }

  lacks(): boolean {
    return false;
  }

  get known(): KeySet | undefined {
    return this.#usableSet(this.#deps.clock.now());
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#refresh);
    this.#wake();
  }

  #usableSet(now: number): KeySet | undefined {
    return now - this.#fetchedAt < KEPT_MS_MAX ? this.#set : undefined;
  }

  /** The set after the next fetch, all callers sharing it; the old one if that fails. */
  async #fetched(now: number): Promise<KeySet> {
    if (this.#running === undefined && this.#waiting === undefined) {
      const delay = this.#nextFetchAt - now;
      if (delay <= 0) this.#fetch();
      else if (delay <= WAIT_MS_MAX) this.#waiting = this.#fetchAfter(delay);
    }
    const fetched = this.#waiting ?? this.#running;
    if (fetched !== undefined) await this.#wait(fetched);
    const set = this.#usableSet(this.#deps.clock.now());
    if (set !== undefined) return set;
    throw refused(`the issuer's keys are not known: ${this.failure ?? "not fetched"}`);
  }

  async #wait(fetched: Promise<void>): Promise<void> {
    if (this.#waiters >= WAITERS_MAX) throw refused("too many tokens with unknown keys");
    this.#waiters++;
    try {
      await fetched;
    } finally {
      this.#waiters--;
    }
  }

  #fetchAfter(delay: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#waiting = undefined;
        this.#fetch();
        resolve(this.#running);
      };
      this.#timer = setTimeout(this.#wake, delay);
    });
  }

  #fetch(): void {
    if (this.#closed || this.#running !== undefined) return;
    this.#nextFetchAt = this.#deps.clock.now() + this.#backoffMs;
    this.#running = this.#load().finally(() => {
      this.#running = undefined;
    });
  }

  async #load(): Promise<void> {
    try {
      const former = this.#set;
      const set = parseKeySet(await this.#deps.load(this.#keys), former);
      this.#set = set;
      this.#fetchedAt = this.#deps.clock.now();
      this.#backoffMs = BACKOFF_MS_MIN;
      if (this.failure !== undefined) this.#deps.onFailure(undefined);
      this.failure = undefined;
      if (former !== undefined && withdrawKeys(former, set)) this.#deps.onWithdrawn();
    } catch (error) {
      this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MS_MAX);
      const first = this.failure === undefined;
      this.failure = reasonOf(error);
      if (first) this.#deps.onFailure(this.failure);
    }
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof JsonRefused) return `the document is refused: ${error.message}`;
  return error instanceof Error ? error.message : "unknown";
}
