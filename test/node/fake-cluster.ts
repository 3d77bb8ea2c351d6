import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { createFsm } from "../../src/core/fsm/mod.ts";
import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type Command,
  type MemberChange,
  type MemberId,
  type TenantId,
  clusterId,
  memberId,
} from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { type KnownMember, MemberNode, confStateAtStart } from "../../src/node/mod.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { encodeConfState } from "../../src/wire/mod.ts";
import { ACTOR, TENANT, proposal, put, range, sha256 } from "../fsm/fixtures.ts";
import { type Disk, type DiskTrace, createDisk, logOn, machineOver } from "./fake-disk.ts";
import { FakeHub } from "./fake-hub.ts";
import { type Snapshots, createFakeSnapshots } from "./fake-snapshots.ts";
import { silentObserver } from "./fakes.ts";
import { VirtualTime } from "./virtual-time.ts";

/** Whole members over a network, disks and time of the test. */

export const HEARTBEAT_MS = 100;
export const ELECTION_MS = 1000;
export const REQUEST_TIMEOUT_MS = 7000;

export interface FakeMember extends DiskTrace {
  readonly id: MemberId;
  readonly name: string;
  readonly disk: Disk;
  node: MemberNode;
  isUp: boolean;
  /** What waits for the end of a pause of the process. */
  held: (() => void)[] | undefined;
  /** Of its clock against the others'. */
  skewMs: number;
  /** Why it was told to stop. */
  readonly removals: string[];
}

export interface ClusterOptions {
  readonly members?: number;
  readonly seed?: number;
  readonly snapshotEntries?: number;
  readonly skewsMs?: readonly number[];
}

export class FakeCluster {
  readonly time: VirtualTime = new VirtualTime();
  readonly hub: FakeHub = new FakeHub(this.time);
  readonly members: FakeMember[] = [];
  readonly fatals: unknown[] = [];
  readonly #snapshots: Snapshots = new Map();
  readonly #seeds: readonly KnownMember[];
  readonly #snapshotEntries: number;
  #starts = 0;
  /** The start of each member that is in force: an earlier process does nothing any more. */
  readonly #startOf = new Map<string, number>();
  readonly #seed: number;

  constructor({ members = 3, seed = 1, snapshotEntries = 100_000, skewsMs }: ClusterOptions = {}) {
    this.#seed = seed;
    this.#snapshotEntries = snapshotEntries;
    this.#seeds = Array.from({ length: members }, (_, i) => seedOf(i + 1));
    const voters = this.#seeds.map(({ id }) => id);
    for (const [i, { id, name }] of this.#seeds.entries()) {
      const member = this.#add({ id, name }, skewsMs?.[i] ?? 0);
      member.disk.backend.setConfState(encodeConfState(confStateAtStart(undefined, voters)));
      this.start(member);
    }
  }

  /** The leader that most of the members that are up follow. */
  get leader(): FakeMember | undefined {
    return this.members.find(
      (one) => one.isUp && one.node.status().role === "leader" && this.#isFollowed(one),
    );
  }

  get followers(): readonly FakeMember[] {
    const { leader } = this;
    return this.members.filter((one) => one.isUp && one !== leader);
  }

  member(name: string): FakeMember {
    const found = this.members.find((one) => one.name === name);
    assert.ok(found !== undefined, `there is no member ${name}`);
    return found;
  }

  /** Lets time pass until somebody leads, and knows it may serve. */
  async elect(ms = 20_000): Promise<FakeMember> {
    const isReady = (): boolean =>
      this.leader?.node.status().commitIndex === this.leader?.node.status().raftIndex &&
      this.leader !== undefined;
    assert.ok(await this.time.until(isReady, ms), "nobody leads");
    return this.leader as FakeMember;
  }

  /** A member that is not in the configuration yet, and not started. */
  addJoiner(name: string, id: MemberId): FakeMember {
    return this.#add({ id, name }, 0);
  }

