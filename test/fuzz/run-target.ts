import { createPrng } from "../../src/stdx/mod.ts";
import type { MakeTarget } from "./target.ts";

export interface FuzzRun {
  readonly attempts: number;
  /** The seed of the attempt that failed, and what it threw. */
  readonly failure: { readonly seed: number; readonly error: unknown } | undefined;
}

export interface FuzzBounds {
  /** The first attempt's seed; each later one has the next. */
  readonly seed: number;
  readonly attemptsMax: number;
  readonly msMax: number;
}

/** Runs a target until a bound or the first failure. Each attempt depends on its seed alone. */
export async function runTarget(make: MakeTarget, bounds: FuzzBounds): Promise<FuzzRun> {
  const target = await make();
  const end = performance.now() + bounds.msMax;
  let attempts = 0;
  try {
    for (; attempts < bounds.attemptsMax && performance.now() < end; attempts++) {
      const seed = (bounds.seed + attempts) >>> 0;
      try {
        await target.attempt(createPrng(seed));
      } catch (error) {
        return { attempts: attempts + 1, failure: { seed, error } };
      }
    }
    return { attempts, failure: undefined };
  } finally {
    await target.close?.();
  }
}
