import type { Client } from "../../src/client/mod.ts";
import type { Prng } from "../../src/stdx/mod.ts";
import type { Fleet } from "./fleet.ts";
import type { LinkState } from "./link-proxy.ts";
import { pause, textOfError } from "./world.ts";

/** What is done to a cluster, each with what undoes it. */

export interface FaultContext {
  readonly fleet: Fleet;
  readonly prng: Prng;
}

export interface Injected {
  /** To whom, and how. */
  readonly what: string;
  readonly heal: () => Promise<void>;
}

type Inject = (context: FaultContext) => Promise<Injected>;

/** Every kind of fault, by its name on the command line. */
export const FAULTS: Readonly<Record<string, Inject>> = {
  kill: async (context) => killed(context, [await member(context)]),
  "kill-leader": async (context) => killed(context, [await leader(context)]),
  "kill-two": async (context) => killed(context, await twoMembers(context)),
  "kill-all": async (context) => killed(context, context.fleet.members),
  pause: async (context) => paused(context, [await member(context)]),
  "pause-leader": async (context) => paused(context, [await leader(context)]),
  "pause-two": async (context) => paused(context, await twoMembers(context)),
  "cut-off": async (context) => linked(context, [await member(context)], { cut: true }),
  isolate: async (context) => linked(context, [await member(context)], { held: ["in", "out"] }),
  "isolate-leader": async (context) =>
    linked(context, [await leader(context)], { held: ["in", "out"] }),
  "isolate-all": async (context) => linked(context, context.fleet.members, { held: ["in", "out"] }),
  "one-way": async (context) =>
    linked(context, [await member(context)], {
      held: context.prng.below(2) === 0 ? ["in"] : ["out"],
    }),
  slow: async (context) =>
    linked(context, [await member(context)], {
      delayMs: 20 + context.prng.below(100),
      jitterMs: context.prng.below(200),
    }),
  "slow-all": async (context) =>
    linked(context, context.fleet.members, {
      delayMs: 5 + context.prng.below(30),
      jitterMs: context.prng.below(60),
    }),
  disconnect: async (context) => {
    const name = await member(context);
    context.fleet.disconnect(name);
    return { what: name, heal: async () => undefined };
  },
  "nats-kill": async (context) => serversKilled(context, [server(context)]),
  "nats-kill-all": async (context) => serversKilled(context, context.fleet.servers),
  "nats-pause": async ({ fleet, prng }) => {
    const name = server({ fleet, prng });
    fleet.server(name).pause();
    return { what: name, heal: async () => fleet.server(name).resume() };
  },
  "disk-full": diskFull,
  clock: wrongClock,
  "restart-leader": async (context) => restarted(context, await leader(context)),
  restart: async (context) => restarted(context, await member(context)),
  "move-leader": moveLeader,
  replace: replaceMember,
};

/** Those whose effect is on processes of members, and those on what lies between: one of each may be at once. */
export const PROCESS_FAULTS: ReadonlySet<string> = new Set([
  "kill",
  "kill-leader",
  "pause",
  "pause-leader",
  "disk-full",
]);
export const NETWORK_FAULTS: ReadonlySet<string> = new Set([
  "isolate",
  "one-way",
  "slow",
  "slow-all",
  "nats-kill",
  "nats-pause",
]);

async function member({ fleet, prng }: FaultContext): Promise<string> {
  return fleet.members[prng.below(fleet.members.length)] ?? "";
}

/** Some member where there is no leader. */
async function leader(context: FaultContext): Promise<string> {
  const other = await member(context);
  return (await context.fleet.leader()) ?? other;
}

async function twoMembers(context: FaultContext): Promise<readonly string[]> {
  const spared = await member(context);
  return context.fleet.members.filter((name) => name !== spared);
}

function server({ fleet, prng }: FaultContext): string {
  return fleet.servers[prng.below(fleet.servers.length)] ?? "";
}

async function killed({ fleet }: FaultContext, names: readonly string[]): Promise<Injected> {
  await Promise.all(names.map((name) => fleet.kill(name)));
  return {
    what: names.join(" "),
    heal: async () => {
      await Promise.all(names.map((name) => fleet.spawn(name)));
    },
  };
}

async function paused({ fleet }: FaultContext, names: readonly string[]): Promise<Injected> {
  for (const name of names) fleet.pause(name);
  return {
    what: names.join(" "),
    heal: async () => {
      for (const name of names) fleet.resume(name);
    },
  };
}

async function linked(
  { fleet }: FaultContext,
  names: readonly string[],
  state: Partial<LinkState>,
): Promise<Injected> {
  for (const name of names) fleet.setLinks(name, state);
  return {
    what: `${names.join(" ")} ${JSON.stringify(state)}`,
    heal: async () => {
      for (const name of names) fleet.setLinks(name, {});
    },
  };
}

