import { type Key, isSingleKey } from "../types/mod.ts";
import { type Prng, assert } from "../../stdx/mod.ts";
import { IntervalTree } from "./interval-tree.ts";
import type { Watcher } from "./watcher.ts";

/**
 * Finds the watchers of a key without asking each: single keys in a map, ranges in an interval tree.
 * Watchers of one range share one place, as when many clients watch the same prefix.
 */
export class WatcherIndex {
  readonly #keys = new Map<Key, Set<Watcher>>();
  readonly #ranges: IntervalTree<Set<Watcher>>;

  constructor(prng: Prng) {
    this.#ranges = new IntervalTree(prng);
  }

  add(watcher: Watcher): void {
    const { range } = watcher;
    const single = isSingleKey(range);
    let group = single ? this.#keys.get(range.lo) : this.#ranges.get(range);
    if (group === undefined) {
      group = new Set();
      if (single) this.#keys.set(range.lo, group);
      else this.#ranges.insert(range, group);
    }
    group.add(watcher);
  }

  delete(watcher: Watcher): void {
    const { range } = watcher;
    const single = isSingleKey(range);
    const group = single ? this.#keys.get(range.lo) : this.#ranges.get(range);
    assert(group !== undefined && group.delete(watcher), "Watcher is not in the index");
    if (group.size > 0) return;
    if (single) this.#keys.delete(range.lo);
    else this.#ranges.delete(range);
  }

  /** Calls `visit` with each watcher of `key`; `visit` must not change the index. */
  match(key: Key, visit: (watcher: Watcher) => void): void {
    this.#keys.get(key)?.forEach(visit);
    if (this.#ranges.size > 0) this.#ranges.stab(key, (group) => group.forEach(visit));
  }
}
