import { type Prng, createPrng } from "../../src/stdx/mod.ts";
import type {
  FinalLine,
  HistoryLine,
  KeyState,
  LeaseLine,
  MicroOp,
  OpLine,
  TxnValue,
  WatchedEvent,
} from "./history.ts";

/**
 * Histories that are right by construction, for the tests of the checkers: processes whose calls take
 * effect at one moment between question and answer, on one store. Some answers never come.
 */

const MS = 1e6;
const KEYS = ["k0", "k1", "k2"];
const PROCESSES = 5;
const LEASE_TTL_S = 1;

type Line<T> = T extends unknown ? Omit<T, "time"> : never;

/** An operation before it runs: its invocation, and what it does when it takes effect. */
interface Planned {
  readonly invoke: Line<OpLine>;
  /** The answer. */
  readonly effect: () => Line<OpLine>;
}

class Store {
  revision = 1;
  readonly events: WatchedEvent[] = [];
  readonly states = new Map<string, KeyState>();

  value(key: string): string | null {
    return this.states.get(key)?.value ?? null;
  }

  /** One revision of writes; null removes. */
  write(changes: readonly (readonly [string, string | null])[]): number {
    const real = changes.filter(([key, value]) => value !== null || this.states.has(key));
    if (real.length === 0) return this.revision;
    const mod = ++this.revision;
    for (const [key, value] of real) this.#change(key, value, mod);
    return mod;
  }

  #change(key: string, value: string | null, mod: number): void {
    const before = this.states.get(key);
    const prev = before ?? null;
    if (value === null) {
      this.states.delete(key);
      const kv = { key, value: "", create: 0, mod, version: 0 };
      this.events.push({ type: "delete", kv, prev });
      return;
    }
    const create = before?.create ?? mod;
    const kv = { key, value, create, mod, version: (before?.version ?? 0) + 1 };
    this.states.set(key, kv);
    this.events.push({ type: "put", kv, prev });
  }
}

interface Actor {
  process: number;
  /** When it next does something. */
  at: number;
  step: "idle" | "sent" | "done";
  planned: Planned | undefined;
  answer: Line<OpLine> | undefined;
}

/** `ops` calls of five processes on three keys, with two watches, leases, and what two members hold. */
export function goodHistory(seed: number, ops = 200): readonly HistoryLine[] {
  const prng = createPrng(seed);
  const store = new Store();
  const lines: HistoryLine[] = [];
  const actors = Array.from({ length: PROCESSES }, (_, process): Actor => ({
    process,
    at: prng.below(5) * MS,
    step: "idle",
    planned: undefined,
    answer: undefined,
  }));
  const leases = createLeases(store, lines);
  let begun = 0;
  let time = 0;
  while (begun < ops || actors.some(({ step }) => step !== "idle")) {
    const actor = actors.reduce((a, b) => (a.at <= b.at ? a : b));
    time = Math.max(time + 1, actor.at);
    leases.until(time);
    if (actor.step === "idle" && begun < ops) {
      actor.planned = plan(prng, { store, process: actor.process, name: `v${++begun}` });
      lines.push(at<OpLine>(actor.planned.invoke, time));
      actor.step = "sent";
    } else if (actor.step === "sent") {
      actor.step = "done";
      // Some are lost on the way, some on the way back.
      const fate = prng.below(40);
      actor.answer = fate === 0 ? undefined : actor.planned?.effect();
      if (fate === 1) actor.answer = undefined;
    } else if (actor.step === "done") {
      answer(actor, { lines, time });
      actor.step = "idle";
    }
    const rest = actor.step === "idle" && begun >= ops ? Infinity : prng.below(16) * MS + 1;
    actor.at = time + rest;
  }
  leases.until(time + 10_000 * MS);
  lines.push(...watchLines(store, time), ...finalLines(store, time));
  return lines;
}

