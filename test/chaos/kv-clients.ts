import type { Prng } from "../../src/stdx/mod.ts";
import type { HistoryLine, MicroOp } from "./history.ts";
import {
  KEY_PREFIX,
  type Plan,
  type Seen,
  planCas,
  planDelete,
  planRange,
  planRead,
  planTxn,
  planWrite,
} from "./kv-plans.ts";
import { StickyClient, type World, isUnknown, pause, spread, textOfError } from "./world.ts";

/** Clients that read and write few keys, one request after the other, so that they conflict. */

export const KEYS: readonly string[] = ["k0", "k1", "k2", "k3", "k4", "k5"].map(
  (name) => KEY_PREFIX + name,
);

export interface KvClientOptions {
  readonly prng: Prng;
  /** Which member it begins with. */
  readonly first: number;
  /** Mean time between an answer and the next request. */
  readonly restMs: number;
}

/** Runs until the world stops, and ends its last request. Never rejects. */
export async function runKvClient(world: World, options: KvClientOptions): Promise<void> {
  const { prng, first, restMs } = options;
  const sticky = new StickyClient(world.target, first);
  const seen = new Map<string, Seen>();
  let process = world.nextProcess();
  while (!world.stop.aborted) {
    const plan = nextPlan(prng, { seen, world });
    let outcome = await runPlan(world, { plan, process, sticky, seen });
    const known = seen.get(plan.invoke.key);
    if (outcome === "done" && plan.invoke.f === "read" && known !== undefined) {
      // A compare has a chance only at once, among so many writers.
      if (prng.below(3) === 0) {
        const cas = nextCas(prng, { key: plan.invoke.key, known, world });
        outcome = await runPlan(world, { plan: cas, process, sticky, seen });
      }
    }
    if (outcome === "unknown") process = world.nextProcess();
    // Members that came back must get their share again.
    if (outcome !== "done" || prng.below(100) === 0) sticky.move();
    await pause(spread(prng, restMs), world.stop);
  }
  await sticky.close();
}

interface Running {
  readonly plan: Plan;
  readonly process: number;
  readonly sticky: Pick<StickyClient, "member" | "client">;
  readonly seen: Map<string, Seen>;
}

/** Runs one request and writes it down. Never rejects. */
export async function runPlan(
  { history }: World,
  { plan, process, sticky, seen }: Running,
): Promise<"done" | "failed" | "unknown"> {
  const { member } = sticky;
  const { invoke } = plan;
  const say = (line: Omit<HistoryLine, "process" | "member" | "time">): void => {
    history.append({ ...line, process, member, time: history.now() } as HistoryLine);
  };
  say({ ...invoke, type: "invoke" });
  try {
    const { done, failed } = await plan.run(sticky.client);
    say({ ...done, type: failed ? "fail" : "ok" });
    learn(seen, done);
    return "done";
  } catch (error) {
    const looks = invoke.f === "read" || invoke.f === "serializable-read" || readsOnly(invoke);
    const unknown = !looks && isUnknown(error);
    say({ ...invoke, type: unknown ? "info" : "fail", error: textOfError(error) } as HistoryLine);
    return unknown ? "unknown" : "failed";
  }
}

function readsOnly(invoke: Plan["invoke"]): boolean {
  if (invoke.f !== "txn") return false;
  return [...invoke.value.success, ...invoke.value.failure].every(([kind]) => kind === "r");
}

/** Remembers what the compares of later requests ask for. */
function learn(seen: Map<string, Seen>, done: Plan["invoke"]): void {
  if (done.f === "read" || done.f === "serializable-read") {
    seen.set(done.key, { value: done.value, mod: done.kv?.mod ?? 0 });
  } else if (done.f === "write" && done.value !== null) {
    seen.set(done.key, { value: done.value, mod: done.rev ?? 0 });
  } else if (done.f === "delete") {
    seen.set(done.key, { value: null, mod: 0 });
  } else if (done.f === "cas" && done.prev === undefined) {
    seen.set(done.key, { value: done.value[1], mod: done.rev ?? 0 });
  } else {
    // Only values were told here, and a compare by revision needs more.
    seen.clear();
  }
}

function nextPlan(
  prng: Prng,
  { seen, world }: { readonly seen: ReadonlyMap<string, Seen>; readonly world: World },
): Plan {
  const key = KEYS[prng.below(KEYS.length)] ?? "";
  const roll = prng.below(100);
  if (roll < 25) return planRead(key, false);
  if (roll < 35) return planRead(key, true);
  if (roll < 60) return planWrite(key, world.nextValue(), prng.below(3) === 0);
  if (roll < 66) return planDelete(key);
  if (roll < 72) {
    const known = seen.get(key);
    return known === undefined ? planRead(key, false) : nextCas(prng, { key, known, world });
  }
  if (roll < 95) return nextTxn(prng, { seen, world });
  return planRange(KEYS);
}

function nextCas(
  prng: Prng,
  about: { readonly key: string; readonly known: Seen; readonly world: World },
): Plan {
  const { key, known, world } = about;
  const by = prng.below(2) === 0 ? "mod" : "value";
  return planCas(key, { seen: known, value: world.nextValue(), by });
}

/** Two or three different keys: a guard on the first, if anything is known of it, and writes. */
function nextTxn(
  prng: Prng,
  { seen, world }: { readonly seen: ReadonlyMap<string, Seen>; readonly world: World },
): Plan {
  const at = prng.below(KEYS.length);
  const [a = "", b = "", c = ""] = [...KEYS.slice(at), ...KEYS.slice(0, at)];
  const known = seen.get(a);
  const read = (key: string): MicroOp => ["r", key, null];
  const write = (key: string): MicroOp => ["w", key, world.nextValue()];
  if (prng.below(5) === 0) {
    return planTxn({ compare: [], success: [read(a), read(b), read(c)], failure: [] });
  }
  return planTxn({
    compare: known === undefined ? [] : [[a, known.value]],
    success: [write(a), write(b), read(c)],
    failure: [read(a), prng.below(3) === 0 ? ["d", b, null] : write(b)],
  });
}
