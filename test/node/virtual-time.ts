import { setImmediate as turn } from "node:timers/promises";
import type { Clock, Scheduler } from "../../src/stdx/mod.ts";

interface Due {
  readonly at: number;
  /** In the order asked for, among those of one time. */
  readonly order: number;
  readonly work: () => void;
  isCancelled: boolean;
}

/**
 * Time that the test moves. Whatever is scheduled happens in one order, the same in every run; between
 * two pieces of work all promises that can settle do.
 */
export class VirtualTime {
  #now: number;
  #order = 0;
  /** A binary heap, the earliest first. */
  readonly #heap: Due[] = [];

  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  get now(): number {
    return this.#now;
  }

  /** A clock that is `skewMs` ahead. */
  clock(skewMs = 0): Clock {
    return { now: () => this.#now + skewMs };
  }

  /** Schedules work; `run` may keep it for later, or forget it, as a process does that has died. */
  scheduler(run: (work: () => void) => void = (work) => work()): Scheduler {
    const after = (ms: number, work: () => void): (() => void) => {
      const due = this.#add(ms, () => run(work));
      return () => (due.isCancelled = true);
    };
    return {
      soon: (work) => void after(0, work),
      after,
      every: (ms, work) => {
        let cancel = after(ms, again);
        function again(): void {
          cancel = after(ms, again);
          work();
        }
        return () => cancel();
      },
    };
  }

  /** Lets `ms` milliseconds pass. */
  async run(ms: number): Promise<void> {
    const end = this.#now + ms;
    await turn();
    for (let due = this.#take(end); due !== undefined; due = this.#take(end)) {
      this.#now = Math.max(this.#now, due.at);
      due.work();
      await turn();
    }
    this.#now = end;
  }

  /** Lets `ms` milliseconds pass at once: what is due happens, and nothing else has a turn. */
  pass(ms: number): void {
    const end = this.#now + ms;
    for (let due = this.#take(end); due !== undefined; due = this.#take(end)) {
      this.#now = Math.max(this.#now, due.at);
      due.work();
    }
    this.#now = end;
  }

  /** Lets time pass until `test` holds. False if it does not within `ms`. */
  async until(test: () => boolean, ms = 60_000): Promise<boolean> {
    const end = this.#now + ms;
    await turn();
    while (!test()) {
      const due = this.#take(end);
      if (due === undefined) {
        this.#now = end;
        return test();
      }
      this.#now = Math.max(this.#now, due.at);
      due.work();
      await turn();
    }
    return true;
  }

  /** The outcome of `work`, for which time passes; fails if it takes longer than `ms`. */
  async finish<T>(work: Promise<T>, ms = 60_000): Promise<T> {
    let isOver = false;
    work.then(
      () => (isOver = true),
      () => (isOver = true),
    );
    if (!(await this.until(() => isOver, ms))) throw new Error(`Not over after ${ms} ms`);
    return work;
  }

  #add(ms: number, work: () => void): Due {
    const due = { at: this.#now + Math.max(0, ms), order: this.#order++, work, isCancelled: false };
    const heap = this.#heap;
    let i = heap.push(due) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(due, heap[parent] as Due)) break;
      heap[i] = heap[parent] as Due;
      i = parent;
    }
    heap[i] = due;
    return due;
  }

  #take(end: number): Due | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.at > end) return undefined;
      this.#removeFirst();
      if (!first.isCancelled) return first;
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop() as Due;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Due, heap[child] as Due)) child++;
      if (!isBefore(heap[child] as Due, last)) break;
      heap[i] = heap[child] as Due;
      i = child;
    }
    heap[i] = last;
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