function at<T extends HistoryLine>(line: Line<T>, time: number): T {
  return { ...line, time } as unknown as T;
}

function answer(actor: Actor, { lines, time }: { lines: HistoryLine[]; time: number }): void {
  if (actor.answer !== undefined) {
    lines.push(at<OpLine>(actor.answer, time));
    return;
  }
  const invoke = actor.planned?.invoke;
  if (invoke === undefined) return;
  const looks = invoke.f === "read" || invoke.f === "serializable-read";
  lines.push(at<OpLine>({ ...invoke, type: looks ? "fail" : "info", error: "timed out" }, time));
  actor.process += PROCESSES;
}

function plan(
  prng: Prng,
  { store, process, name }: { store: Store; process: number; name: string },
): Planned {
  const key = KEYS[prng.below(KEYS.length)] ?? "";
  const base = { process, type: "invoke", key } as const;
  const ok = { process, type: "ok", key } as const;
  switch (prng.below(7)) {
    case 0:
    case 1: {
      const invoke = { ...base, f: "write", value: name } as const;
      const effect = (): Line<OpLine> => {
        const prev = store.value(key);
        return { ...ok, f: "write", value: name, prev, rev: store.write([[key, name]]) };
      };
      return { invoke, effect };
    }
    case 2: {
      const effect = (): Line<OpLine> => {
        const prev = store.value(key);
        return { ...ok, f: "delete", value: null, prev, rev: store.write([[key, null]]) };
      };
      return { invoke: { ...base, f: "delete", value: null }, effect };
    }
    case 3:
      return planCas(prng, { store, process, name, key });
    case 4:
      return planTxn(prng, { store, process, name });
    default: {
      const f = prng.below(4) === 0 ? "serializable-read" : "read";
      const effect = (): Line<OpLine> => {
        const kv = store.states.get(key);
        return { ...ok, f, value: kv?.value ?? null, kv, rev: store.revision };
      };
      return { invoke: { ...base, f, value: null }, effect };
    }
  }
}

function planCas(
  prng: Prng,
  { store, process, name, key }: { store: Store; process: number; name: string; key: string },
): Planned {
  const old = prng.below(4) === 0 ? "v0" : store.value(key);
  const line = { process, key, f: "cas", value: [old, name], by: "value" } as const;
  const effect = (): Line<OpLine> => {
    const prev = store.value(key);
    if (prev !== old) return { ...line, type: "fail", prev, rev: store.revision };
    return { ...line, type: "ok", rev: store.write([[key, name]]) };
  };
  return { invoke: { ...line, type: "invoke" }, effect };
}

function planTxn(
  prng: Prng,
  { store, process, name }: { store: Store; process: number; name: string },
): Planned {
  const [a = "", b = "", c = ""] = KEYS;
  const guard = prng.below(3) === 0 ? "v0" : store.value(a);
  const plan: TxnValue = {
    compare: [[a, guard]],
    success: [
      ["w", a, `${name}a`],
      ["w", b, `${name}b`],
      ["r", c, null],
    ],
    failure: [
      ["r", a, null],
      ["d", b, null],
    ],
  };
  const line = { process, f: "txn", key: KEYS.join(",") } as const;
  const effect = (): Line<OpLine> => {
    const succeeded = store.value(a) === guard;
    const answered = (branch: readonly MicroOp[]): readonly MicroOp[] =>
      branch.map(([kind, key, value]) => [kind, key, kind === "w" ? value : store.value(key)]);
    const told = succeeded
      ? { ...plan, succeeded, success: answered(plan.success) }
      : { ...plan, succeeded, failure: answered(plan.failure) };
    const changes = (succeeded ? plan.success : plan.failure)
      .filter(([kind]) => kind !== "r")
      .map(([, key, value]) => [key, value] as const);
    return { ...line, type: "ok", value: told, rev: store.write(changes) };
  };
  return { invoke: { ...line, type: "invoke", value: plan }, effect };
}

