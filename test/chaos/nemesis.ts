import { type Prng, createPrng } from "../../src/stdx/mod.ts";
import { FAULTS, type Injected, NETWORK_FAULTS, PROCESS_FAULTS } from "./faults.ts";
import type { Fleet } from "./fleet.ts";
import { type World, pause, textOfError } from "./world.ts";

/** Faults by a schedule that its seed alone makes. */

export interface Planned {
  /** When it comes at the earliest; later if those before it took longer. */
  readonly atMs: number;
  readonly forMs: number;
  readonly kinds: readonly string[];
}

export interface Pace {
  readonly faultMs: number;
  readonly restMs: number;
}

const PACE: Pace = { faultMs: 4000, restMs: 4000 };

/** All kinds come equally often, in an order drawn anew each time; now and then two at once. */
export function schedule(
  seed: number,
  about: { readonly seconds: number; readonly kinds: readonly string[]; readonly pace?: Pace },
): readonly Planned[] {
  const { seconds, kinds, pace = PACE } = about;
  const prng = createPrng(seed);
  const planned: Planned[] = [];
  let bag: string[] = [];
  let atMs = pace.restMs;
  for (;;) {
    if (bag.length === 0) bag = shuffle(kinds, prng);
    const kind = bag.pop();
    const forMs = Math.round(pace.faultMs * (0.5 + prng.next()));
    const end = atMs + forMs;
    if (kind === undefined || end + pace.restMs > seconds * 1000) return planned;
    const second = prng.below(4) === 0 ? companion(kind, kinds, prng) : undefined;
    planned.push({ atMs, forMs, kinds: second === undefined ? [kind] : [kind, second] });
    atMs = end + Math.round(pace.restMs * (0.25 + prng.next()));
  }
}

function shuffle(kinds: readonly string[], prng: Prng): string[] {
  const rest = [...kinds];
  const drawn: string[] = [];
  while (rest.length > 0) drawn.push(...rest.splice(prng.below(rest.length), 1));
  return drawn;
}

/** A fault of the network for one of a process, and the other way round. */
function companion(kind: string, kinds: readonly string[], prng: Prng): string | undefined {
  const group = PROCESS_FAULTS.has(kind)
    ? NETWORK_FAULTS
    : NETWORK_FAULTS.has(kind)
      ? PROCESS_FAULTS
      : new Set<string>();
  const fitting = kinds.filter((other) => group.has(other));
  return fitting[prng.below(Math.max(1, fitting.length))];
}

export function describeSchedule(planned: readonly Planned[]): string {
  const line = ({ atMs, forMs, kinds }: Planned): string =>
    `  ${(atMs / 1000).toFixed(1).padStart(7)} s  ${kinds.join(" + ")} for ${(forMs / 1000).toFixed(1)} s`;
  return planned.map(line).join("\n");
}

/** Plays a schedule and heals everything at its end. A fault that cannot be had is told of. */
export async function runNemesis(
  world: World,
  about: {
    readonly fleet: Fleet;
    readonly planned: readonly Planned[];
    readonly seed: number;
    readonly endMs: number;
    readonly print: (line: string) => void;
  },
): Promise<void> {
  const { fleet, planned, seed, endMs, print } = about;
  const { history } = world;
  const began = performance.now();
  const passed = (): number => performance.now() - began;
  const say = (f: string, value: Readonly<Record<string, unknown>>): void => {
    history.append({ process: "nemesis", type: "info", f, value, time: history.now() });
    print(`${(passed() / 1000).toFixed(1).padStart(7)} s  ${f}: ${describe(value)}`);
  };
  const prng = createPrng(seed + 1);
  for (const { atMs, forMs, kinds } of planned) {
    await pause(Math.max(0, atMs - passed()), world.stop);
    if (passed() > endMs) break;
    const injected: { readonly kind: string; readonly fault: Injected }[] = [];
    for (const kind of kinds) {
      const fault = await inject(kind, { fleet, prng, say });
      if (fault !== undefined) injected.push({ kind, fault });
    }
    await pause(forMs, world.stop);
    for (const { kind, fault } of injected.toReversed()) {
      await fault.heal().catch((error: unknown) => say(kind, { failed: textOfError(error) }));
      say(kind, { healed: "healed", what: fault.what });
    }
  }
  await pause(Math.max(0, endMs - passed()), world.stop);
  await fleet.heal().catch((error: unknown) => say("heal", { failed: textOfError(error) }));
  say("heal", { healed: "everything" });
  // Clients go on for a while on a cluster that is well: what broke for good shows.
  await pause(WELL_MS, world.stop);
}

const WELL_MS = 3000;

function describe(value: Readonly<Record<string, unknown>>): string {
  const { tookMs, ...rest } = value;
  const took = typeof tookMs === "number" && tookMs >= 100 ? ` (took ${tookMs} ms)` : "";
  return `${Object.values(rest).join(" ")}${took}`;
}

async function inject(
  kind: string,
  about: {
    readonly fleet: Fleet;
    readonly prng: Prng;
    readonly say: (f: string, value: Readonly<Record<string, unknown>>) => void;
  },
): Promise<Injected | undefined> {
  const { say } = about;
  const began = performance.now();
  try {
    const fault = await FAULTS[kind]?.(about);
    const tookMs = Math.round(performance.now() - began);
    if (fault !== undefined) say(kind, { injected: fault.what, tookMs });
    return fault;
  } catch (error) {
    say(kind, { failed: textOfError(error) });
    return undefined;
  }
}
