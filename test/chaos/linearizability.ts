import type { TxnValue } from "./history.ts";
import { type Op, describeOp } from "./ops.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * Linearizability of each key by itself (G1, G15), from values and times alone: revisions are not
 * looked at here, so that this check and that of `revisions.ts` do not share a mistake.
 *
 * The search is Lowe's just-in-time form of Wing and Gong's: it goes through the calls and returns in
 * order of time and keeps every configuration (value of the key, calls in progress that already took
 * effect) that explains what returned so far. At a return, each configuration is led on through calls
 * in progress until the returning one has taken effect; none left means no explanation.
 *
 * As no value is written twice and everything that looks at the key says what it saw, unknown outcomes
 * are cheap: a write that nobody saw can be left out, and one that was seen took effect before the
 * first that saw it returned. Deletes of unknown outcome are alike, so only their number counts.
 */

/** What an operation says of one key. */
interface KeyOp {
  readonly op: Op;
  readonly start: number;
  readonly end: number;
  /** What was there; undefined: anything. */
  readonly expect: string | null | undefined;
  /** What was not there. */
  readonly unequal: string | null | undefined;
  /** What is there afterwards; undefined: as before. */
  readonly write: string | null | undefined;
}

type Effects = Pick<KeyOp, "expect" | "unequal" | "write">;

const READS: Effects = { expect: undefined, unequal: undefined, write: undefined };

export interface LinearizabilityLimits {
  /** For one key, in milliseconds. */
  readonly timeMs: number;
  /** Configurations at one moment. */
  readonly configurations: number;
}

const LIMITS: LinearizabilityLimits = { timeMs: 120_000, configurations: 200_000 };

export function checkLinearizability(
  ops: readonly Op[],
  limits: LinearizabilityLimits = LIMITS,
): Verdict {
  const findings = new Findings("G1 G15", "linearizable, key by key");
  for (const [key, keyOps] of partition(ops)) {
    findings.checked(keyOps.length);
    const result = searchKey(keyOps, limits);
    if (result.kind === "violated") findings.violated(explain(key, result));
    else if (result.kind === "unknown") findings.unknown(`${key}: ${result.why}`);
  }
  return findings.verdict;
}

function partition(ops: readonly Op[]): ReadonlyMap<string, readonly KeyOp[]> {
  const keys = new Map<string, KeyOp[]>();
  const add = (op: Op, key: string, effects: Effects): void => {
    const list = keys.get(key) ?? [];
    if (list.length === 0) keys.set(key, list);
    list.push({ op, start: op.start, end: op.end, ...effects });
  };
  for (const op of ops) project(op, add);
  return keys;
}

type Add = (op: Op, key: string, effects: Effects) => void;

function project(op: Op, add: Add): void {
  const { done, outcome } = op;
  switch (done.f) {
    case "serializable-read":
      return;
    case "read":
      if (outcome === "ok") add(op, done.key, { ...READS, expect: done.value });
      return;
    case "write":
    case "delete":
      if (outcome !== "fail") add(op, done.key, { ...READS, expect: done.prev, write: done.value });
      return;
    case "cas": {
      const [old, value] = done.value;
      if (outcome !== "fail") add(op, done.key, { ...READS, expect: old, write: value });
      else if (done.prev !== undefined) {
        add(op, done.key, { ...READS, expect: done.prev, unequal: old });
      }
      return;
    }
    case "txn":
      if (outcome === "ok") projectTxn(op, done.value, add);
      else if (outcome === "info") projectUnknownTxn(op, done.value, add);
  }
}

function projectTxn(op: Op, value: TxnValue, add: Add): void {
  const effects = new Map<string, Effects>();
  const of = (key: string): Effects => effects.get(key) ?? READS;
  const [only, ...others] = value.compare;
  if (value.succeeded === true) {
    for (const [key, expect] of value.compare) effects.set(key, { ...of(key), expect });
  } else if (only !== undefined && others.length === 0) {
    effects.set(only[0], { ...READS, unequal: only[1] });
  }
  for (const [kind, key, seen] of value.succeeded === true ? value.success : value.failure) {
    if (kind === "w") effects.set(key, { ...of(key), write: seen });
    else {
      const before = of(key);
      const write = kind === "d" ? null : before.write;
      // A guard and a read that contradict each other: nothing can be both.
      if (before.expect !== undefined && before.expect !== seen) {
        effects.set(key, { expect: seen, unequal: seen, write });
      } else effects.set(key, { ...before, expect: seen, write });
    }
  }
  for (const [key, effect] of effects) add(op, key, effect);
}