/** One lease at a time, with two keys, renewed once, then left to end. */
function createLeases(store: Store, lines: HistoryLine[]) {
  const steps: { readonly at: number; readonly run: (time: number) => void }[] = [];
  const process = 1000;
  const say = (line: Omit<LeaseLine, "time" | "process">, time: number): void => {
    lines.push({ ...line, process, time });
  };
  const both = (line: Omit<LeaseLine, "time" | "process" | "type">, time: number): void => {
    say({ ...line, type: "invoke" }, time);
    say({ ...line, type: "ok" }, time + 1000);
  };
  const lease = "77";
  const keys = ["lease/a", "lease/b"];
  steps.push({ at: 2 * MS, run: (t) => both({ f: "lease-grant", lease, ttl: LEASE_TTL_S }, t) });
  keys.forEach((key, index) => {
    const run = (t: number): void => {
      const rev = store.write([[key, `l${index}`]]);
      both({ f: "lease-put", lease, key, value: `l${index}`, rev }, t);
    };
    steps.push({ at: (4 + index) * MS, run });
  });
  steps.push({ at: 100 * MS, run: (t) => both({ f: "lease-renew", lease, ttl: LEASE_TTL_S }, t) });
  const expire = (): void => {
    store.write(keys.map((key) => [key, null] as const));
  };
  steps.push({ at: (100 + LEASE_TTL_S * 1000 + 400) * MS, run: expire });
  return {
    /** Does everything that is due by `time`. */
    until: (time: number): void => {
      while ((steps[0]?.at ?? Infinity) <= time) {
        const step = steps.shift();
        step?.run(step.at);
      }
    },
  };
}

function watchLines(store: Store, time: number): readonly HistoryLine[] {
  const lines: HistoryLine[] = [];
  const sessions = [
    { session: "all", key: "\0", rangeEnd: "\0", prevKv: true, noPut: false, noDelete: false },
    { session: "puts", key: "k0", rangeEnd: "k2", prevKv: false, noPut: false, noDelete: true },
  ];
  sessions.forEach((spec, index) => {
    const base = { process: 2000 + index, type: "ok", session: spec.session } as const;
    const start = (revision: number): void => {
      const about = { ...spec, start: revision };
      lines.push({ ...base, type: "invoke", f: "watch-start", ...about, time: ++time });
      lines.push({ ...base, f: "watch-created", rev: store.revision, time: ++time });
    };
    start(2);
    const half = Math.floor(store.revision / 2);
    for (let rev = 2; rev <= store.revision; rev++) {
      if (rev === half) {
        lines.push({ ...base, f: "watch-progress", rev: half - 1, time: ++time });
        lines.push({ ...base, f: "watch-end", time: ++time });
        start(half);
      }
      const events = store.events
        .filter(({ kv }) => kv.mod === rev)
        .filter(({ type }) => type === "put" || !spec.noDelete)
        .filter(({ kv }) => spec.session === "all" || (kv.key >= "k0" && kv.key < "k2"))
        .map((event) => (spec.prevKv ? event : { type: event.type, kv: event.kv }));
      if (events.length > 0) lines.push({ ...base, f: "watch-events", rev, events, time: ++time });
    }
    lines.push({ ...base, f: "watch-progress", rev: store.revision, time: ++time });
  });
  return lines;
}

function finalLines(store: Store, time: number): readonly HistoryLine[] {
  const checker = { process: "checker", type: "ok", time: time + 1e9 } as const;
  const final = (member: string): FinalLine => ({
    ...checker,
    f: "final",
    member,
    rev: store.revision,
    digest: "d",
    hash: 1,
    kvs: [...store.states.values()],
  });
  const { events } = store;
  return [
    { ...checker, f: "final-events", member: "m1", events: events.slice(0, 50) },
    { ...checker, f: "final-events", member: "m1", events: events.slice(50) },
    final("m1"),
    final("m2"),
  ];
}
