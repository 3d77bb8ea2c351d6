import { createPrng } from "../../src/stdx/mod.ts";
import { Finding, type MakeTarget, type Target } from "./target.ts";

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

/** An attempt that takes longer hangs, or lets a stranger keep a member busy. */
const ATTEMPT_MS_MAX = 60_000;

/** Runs a target until a bound or the first failure. Each attempt depends on its seed alone. */
export async function runTarget(make: MakeTarget, bounds: FuzzBounds): Promise<FuzzRun> {
  const target = await make();
  const end = performance.now() + bounds.msMax;
  let attempts = 0;
  try {
    for (; attempts < bounds.attemptsMax && performance.now() < end; attempts++) {
      const seed = (bounds.seed + attempts) >>> 0;
      try {
        await inTime(target, seed);
      } catch (error) {
        return { attempts: attempts + 1, failure: { seed, error } };
      }
    }
    return { attempts, failure: undefined };
  } finally {
    await target.close?.();
  }
}

async function inTime(target: Target, seed: number): Promise<void> {
  const begin = performance.now();
  let late: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    late = setTimeout(() => reject(new Finding("it hangs", `seed ${seed}`)), ATTEMPT_MS_MAX);
  });
  try {
    await Promise.race([target.attempt(createPrng(seed)), hang]);
  } finally {
    clearTimeout(late);
  }
  // A loop without end that came to one after all.
  if (performance.now() - begin > ATTEMPT_MS_MAX) throw new Finding("it was busy", `seed ${seed}`);
}