function projectUnknownTxn(op: Op, value: TxnValue, add: Add): void {
  const guards = new Map(value.compare);
  for (const [kind, key, written] of value.success) {
    if (kind === "w") add(op, key, { ...READS, expect: guards.get(key), write: written });
    else if (kind === "d") add(op, key, { ...READS, write: null });
  }
  for (const [kind, key, written] of value.failure) {
    if (kind !== "r") add(op, key, { ...READS, write: kind === "d" ? null : written });
  }
}

type Result =
  | { readonly kind: "ok" }
  | { readonly kind: "unknown"; readonly why: string }
  | {
      readonly kind: "violated";
      readonly stuck: KeyOp;
      readonly values: readonly (string | null)[];
      readonly pending: readonly KeyOp[];
      readonly earlier: readonly KeyOp[];
    };

interface Configuration {
  readonly value: string | null;
  /** Bit per slot of a call in progress that took effect. */
  readonly done: bigint;
  /** Deletes of unknown outcome that took effect. */
  readonly deletes: number;
}

/** Bounds the calls whose outcome is unknown by what was seen of them. */
function settle(ops: readonly KeyOp[]): { calls: readonly KeyOp[]; deletes: readonly number[] } {
  const calls = ops.filter((op) => op.end !== Infinity);
  // Deletes that nobody answered; all others of these write a value of their own.
  const deletes = ops.filter((op) => op.end === Infinity && op.write === null);
  let open = ops.filter((op) => op.end === Infinity && op.write !== null);
  const seen = new Map<string, number>();
  const see = ({ expect, end }: KeyOp): void => {
    if (typeof expect !== "string") return;
    seen.set(expect, Math.min(seen.get(expect) ?? Infinity, end));
  };
  calls.forEach(see);
  // A write that was seen happened, and then what it compared was seen by it: until nothing changes.
  for (let before = -1; before !== open.length;) {
    before = open.length;
    open = open.filter((op) => {
      const end = typeof op.write === "string" ? seen.get(op.write) : undefined;
      // Seen before it was sent: whoever saw it will find no explanation.
      if (end === undefined || end < op.start) return true;
      const settled = { ...op, end };
      calls.push(settled);
      see(settled);
      return false;
    });
  }
  return { calls, deletes: deletes.map(({ start }) => start).toSorted((a, b) => a - b) };
}

interface Moment {
  readonly time: number;
  readonly kind: "call" | "return";
  readonly op: KeyOp;
}

function momentsOf(calls: readonly KeyOp[]): readonly Moment[] {
  const moments = calls.flatMap((op): readonly Moment[] => [
    { time: op.start, kind: "call", op },
    { time: op.end, kind: "return", op },
  ]);
  // At one time the calls come first: they overlap then, which accepts more.
  const rank = ({ kind }: Moment): number => (kind === "call" ? 0 : 1);
  return moments.toSorted((a, b) => a.time - b.time || rank(a) - rank(b));
}

