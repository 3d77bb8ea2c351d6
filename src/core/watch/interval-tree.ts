import { type Key, type KeyRange } from "../types/mod.ts";
import { type Prng, assert } from "../../stdx/mod.ts";

/**
 * A map from key ranges to values that answers "which ranges hold this key" in time logarithmic in
 * the ranges plus linear in the answer: a treap ordered by range, each node knowing the highest end
 * below it (Cormen et al., Introduction to Algorithms, section 14.3 "Interval trees"). Priorities
 * come from a seeded generator, so no client can choose an order that makes the tree deep.
 */
export class IntervalTree<T> {
  readonly #prng: Prng;
  #root: Node<T> | undefined;
  #size = 0;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  get size(): number {
    return this.#size;
  }

  get(range: KeyRange): T | undefined {
    let node = this.#root;
    while (node !== undefined) {
      const order = compareRanges(range, node.range);
      if (order === 0) return node.value;
      node = order < 0 ? node.left : node.right;
    }
    return undefined;
  }

  /** `range` must not be held yet. */
  insert(range: KeyRange, value: T): void {
    const priority = this.#prng.next();
    const node = { range, value, priority, maxHi: range.hi, left: undefined, right: undefined };
    this.#root = insertNode(this.#root, node);
    this.#size++;
  }

  /** `range` must be held. */
  delete(range: KeyRange): void {
    this.#root = deleteNode(this.#root, range);
    this.#size--;
  }

  /** Calls `visit` with the value of each range that holds `key`, in order of the ranges. */
  stab(key: Key, visit: (value: T) => void): void {
    stabNode(this.#root, key, visit);
  }
}

interface Node<T> {
  readonly range: KeyRange;
  readonly value: T;
  readonly priority: number;
  /** The highest `hi` of this subtree; undefined, as in a range, is above all keys. */
  maxHi: Key | undefined;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
}

function compareRanges(a: KeyRange, b: KeyRange): number {
  if (a.lo !== b.lo) return a.lo < b.lo ? -1 : 1;
  if (a.hi === b.hi) return 0;
  if (a.hi === undefined) return 1;
  return b.hi === undefined || a.hi < b.hi ? -1 : 1;
}

function higher(a: Key | undefined, b: Key | undefined): Key | undefined {
  if (a === undefined || b === undefined) return undefined;
  return a > b ? a : b;
}

function renew<T>(node: Node<T>): Node<T> {
  let maxHi = node.range.hi;
  if (node.left !== undefined) maxHi = higher(maxHi, node.left.maxHi);
  if (node.right !== undefined) maxHi = higher(maxHi, node.right.maxHi);
  node.maxHi = maxHi;
  return node;
}

function insertNode<T>(node: Node<T> | undefined, fresh: Node<T>): Node<T> {
  if (node === undefined) return fresh;
  const order = compareRanges(fresh.range, node.range);
  assert(order !== 0, "Interval tree holds the range already");
  if (order < 0) {
    node.left = insertNode(node.left, fresh);
    return node.left.priority < node.priority ? rotateRight(node, node.left) : renew(node);
  }
  node.right = insertNode(node.right, fresh);
  return node.right.priority < node.priority ? rotateLeft(node, node.right) : renew(node);
}

function rotateRight<T>(node: Node<T>, left: Node<T>): Node<T> {
  node.left = left.right;
  left.right = renew(node);
  return renew(left);
}

function rotateLeft<T>(node: Node<T>, right: Node<T>): Node<T> {
  node.right = right.left;
  right.left = renew(node);
  return renew(right);
}

function deleteNode<T>(node: Node<T> | undefined, range: KeyRange): Node<T> | undefined {
  assert(node !== undefined, "Interval tree does not hold the range");
  const order = compareRanges(range, node.range);
  if (order === 0) return merge(node.left, node.right);
  if (order < 0) node.left = deleteNode(node.left, range);
  else node.right = deleteNode(node.right, range);
  return renew(node);
}

/** One treap of two, all ranges of the first before all of the second. */
function merge<T>(a: Node<T> | undefined, b: Node<T> | undefined): Node<T> | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  if (a.priority < b.priority) {
    a.right = merge(a.right, b);
    return renew(a);
  }
  b.left = merge(a, b.left);
  return renew(b);
}

function stabNode<T>(node: Node<T> | undefined, key: Key, visit: (value: T) => void): void {
  if (node === undefined || (node.maxHi !== undefined && node.maxHi <= key)) return;
  stabNode(node.left, key, visit);
  const { lo, hi } = node.range;
  if (lo > key) return;
  if (hi === undefined || key < hi) visit(node.value);
  stabNode(node.right, key, visit);
}
