import type { Clock } from "../stdx/mod.ts";

/**
 * The way to what this member has not applied yet. Another one may have taken in an issuer or a key a
 * moment ago and signed with it; a token that comes here first waits once for the newest state before
 * it is refused. Made-up names cannot make a storm of it: askers share one wait, and one begins at most
 * every ASK_GAP_MS.
 */
export interface NewestState {
  /** Resolves when what was answered anywhere before this call is applied here, or after WAIT_MS_MAX. */
  wait(): Promise<void>;
  close(): void;
}

const ASK_GAP_MS = 100;
const WAIT_MS_MAX = 2000;
/** Beyond it nobody waits, and the token is refused by what is known here. */
const WAITERS_MAX = 256;

export function createNewestState(deps: {
  readonly clock: Clock;
  /** Resolves when this member has applied all that was acknowledged before the call. */
  readonly newest: () => Promise<void>;
}): NewestState {
  return new SharedWait(deps);
}

class SharedWait implements NewestState {
  readonly #deps: Parameters<typeof createNewestState>[0];
  readonly #ends = new Set<() => void>();
  #askedAt = Number.NEGATIVE_INFINITY;
  /** The next ask, not begun: one that has begun may have missed what a new caller waits for. */
  #next: Promise<void> | undefined;
  #waiters = 0;
  #isClosed = false;

  constructor(deps: Parameters<typeof createNewestState>[0]) {
    this.#deps = deps;
  }

  async wait(): Promise<void> {
    if (this.#waiters >= WAITERS_MAX) return;
    this.#waiters++;
    try {
      await (this.#next ?? this.#begin());
    } finally {
      this.#waiters--;
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const end of this.#ends) end();
  }

  #begin(): Promise<void> {
    const delay = this.#askedAt + ASK_GAP_MS - this.#deps.clock.now();
    if (delay <= 0) return this.#ask();
    this.#next = this.#after(Math.min(delay, ASK_GAP_MS)).then(() => {
      this.#next = undefined;
      return this.#ask();
    });
    return this.#next;
  }

  async #ask(): Promise<void> {
    if (this.#isClosed) return;
    this.#askedAt = this.#deps.clock.now();
    const asked = this.#deps.newest().catch(() => undefined);
    await this.#after(WAIT_MS_MAX, asked);
  }

  /** Resolves after `ms`, at `close`, or with `sooner`. */
  #after(ms: number, sooner?: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#ends.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#ends.add(end);
      void sooner?.then(end);
    });
  }
}
