import type { TenantLimits } from "../core/types/mod.ts";

/**
 * How many requests of one tenant this member takes: a token bucket, refilled evenly and never over the
 * burst. What is refused leaves paced too, no faster than the tenant's own rate, as long as that holds
 * none of it back for longer than `PACED_MS_MAX`. A client that asks again as soon as it is answered,
 * which is what floods are made of, thereby slows itself down to that pace.
 */

/** Milliseconds that a refusal is held back at most to keep to the pace. */
export const PACED_MS_MAX = 1000;
/** Refusals leave at least this far apart, so that no tenant holds back more than a thousand. */
const PACE_MS_MIN = 1;

/** `at` is of a clock that never goes back, in milliseconds. */
export class RequestRate {
  #tokens = 0;
  /** When `#tokens` was right; undefined: full. */
  #at: number | undefined;
  /** When the next refusal may leave. */
  #nextRefusal = 0;

  /** Takes one request; false: it is over the limit. */
  take(limits: TenantLimits, at: number): boolean {
    const { requestsPerSecond } = limits;
    if (requestsPerSecond === undefined) {
      this.#at = undefined;
      return true;
    }
    const burst = burstOf(limits);
    const earned = this.#at === undefined ? burst : ((at - this.#at) * requestsPerSecond) / 1000;
    this.#tokens = Math.min(burst, this.#tokens + earned);
    this.#at = at;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /**
   * How long the refusal of a request of now is to be held back to keep to the pace, in milliseconds;
   * undefined: a second's worth waits already, so this is a flood.
   */
  pace({ requestsPerSecond = 0 }: TenantLimits, at: number): number | undefined {
    const leaves = Math.max(at, this.#nextRefusal);
    if (leaves - at >= PACED_MS_MAX) return undefined;
    this.#nextRefusal = leaves + Math.max(PACE_MS_MIN, 1000 / requestsPerSecond);
    return leaves - at;
  }
}

/** One second's worth unless it is set. */
function burstOf({ requestsPerSecond = 0, requestBurst }: TenantLimits): number {
  return Math.max(1, requestBurst ?? requestsPerSecond);
}
