import { createHash, type Hash } from "node:crypto";
import type { Client } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import type { WatchedEvent } from "./history.ts";
import { runPlan } from "./kv-clients.ts";
import { keyStateOf, planWrite } from "./kv-plans.ts";
import { eventOf } from "./watch-clients.ts";
import { type World, keyBytes, pause, textOfError } from "./world.ts";

/** What each member holds when all is healed, at one revision: its keys, its hash, its whole history. */

const CONVERGE_MS_MAX = 90_000;
const READ_MS_MAX = 120_000;
const AGAIN_MS = 100;
const EVENTS_PER_LINE = 500;
const ALL = { key: keyBytes("\0"), rangeEnd: keyBytes("\0") };

/**
 * Waits until every member takes a write and answers a linearizable read. Answers the highest revision,
 * and the members which do not come back.
 */
export async function converge(
  world: World,
): Promise<{ readonly revision: number; readonly problems: readonly string[] }> {
  const { target } = world;
  const until = Date.now() + CONVERGE_MS_MAX;
  const problems: string[] = [];
  let revision = 0;
  for (const member of target.members) {
    await using client = target.open(member, { timeoutMs: 10_000 });
    for (;;) {
      const written = await probe(world, { member, client });
      const told = written ? await revisionOf(client) : "no to a write";
      if (typeof told === "number" && told >= revision) {
        revision = told;
        break;
      }
      if (Date.now() > until) {
        problems.push(`${member} does not come back: it answers ${told}, wanted ${revision}`);
        break;
      }
      await pause(AGAIN_MS, new AbortController().signal);
    }
  }
  return { revision, problems };
}

/** A write through one member, in the history as all others. */
async function probe(
  world: World,
  sticky: { readonly member: string; readonly client: Client },
): Promise<boolean> {
  const plan = planWrite(PROBE_KEY, world.nextValue(), true);
  const process = world.nextProcess();
  return (await runPlan(world, { plan, process, sticky, seen: new Map() })) === "done";
}

/** Written when the clients have ended. */
export const PROBE_KEY = "probe";

async function revisionOf(client: Client): Promise<number | string> {
  try {
    const { header } = await client.range({ key: ALL.key });
    return Number(header?.revision ?? 0n);
  } catch (error) {
    return textOfError(error);
  }
}

/** Writes a final line for each member, and the history of the first that tells it. */
export async function readFinals(world: World, revision: number): Promise<void> {
  const { target, history } = world;
  let told = false;
  for (const member of target.members) {
    const base = { process: "checker", f: "final", member, rev: revision } as const;
    try {
      await using client = target.open(member, { timeoutMs: READ_MS_MAX });
      const { kvs } = await client.range({ ...ALL, revision: BigInt(revision) });
      const hash = await hashOf(client, revision);
      const events = await readHistory(client, revision);
      if (!told) appendEvents(world, member, events);
      told = true;
      const digest = digestOf(events);
      const held = { digest, hash, kvs: kvs.map(keyStateOf) };
      history.append({ ...base, type: "ok", ...held, time: history.now() });
    } catch (error) {
      const nothing = { digest: "", kvs: [], error: textOfError(error) };
      history.append({ ...base, type: "fail", ...nothing, time: history.now() });
    }
  }
}

async function hashOf(client: Client, revision: number): Promise<number | undefined> {
  try {
    return (await client.hashKv({ revision: BigInt(revision) })).hash;
  } catch (error) {
    if (error instanceof CofferError && error.code === "unimplemented") return undefined;
    throw error;
  }
}

/** All events up to `revision`, as a watch from the past tells them. */
async function readHistory(client: Client, revision: number): Promise<readonly WatchedEvent[]> {
  const events: WatchedEvent[] = [];
  if (revision < 2) return events;
  await using watch = client.watch({ timeoutMs: READ_MS_MAX });
  watch.create({ ...ALL, startRevision: 2n });
  for await (const response of watch.responses()) {
    if (response.canceled) throw new Error(`The watch was cancelled: ${response.cancelReason}`);
    for (const event of response.events) {
      const told = eventOf(event, false);
      if (told.kv.mod > revision) return events;
      events.push(told);
    }
    // Events of one revision come together, so the last one seen is whole.
    if ((events.at(-1)?.kv.mod ?? 0) >= revision) return events;
  }
  throw new Error("The watch ended before its time");
}

function appendEvents({ history }: World, member: string, events: readonly WatchedEvent[]): void {
  for (let at = 0; at < events.length; at += EVENTS_PER_LINE) {
    const piece = events.slice(at, at + EVENTS_PER_LINE);
    const base = { process: "checker", type: "ok", f: "final-events", member } as const;
    history.append({ ...base, events: piece, time: history.now() });
  }
}

function digestOf(events: readonly WatchedEvent[]): string {
  const hash: Hash = createHash("sha256");
  for (const { type, kv } of events) {
    const fields = [type, kv.key, kv.value, kv.create, kv.mod, kv.version];
    hash.update(`${JSON.stringify(fields)}\n`);
  }
  return hash.digest("hex");
}
