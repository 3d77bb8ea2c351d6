import type { Cancel } from "../../src/stdx/mod.ts";

/**
 * Virtual time. Everything that happens is an event at a millisecond; events of one moment happen in
 * the order they were asked for. Between two events all promises that wait for nothing outside go on.
 */

/** Who an event happens to: a process that may be dead, or busy for a while. */
export interface Owner {
  readonly isAlive: boolean;
  /** Nothing happens to it before. */
  busyUntil: number;
  /** Milliseconds that the event in hand has taken so far. */
  spent: number;
}

interface Item {
  /** When it happens; later than `due` if its owner is busy then. */
  at: number;
  readonly due: number;
  readonly order: number;
  readonly owner: Owner | undefined;
  work: (() => void) | undefined;
}

/** Events per turn of the real event loop. */
const TURN_EVENTS = 32;
/** The last lines that are kept for a failure. */
const LINES_KEPT = 60;

export class Engine {
  /** Milliseconds since the run began. */
  now = 0;
  /** Events so far. */
  steps = 0;
  /** What went wrong first. */
  failure: Error | undefined;
  /** Prints every line as it comes. */
  readonly #print: ((line: string) => void) | undefined;
  readonly #heap: Item[] = [];
  readonly #lines: string[] = [];
  #order = 0;
  #hash = 0x811c9dc5;
  #current: Owner | undefined;

  constructor(print?: (line: string) => void) {
    this.#print = print;
  }

  /** Equal for equal runs. */
  get traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  get lastLines(): readonly string[] {
    return this.#lines;
  }

  /** The moment at which the event in hand has come. */
  get moment(): number {
    return this.now + (this.#current?.spent ?? 0);
  }

  at(time: number, owner: Owner | undefined, work: () => void): Cancel {
    const at = Math.max(time, this.now);
    const item: Item = { at, due: at, order: this.#order++, owner, work };
    this.#push(item);
    return () => {
      item.work = undefined;
    };
  }

  after(ms: number, owner: Owner | undefined, work: () => void): Cancel {
    return this.at(this.moment + Math.max(0, ms), owner, work);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, undefined, resolve));
  }

  /** Tells of something that happened, for the trace. */
  note(line: string): void {
    let hash = this.#hash ^ this.now;
    for (let i = 0; i < line.length; i++) hash = Math.imul(hash ^ line.charCodeAt(i), 0x01000193);
    this.#hash = hash;
    const text = `${this.now} ms, step ${this.steps}: ${line}`;
    if (this.#print !== undefined) this.#print(text);
    this.#lines.push(text);
    if (this.#lines.length > 2 * LINES_KEPT) this.#lines.splice(0, LINES_KEPT);
  }

  /** Ends the run. */
  fail(error: unknown): void {
    if (this.failure !== undefined) return;
    this.failure = error instanceof Error ? error : new Error(String(error));
    this.note(`FAILED: ${this.failure.message}`);
  }

  /** Lets events happen until `isDone`, `until`, a failure, or nothing is left. */
  run(until: number, isDone: () => boolean = () => false): Promise<void> {
    return new Promise((resolve) => {
      let isOver = false;
      const turn = (): void => {
        for (let i = 0; i < TURN_EVENTS; i++) setImmediate(one);
        setImmediate(() => {
          if (isOver) resolve();
          else turn();
        });
      };
      const one = (): void => {
        if (isOver) return;
        if (this.failure !== undefined || isDone() || !this.#step(until)) isOver = true;
      };
      turn();
    });
  }

  #step(until: number): boolean {
    for (;;) {
      const item = this.#heap[0];
      if (item === undefined) return false;
      if (item.at > until) {
        this.now = until;
        return false;
      }
      this.#pop();
      const { work, owner } = item;
      if (work === undefined || owner?.isAlive === false) continue;
      if (owner !== undefined && owner.busyUntil > item.at) {
        item.at = owner.busyUntil;
        this.#push(item);
        continue;
      }
      this.#happen(item.at, owner, work);
      return true;
    }
  }

  #happen(at: number, owner: Owner | undefined, work: () => void): void {
    this.now = at;
    this.steps += 1;
    this.#current = owner;
    if (owner !== undefined) owner.spent = 0;
    try {
      work();
    } catch (error) {
      if (owner?.isAlive !== false) this.fail(error);
    }
    if (owner !== undefined) {
      owner.busyUntil = Math.max(owner.busyUntil, at + owner.spent);
      owner.spent = 0;
    }
    this.#current = undefined;
  }

  #push(item: Item): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(item);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above]!;
      if (!isBefore(item, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = item;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below += 1;
      if (!isBefore(heap[below]!, last)) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
  }
}

function isBefore(a: Item, b: Item): boolean {
  if (a.at !== b.at) return a.at < b.at;
  if (a.due !== b.due) return a.due < b.due;
  return a.order < b.order;
}
