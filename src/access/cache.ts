/**
 * A map of bounded weight that forgets what has not been used for longest, in two generations: what
 * is used moves to the young one; when that holds half the budget, the old one is dropped whole and
 * the young one becomes old. So nothing used within the last half budget is lost, a hit is one
 * lookup, and a flood of new keys costs no more than the budget.
 */
export interface Cache<V> {
  get(key: string): V | undefined;
  set(key: string, value: V): void;
  delete(key: string): void;
  /** Of all entries held. At most the budget, but for one entry heavier than half of it. */
  weight(): number;
  size(): number;
}

export function createCache<V>(options: {
  readonly weightMax: number;
  readonly weigh: (key: string, value: V) => number;
}): Cache<V> {
  const { weightMax, weigh } = options;
  let young = new Map<string, V>();
  let old = new Map<string, V>();
  let youngWeight = 0;
  let oldWeight = 0;

  const set = (key: string, value: V): void => {
    remove(key);
    const weight = weigh(key, value);
    if (young.size > 0 && youngWeight + weight > weightMax / 2) {
      old = young;
      oldWeight = youngWeight;
      young = new Map();
      youngWeight = 0;
    }
    young.set(key, value);
    youngWeight += weight;
  };

  const remove = (key: string): void => {
    const inYoung = young.get(key);
    if (inYoung !== undefined) {
      young.delete(key);
      youngWeight -= weigh(key, inYoung);
      return;
    }
    const inOld = old.get(key);
    if (inOld === undefined) return;
    old.delete(key);
    oldWeight -= weigh(key, inOld);
  };

  const get = (key: string): V | undefined => {
    const inYoung = young.get(key);
    if (inYoung !== undefined) return inYoung;
    const inOld = old.get(key);
    if (inOld !== undefined) set(key, inOld);
    return inOld;
  };

  return {
    get,
    set,
    delete: remove,
    weight: () => youngWeight + oldWeight,
    size: () => young.size + old.size,
  };
}
