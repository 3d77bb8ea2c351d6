import { type Prng, createPrng } from "../../src/stdx/mod.ts";
import { StickyClient, type Target, keyBytes, pause, spread, textOfError } from "./world.ts";

/** Writers that go on whatever happens; each sends a request that failed once more, to another member. */

export interface LoadOptions {
  readonly writers: number;
  /** Mean rest of each writer between an answer and its next request; 0: none. */
  readonly restMs: number;
  readonly valueBytes: number;
}

/** An answered write. Times of `performance.now()`. */
export interface Answered {
  readonly sent: number;
  readonly at: number;
}

/** A write that failed twice. */
export interface Failed {
  readonly at: number;
  readonly why: string;
}

export class WriteLoad implements AsyncDisposable {
  readonly answered: Answered[] = [];
  readonly failed: Failed[] = [];
  /** Requests that failed and were sent again, by when they failed. */
  readonly retried: number[] = [];
  readonly #stop = new AbortController();
  readonly #writers: readonly Promise<void>[];
  readonly #options: LoadOptions;

  constructor(target: Target, options: LoadOptions) {
    this.#options = options;
    this.#writers = Array.from({ length: options.writers }, (_, index) =>
      this.#write(new StickyClient(target, index), createPrng(index + 1)),
    );
  }

  /** Resolves with the first answer to a write that was sent at or after `time`. */
  async answerSince(time: number, limitMs: number): Promise<Answered> {
    const end = performance.now() + limitMs;
    while (performance.now() < end) {
      const first = this.answered
        .slice(-WINDOW)
        .filter(({ sent }) => sent >= time)
        .toSorted((a, b) => a.at - b.at)[0];
      if (first !== undefined) return first;
      await pause(5, this.#stop.signal);
    }
    throw new Error(`No write was answered for ${limitMs} ms`);
  }

  /** The longest time without an answer between two moments, in milliseconds. */
  longestGap(from: number, to: number): number {
    const inside = this.answered.map(({ at }) => at).filter((at) => at >= from && at <= to);
    let longest = 0;
    let last = from;
    for (const at of [...inside.sort((a, b) => a - b), to]) {
      longest = Math.max(longest, at - last);
      last = at;
    }
    return longest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#writers);
  }

  async #write(sticky: StickyClient, prng: Prng): Promise<void> {
    const { signal } = this.#stop;
    const value = Buffer.alloc(this.#options.valueBytes, 120);
    for (let i = 0; !signal.aborted; i++) {
      const key = keyBytes(`load/${prng.below(KEYS)}`);
      const sent = performance.now();
      const send = async (): Promise<void> => void (await sticky.client.put({ key, value }));
      try {
        await send().catch(async () => {
          this.retried.push(performance.now());
          sticky.move();
          await send();
        });
        this.answered.push({ sent, at: performance.now() });
      } catch (error) {
        this.failed.push({ at: performance.now(), why: textOfError(error) });
        sticky.move();
      }
      const rest = this.#options.restMs;
      if (rest > 0) await pause(spread(prng, rest), signal);
    }
    await sticky.close();
  }
}

const WINDOW = 200;
const KEYS = 1000;
