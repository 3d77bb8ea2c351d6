import { assert } from "../stdx/mod.ts";

/** What a batch carries in its header to be known again where it is applied. */
export interface BatchName {
  readonly life: number;
  readonly seq: number;
}

const U32 = 2 ** 32;

/**
 * Numbers the batches of one life of this member. The header has 32 bits for them; past those the
 * next life begins, so that a number means one batch for ever.
 */
export class BatchNumbers {
  readonly #firstLife: number;
  #next: number;

  /** `life`: drawn for this start, 32 bits; `next` is for tests. */
  constructor(life: number, next = 1) {
    this.#firstLife = life;
    this.#next = next;
  }

  take(): number {
    const number = this.#next++;
    assert(Number.isSafeInteger(number), "Numbers of batches are used up");
    return number;
  }

  nameOf(number: number): BatchName {
    return { life: (this.#firstLife + Math.floor(number / U32)) % U32, seq: number % U32 };
  }

  /** The number of the batch, or `undefined` if it is not of this start of the member. */
  numberOf({ life, seq }: BatchName): number | undefined {
    const number = ((life - this.#firstLife + U32) % U32) * U32 + seq;
    return number < this.#next ? number : undefined;
  }
}