  start(member: FakeMember): void {
    member.isUp = true;
    const start = ++this.#starts;
    const isAlive = (): boolean => member.isUp && this.#startOf.get(member.name) === start;
    this.#startOf.set(member.name, start);
    const whenAwake = (work: () => void): void => {
      if (!isAlive()) return;
      if (member.held === undefined) work();
      else member.held.push(work);
    };
    const scheduler = this.time.scheduler(whenAwake);
    const { disk } = member;
    const machine = machineOver(disk, createFsm(disk.backend, sha256), member);
    member.node = new MemberNode({
      memberId: member.id,
      clusterId: clusterId(7n),
      name: member.name,
      log: logOn(disk, member),
      machine,
      confState: confStateAtStart(disk.backend.confState(), []),
      seedMembers: this.#seeds,
      storage: { checkpoint: () => Promise.resolve(machine.appliedIndex) },
      snapshots: createFakeSnapshots(disk, this.#snapshots),
      peers: this.hub.connect(
        member.name,
        (from, channel, bytes) => whenAwake(() => member.node.receive(from, channel, bytes)),
        { isAlive, scheduler },
      ),
      scheduler,
      clock: this.time.clock(member.skewMs),
      random: createPrng(this.#seed * 1000 + start),
      times: {
        heartbeatMs: HEARTBEAT_MS,
        electionMs: ELECTION_MS,
        requestTimeoutMs: REQUEST_TIMEOUT_MS,
        progressIntervalMs: 600_000,
      },
      snapshotEntries: this.#snapshotEntries,
      observer: silentObserver,
      logger: silentLogger,
      report: () => ({ version: "1.2.3", dbBytes: 10, dbBytesInUse: 5 }),
      onMembers: (names) => this.hub.setPeers(member.name, names),
      onRemoved: (reason) => void member.removals.push(reason),
      onFatal: (error) => void this.fatals.push(error),
    });
    member.node.start();
  }

  /** The process dies; what was saved stays. */
  crash(member: FakeMember): void {
    member.isUp = false;
    member.held = undefined;
    this.hub.disconnect(member.name);
  }

  restart(member: FakeMember): void {
    this.crash(member);
    this.start(member);
  }

  /** The process stands still, as after SIGSTOP: what comes meanwhile waits. */
  pause(member: FakeMember): void {
    member.held = [];
  }

  resume(member: FakeMember): void {
    const { held = [] } = member;
    member.held = undefined;
    for (const work of held) work();
  }

  isolate(member: FakeMember): void {
    this.hub.isolate(
      member.name,
      this.members.map(({ name }) => name),
    );
  }

  /** Proposes, and lets time pass until it has ended. */
  run(member: FakeMember, command: Command, scope: TenantId = TENANT): Promise<ApplyResult> {
    return this.time.finish(member.node.propose(proposal(command, { tenant: scope })));
  }

  put(member: FakeMember, name: string, value = ""): Promise<ApplyResult> {
    return this.run(member, { kind: "put", request: put(name, value) });
  }

  /** Makes the tenant that the tests work on, and has the members announce themselves. */
  async prepare(): Promise<FakeMember> {
    const leader = await this.elect();
    const command = { kind: "tenant-create", id: TENANT, name: "acme", records: [] } as const;
    await this.run(leader, command, CLUSTER_SCOPE);
    for (const member of this.members) await this.announce(member);
    await this.settle();
    return leader;
  }

  async announce(member: FakeMember): Promise<void> {
    const { id, name } = member;
    const info = { id, name, peerUrls: [urlOf(name)], clientUrls: [], isLearner: false };
    await this.run(member, { kind: "member", member: info }, CLUSTER_SCOPE);
  }

  /** Writes the key and asks for nothing more: "put", "waiting", or what it was refused with. */
  later(member: FakeMember, name: string, value = ""): { ending: string } {
    const seen = { ending: "waiting" };
    const work = member.node.propose(proposal({ kind: "put", request: put(name, value) }));
    void ending(work).then((end) => (seen.ending = end));
    return seen;
  }

  /** How often the key was written. */
  version(member: FakeMember, name: string): number {
    const found = member.node.state.range(TENANT, range(name));
    assert.ok(found.ok);
    return found.value.kvs[0]?.version ?? 0;
  }

  change(at: FakeMember, change: MemberChange): Promise<string> {
    return this.time.finish(ending(at.node.changeMembers(change, ACTOR)));
  }

  /** Lets time pass until all members that are up have applied the same. */
  async settle(ms = 20_000): Promise<void> {
    await this.settleOf(
      this.members.filter((one) => one.isUp),
      ms,
    );
  }

  async settleOf(up: readonly FakeMember[], ms = 20_000): Promise<void> {
    const isSettled = (): boolean => {
      const applied = new Set(up.map((one) => one.node.status().appliedIndex));
      const { leader } = this;
      return applied.size === 1 && leader !== undefined && applied.has(indexOf(leader));
    };
    assert.ok(await this.time.until(isSettled, ms), "the members do not come to one state");
  }

  /** Values of the keys from `from` up to `to`, as the member has them. */
  keys(member: FakeMember, from = "\0", to = "\0"): readonly (readonly [string, string])[] {
    const found = member.node.state.range(TENANT, range(from, to));
    assert.ok(found.ok);
    return found.value.kvs.map(({ key, value }) => [key, Buffer.from(value).toString()] as const);
  }

  stop(): void {
    for (const member of this.members) if (member.isUp) member.node.stop();
  }

  #add({ id, name }: KnownMember, skewMs: number): FakeMember {
    const disk = createDisk();
    const member = { id, name, disk, skewMs, isUp: false, held: undefined, removals: [] };
    const trace = { saves: [], applies: [], compactions: [] };
    const made = { ...member, ...trace } as unknown as FakeMember;
    this.members.push(made);
    return made;
  }

  #isFollowed(leader: FakeMember): boolean {
    const { voters } = leader.node.status();
    const follow = this.members.filter(
      (one) => one.isUp && voters.includes(one.id) && one.node.status().leader === leader.id,
    );
    return follow.length > voters.length / 2;
  }
}

/** Starts a cluster; it ends with the test, which fails if a member has met something fatal. */
export function startCluster(context: TestContext, options: ClusterOptions = {}): FakeCluster {
  const cluster = new FakeCluster(options);
  context.after(() => {
    cluster.stop();
    assert.deepEqual(cluster.fatals, []);
  });
  return cluster;
}

export function seedOf(n: number): KnownMember {
  return { id: memberId(BigInt(n)), name: `m${n}` };
}

export function urlOf(name: string): string {
  return `https://${name}:2380`;
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

/** "waiting" if the promise has not ended. */
export function endingNow(work: Promise<string>): Promise<string> {
  return Promise.race([work, Promise.resolve("waiting")]);
}

export function votersOf({ node }: FakeMember): readonly bigint[] {
  return node.status().voters;
}

function indexOf({ node }: FakeMember): number {
  return node.status().raftIndex;
}
