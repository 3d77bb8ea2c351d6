import { assert } from "../../stdx/mod.ts";

/**
 * The append messages on their way to one peer: their last indexes, in order, in a ring. Bounded by
 * count and by bytes; a single message may exceed the bytes, so that any entry can travel.
 */
export class Inflights {
  readonly #countMax: number;
  readonly #bytesMax: number;
  /** Grows to `#countMax` as needed: most peers never have many under way. */
  #indexes: number[] = [];
  #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(limits: { readonly countMax: number; readonly bytesMax: number }) {
    assert(limits.countMax >= 1, "At least one message must be allowed in flight");
    this.#countMax = limits.countMax;
    this.#bytesMax = limits.bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#count === this.#countMax || (this.#count > 0 && this.#bytes >= this.#bytesMax);
  }

  add(index: number, bytes: number): void {
    assert(!this.isFull, "A message was sent past the bound of messages in flight");
    if (this.#count === this.#indexes.length) this.#grow();
    const at = (this.#start + this.#count) % this.#indexes.length;
    this.#indexes[at] = index;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Forgets the messages whose last index is at most `index`. */
  freeTo(index: number): void {
    while (this.#count > 0 && (this.#indexes[this.#start] as number) <= index) {
      this.#bytes -= this.#sizes[this.#start] as number;
      this.#start = (this.#start + 1) % this.#indexes.length;
      this.#count--;
    }
  }

  clear(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const size = Math.min(this.#countMax, Math.max(8, this.#indexes.length * 2));
    const indexes = new Array<number>(size).fill(0);
    const sizes = new Array<number>(size).fill(0);
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#start + i) % this.#indexes.length;
      indexes[i] = this.#indexes[at] as number;
      sizes[i] = this.#sizes[at] as number;
    }
    this.#indexes = indexes;
    this.#sizes = sizes;
    this.#start = 0;
  }
}