function searchKey(ops: readonly KeyOp[], limits: LinearizabilityLimits): Result {
  const { calls, deletes } = settle(ops);
  const until = performance.now() + limits.timeMs;
  const slots: (KeyOp | undefined)[] = [];
  let configurations: readonly Configuration[] = [{ value: null, done: 0n, deletes: 0 }];
  let available = 0;
  const earlier: KeyOp[] = [];
  for (const { time, kind, op } of momentsOf(calls)) {
    while ((deletes[available] ?? Infinity) <= time) available++;
    if (kind === "call") {
      const free = slots.indexOf(undefined);
      slots[free === -1 ? slots.length : free] = op;
      continue;
    }
    const slot = slots.indexOf(op);
    const next = takeEffect(configurations, { slots, slot, available, limits });
    slots[slot] = undefined;
    if (next === undefined) {
      return { kind: "unknown", why: `more than ${limits.configurations} configurations` };
    }
    if (next.length === 0) {
      const values = [...new Set(configurations.map(({ value }) => value))];
      const pending = slots.filter((other) => other !== undefined);
      return { kind: "violated", stuck: op, values, pending, earlier: earlier.slice(-EARLIER) };
    }
    if (performance.now() > until) {
      return { kind: "unknown", why: `not decided within ${limits.timeMs} ms` };
    }
    earlier.push(op);
    configurations = next;
  }
  return { kind: "ok" };
}

const EARLIER = 6;

interface Step {
  readonly slots: readonly (KeyOp | undefined)[];
  /** The call that returns. */
  readonly slot: number;
  readonly available: number;
  readonly limits: LinearizabilityLimits;
}

/**
 * Every configuration in which the call of `slot` has taken effect, that call left out of it. Undefined:
 * more than the limit.
 */
function takeEffect(
  from: readonly Configuration[],
  step: Step,
): readonly Configuration[] | undefined {
  const bit = 1n << BigInt(step.slot);
  const results = new Map<string, Configuration>();
  const seen = new Map<string, number>();
  const stack: Configuration[] = [];
  const visit = (configuration: Configuration): void => {
    const absorbed = absorb(configuration, step);
    const key = keyOf(absorbed);
    // With the same value and calls, fewer deletes used leave more to come.
    if ((seen.get(key) ?? Infinity) <= absorbed.deletes) return;
    seen.set(key, absorbed.deletes);
    if ((absorbed.done & bit) === 0n) stack.push(absorbed);
    else keep({ ...absorbed, done: absorbed.done & ~bit });
  };
  const keep = (configuration: Configuration): void => {
    const key = keyOf(configuration);
    const known = results.get(key);
    if (known === undefined || known.deletes > configuration.deletes) {
      results.set(key, configuration);
    }
  };
  from.forEach(visit);
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (seen.size > step.limits.configurations) return undefined;
    for (const next of successors(top, step)) visit(next);
  }
  return [...results.values()];
}

function keyOf({ value, done }: Configuration): string {
  return `${done.toString(36)} ${value === null ? "-" : `=${value}`}`;
}

function fits({ expect, unequal }: KeyOp, value: string | null): boolean {
  return (expect === undefined || expect === value) && (unequal === undefined || unequal !== value);
}

/** Takes in every call in progress that fits and changes nothing: earlier is never worse for those. */
function absorb(configuration: Configuration, { slots }: Step): Configuration {
  let { done } = configuration;
  slots.forEach((op, index) => {
    if (op === undefined) return;
    // A delete that does not say what it met may find more to delete later.
    const looksOnly = op.write === undefined || (op.expect === op.write && op.write !== undefined);
    if (looksOnly && fits(op, configuration.value)) done |= 1n << BigInt(index);
  });
  return done === configuration.done ? configuration : { ...configuration, done };
}

function successors(from: Configuration, { slots, available }: Step): readonly Configuration[] {
  const next: Configuration[] = [];
  slots.forEach((op, index) => {
    const bit = 1n << BigInt(index);
    if (op?.write === undefined || (from.done & bit) !== 0n || !fits(op, from.value)) return;
    next.push({ ...from, value: op.write, done: from.done | bit });
  });
  if (from.value !== null && from.deletes < available) {
    next.push({ ...from, value: null, deletes: from.deletes + 1 });
  }
  return next;
}

function explain(key: string, result: Result & { readonly kind: "violated" }): string {
  const show = (op: KeyOp): string => `    ${describeOp(op.op)}`;
  return [
    `${key}: no order explains`,
    show(result.stuck),
    `  the key could hold ${result.values.map((value) => JSON.stringify(value)).join(" or ")}`,
    "  in progress then:",
    ...result.pending.map(show),
    "  returned before it:",
    ...result.earlier.map(show),
  ].join("\n");
}