async function serversKilled({ fleet }: FaultContext, names: readonly string[]): Promise<Injected> {
  await Promise.all(names.map((name) => fleet.server(name).kill()));
  return {
    what: names.join(" "),
    heal: async () => {
      const down = names.map((name) => fleet.server(name)).filter(({ pid }) => pid === undefined);
      await Promise.all(down.map((one) => one.start()));
    },
  };
}

async function diskFull(context: FaultContext): Promise<Injected> {
  const name = await member(context);
  const disk = context.fleet.disks.get(name);
  if (disk === undefined) throw new Error("a disk of its own takes root, ext4 and a loop device");
  disk.fill();
  return { what: name, heal: async () => disk.free() };
}

async function restarted({ fleet }: FaultContext, name: string): Promise<Injected> {
  await fleet.stop(name);
  await fleet.spawn(name);
  return { what: name, heal: async () => undefined };
}

/**
 * A member comes back with a wall clock that is hours ahead or minutes behind, and later with the right
 * one. Further behind than five minutes no certificate of the cluster is valid yet, and it waits.
 */
const WRONG_BY_MIN = [-4, 60, 120, 24 * 60] as const;

async function wrongClock(context: FaultContext): Promise<Injected> {
  const { fleet, prng } = context;
  const name = await leader(context);
  const minutes = WRONG_BY_MIN[prng.below(WRONG_BY_MIN.length)] ?? 0;
  fleet.skew(name, minutes * 60_000);
  await restarted(context, name);
  return {
    what: `${name} ${minutes} min`,
    heal: async () => {
      fleet.skew(name, 0);
      await restarted(context, name);
    },
  };
}

const ADMIN_MS_MAX = 5000;

async function moveLeader(context: FaultContext): Promise<Injected> {
  const { fleet, prng } = context;
  const from = await leader(context);
  const others = fleet.members.filter((name) => name !== from);
  const to = others[prng.below(others.length)] ?? "";
  await using client = fleet.open(from, { timeoutMs: ADMIN_MS_MAX });
  await client.moveLeader({ targetID: await idOf(client, to) });
  return { what: `${from} to ${to}`, heal: async () => undefined };
}

async function idOf(client: Client, name: string): Promise<bigint> {
  const { members } = await client.memberList({});
  const found = members.find((one) => one.name === name || one.peerURLs.includes(peerUrl(name)));
  if (found === undefined) throw new Error(`${name} is no member`);
  return found.ID;
}

function peerUrl(name: string): string {
  return `https://${name}:2380`;
}

const STEP_MS_MAX = 40_000;
const AGAIN_MS = 300;

/**
 * A member's disk is lost: it is removed, wiped, added again as a learner, and promoted once it has
 * caught up. Half of them are removed while they still run, and must end their service by themselves.
 */
async function replaceMember(context: FaultContext): Promise<Injected> {
  const { fleet, prng } = context;
  const name = await member(context);
  const [via = ""] = fleet.members.filter((other) => other !== name);
  const runs = prng.below(2) === 0;
  await using client = fleet.open(via, { timeoutMs: ADMIN_MS_MAX });
  await again("is everybody there", () => allServe(fleet));
  const old = await idOf(client, name);
  if (runs) fleet.expectEnd(name);
  else await fleet.kill(name);
  await again("member remove", async () => {
    const { members } = await client.memberList({});
    if (members.some(({ ID }) => ID === old)) await client.memberRemove({ ID: old });
  });
  if (runs) await pause(1000, new AbortController().signal);
  await fleet.kill(name);
  const process = fleet.cluster.member(name);
  process.wipe();
  process.joins = true;
  await again("member add", async () => {
    const { members } = await client.memberList({});
    const there = members.some(({ peerURLs }) => peerURLs.includes(peerUrl(name)));
    if (!there) await client.memberAdd({ peerURLs: [peerUrl(name)], isLearner: true });
  });
  await fleet.spawn(name);
  await again("member promote", async () => {
    const { members } = await client.memberList({});
    const joined = members.find(({ peerURLs }) => peerURLs.includes(peerUrl(name)));
    if (joined === undefined) throw new Error(`${name} is no member`);
    if (joined.isLearner) await client.memberPromote({ ID: joined.ID });
  });
  const how = runs ? "removed while it ran" : "killed, then removed";
  return { what: `${name}, ${how}`, heal: async () => undefined };
}

async function allServe(fleet: Fleet): Promise<void> {
  for (const name of fleet.members) {
    await using client = fleet.open(name, { timeoutMs: ADMIN_MS_MAX });
    await client.range({ key: Buffer.from("x") });
  }
}

/** Members answer some of these only when they have settled. Throws the last error. */
async function again(what: string, run: () => Promise<void>): Promise<void> {
  const end = Date.now() + STEP_MS_MAX;
  for (;;) {
    try {
      await run();
      return;
    } catch (error) {
      if (Date.now() > end) throw new Error(`${what}: ${textOfError(error)}`, { cause: error });
      await pause(AGAIN_MS, new AbortController().signal);
    }
  }
}
