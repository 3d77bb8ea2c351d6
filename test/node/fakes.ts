import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createFsm } from "../../src/core/fsm/mod.ts";
import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type MemberId,
  clusterId,
  memberId,
} from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { MemberNode, type NodeObserver } from "../../src/node/mod.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { TENANT, proposal, put, sha256 } from "../fsm/fixtures.ts";
import { type Disk, type DiskTrace, createDisk, logOn, machineOver } from "./fake-disk.ts";
import { createFakeSnapshots } from "./fake-snapshots.ts";
import { VirtualTime } from "./virtual-time.ts";

/** A node over a log and a state in memory, whose disk can be full and whose time the test moves. */

export const ME: MemberId = memberId(1n);
export const HEARTBEAT_MS = 100;
export const REQUEST_TIMEOUT_MS = 7000;

export interface Fake extends DiskTrace {
  readonly node: MemberNode;
  /** What lasts when the node is made anew. */
  readonly disk: Disk;
  readonly fatals: unknown[];
  /** Moves the clock, and lets all ticks that are due happen. */
  advance(ms: number): Promise<void>;
  /** Ticks that come before anything else has its turn, as after a long pause. */
  tick(times: number): void;
}

/** Listens to nothing. */
export const silentObserver: NodeObserver = {
  proposed: () => undefined,
  applied: () => undefined,
  leadership: () => undefined,
  pending: () => undefined,
  proposalsFailed: () => undefined,
  readsFailed: () => undefined,
  heartbeatFailed: () => undefined,
  snapshotSent: () => undefined,
};

export interface FakeOptions {
  readonly disk?: Disk;
  readonly voters?: readonly MemberId[];
  readonly snapshotEntries?: number;
  readonly observer?: NodeObserver;
}

/** Starts a node; its timers are the test's, its turns of the event loop are real. */
export function startFake(context: TestContext, options: FakeOptions = {}): Fake {
  const { disk = createDisk(), voters = [ME], snapshotEntries = 10_000 } = options;
  const { observer = silentObserver } = options;
  const time = new VirtualTime();
  const trace: DiskTrace = { saves: [], applies: [], compactions: [] };
  const fatals: unknown[] = [];
  const fsm = createFsm(disk.backend, sha256);
  const node = new MemberNode({
    memberId: ME,
    clusterId: clusterId(7n),
    name: "a",
    log: logOn(disk, trace),
    confState: {
      voters: [...voters],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    },
    machine: machineOver(disk, fsm, trace),
    seedMembers: voters.map((id) => ({ id, name: `m${id}` })),
    storage: { checkpoint: () => Promise.resolve(disk.durable ?? fsm.appliedIndex) },
    snapshots: createFakeSnapshots(disk, new Map()),
    peers: { send: () => false, afterSends: queueMicrotask },
    // Turns of the event loop are real, time is not.
    scheduler: { ...time.scheduler(), soon: (work) => void setImmediate(work) },
    clock: { now: () => disk.now },
    random: createPrng(1),
    times: {
      heartbeatMs: HEARTBEAT_MS,
      electionMs: 1000,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
      progressIntervalMs: 600_000,
    },
    snapshotEntries,
    observer,
    logger: silentLogger,
    report: () => ({ version: "0", dbBytes: 0, dbBytesInUse: 0 }),
    onMembers: () => undefined,
    onRemoved: () => undefined,
    onFatal: (error) => void fatals.push(error),
  });
  context.after(() => node.stop());
  node.start();
  return {
    node,
    disk,
    ...trace,
    fatals,
    advance: async (ms) => {
      for (let left = ms; left > 0; left -= HEARTBEAT_MS) {
        disk.now += Math.min(left, HEARTBEAT_MS);
        await time.run(Math.min(left, HEARTBEAT_MS));
        await turn();
      }
      await turn();
    },
    tick: (times) => time.pass(times * HEARTBEAT_MS),
  };
}

/** Makes the tenant that the proposals of the tests are for. */
export async function makeTenant({ node }: Fake): Promise<void> {
  const command = { kind: "tenant-create", id: TENANT, name: "acme", records: [] } as const;
  const made = await node.propose(proposal(command, { tenant: CLUSTER_SCOPE }));
  assert.equal(made.kind, "done");
}

export function proposePut({ node }: Fake, name: string, value = ""): Promise<ApplyResult> {
  return node.propose(proposal({ kind: "put", request: put(name, value) }));
}

/** How a promise ended: its value's kind, or the code it was refused with. */
export async function ending(work: Promise<ApplyResult | void> | undefined): Promise<string> {
  if (work === undefined) return "at once";
  try {
    return (await work)?.kind ?? "done";
  } catch (error) {
    if (error instanceof CofferError) return error.code;
    throw error;
  }
}

/** "waiting" if the promise has not ended after two turns of the event loop. */
export async function endingSoon(work: Promise<ApplyResult | void> | undefined): Promise<string> {
  const late = turn()
    .then(() => turn())
    .then(() => "waiting");
  return Promise.race([ending(work), late]);
}
