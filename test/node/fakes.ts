import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type CommittedEntry, type FsmBackend, createFsm } from "../../src/core/fsm/mod.ts";
import type { Entry } from "../../src/core/raft/mod.ts";
import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type MemberId,
  clusterId,
  memberId,
} from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { type LogStore, MemberNode, type StateMachine } from "../../src/node/mod.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";
import { TENANT, proposal, put, sha256 } from "../fsm/fixtures.ts";
import { type MemoryLog, createMemoryLog } from "../raft/memory-log.ts";

/** A node over a log and a state in memory, whose disk can be full and whose time the test moves. */

export const ME: MemberId = memberId(1n);
export const HEARTBEAT_MS = 100;
export const REQUEST_TIMEOUT_MS = 7000;

export interface Fake {
  readonly node: MemberNode;
  /** What lasts when the node is made anew. */
  readonly disk: Disk;
  /** Entries of each save. */
  readonly saves: (readonly Entry[])[];
  /** Each call of apply. */
  readonly applies: (readonly CommittedEntry[])[];
  readonly fatals: unknown[];
  /** Log compactions asked for. */
  readonly compactions: number[];
  /** Moves the clock, and lets all ticks that are due happen. */
  advance(ms: number): Promise<void>;
  /** Ticks that come before anything else has its turn, as after a long pause. */
  tick(times: number): void;
}

export interface Disk {
  readonly log: MemoryLog;
  readonly backend: FsmBackend;
  /** What saving, or applying, throws. */
  saveFails: Error | undefined;
  applyFails: Error | undefined;
  now: number;
  /** What a checkpoint answers; undefined: the applied index. */
  durable: number | undefined;
}

export function createDisk(backend: FsmBackend = createMemoryBackend()): Disk {
  const log = createMemoryLog();
  return {
    log,
    backend,
    saveFails: undefined,
    applyFails: undefined,
    now: 1_000_000,
    durable: undefined,
  };
}

export const noSpace = (): CofferError => new CofferError("no-space");

export interface FakeOptions {
  readonly disk?: Disk;
  readonly voters?: readonly MemberId[];
  readonly snapshotEntries?: number;
}

/** Starts a node; its timers are the test's, its turns of the event loop are real. */
export function startFake(context: TestContext, options: FakeOptions = {}): Fake {
  const { disk = createDisk(), voters = [ME], snapshotEntries = 10_000 } = options;
  context.mock.timers.reset();
  context.mock.timers.enable({ apis: ["setInterval"] });
  const saves: (readonly Entry[])[] = [];
  const applies: (readonly CommittedEntry[])[] = [];
  const fatals: unknown[] = [];
  const compactions: number[] = [];
  const fsm = createFsm(disk.backend, sha256);
  const node = new MemberNode({
    memberId: ME,
    clusterId: clusterId(7n),
    log: logOn(disk, { saves, compactions }),
    confState: {
      voters: [...voters],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    },
    machine: machineOver(disk, fsm, applies),
    storage: { checkpoint: () => Promise.resolve(disk.durable ?? fsm.appliedIndex) },
    peers: { send: () => undefined },
    clock: { now: () => disk.now },
    random: createPrng(1),
    times: {
      heartbeatMs: HEARTBEAT_MS,
      electionMs: 1000,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
      progressIntervalMs: 600_000,
    },
    snapshotEntries,
    observer: {
      proposed: () => undefined,
      applied: () => undefined,
      leadership: () => undefined,
      pending: () => undefined,
    },
    logger: silentLogger,
    onFatal: (error) => void fatals.push(error),
  });
  context.after(() => node.stop());
  node.start();
  return {
    node,
    disk,
    saves,
    applies,
    fatals,
    compactions,
    advance: async (ms) => {
      for (let left = ms; left > 0; left -= HEARTBEAT_MS) {
        disk.now += Math.min(left, HEARTBEAT_MS);
        context.mock.timers.tick(Math.min(left, HEARTBEAT_MS));
        await turn();
      }
      await turn();
    },
    tick: (times) => context.mock.timers.tick(times * HEARTBEAT_MS),
  };
}

function logOn(
  disk: Disk,
  seen: { readonly saves: (readonly Entry[])[]; readonly compactions: number[] },
): LogStore {
  const { log } = disk;
  return {
    get firstIndex() {
      return log.firstIndex;
    },
    get lastIndex() {
      return log.lastIndex;
    },
    get hardState() {
      return log.hardState;
    },
    term: (index) => log.term(index),
    entries: (lo, hi, bytesMax) => log.entries(lo, hi, bytesMax),
    save: ({ hardState, entries }) => {
      if (disk.saveFails !== undefined) throw disk.saveFails;
      log.save({ hardState, snapshot: undefined, entries });
      if (entries.length > 0) seen.saves.push(entries);
    },
    compact: (index) => {
      seen.compactions.push(index);
      log.compact(index);
    },
  };
}

function machineOver(
  disk: Disk,
  fsm: StateMachine,
  applies: (readonly CommittedEntry[])[],
): StateMachine {
  return {
    get appliedIndex() {
      return fsm.appliedIndex;
    },
    get leaseTime() {
      return fsm.leaseTime;
    },
    apply: (entries) => {
      if (disk.applyFails !== undefined) throw disk.applyFails;
      applies.push(entries);
      return fsm.apply(entries);
    },
    flush: () => fsm.flush(),
    reader: fsm.reader,
    watchSource: fsm.watchSource,
    expiredLeases: (now, max) => fsm.expiredLeases(now, max),
    compactStep: (rows) => fsm.compactStep(rows),
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
