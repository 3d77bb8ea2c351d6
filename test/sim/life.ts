import type { Channel, Node } from "../../src/node/mod.ts";
import { MemberNode, confStateAtStart } from "../../src/node/mod.ts";
import { type Fsm, type FsmBackend, createFsm } from "../../src/core/fsm/mod.ts";
import { CLUSTER_SCOPE, type MemberId, clusterId, systemActor } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { type Cancel, type Clock, type Scheduler, createPrng } from "../../src/stdx/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { decodeForward, encodeConfState, encodeForward } from "../../src/wire/mod.ts";
import { sha256 } from "../fsm/fixtures.ts";
import type { SimMember } from "./member.ts";
import type { Station } from "./network.ts";
import { logOf, machineOf } from "./ports.ts";
import { createSnapshotStore } from "./snapshot-disk.ts";
import { ELECTION_MS, HEARTBEAT_MS, REQUEST_TIMEOUT_MS, type World } from "./world.ts";

/** Milliseconds until the others are asked again who this member is. */
const ASK_AGAIN_MS = 250;
const CLUSTER = clusterId(7n);
const EPOCH_MS = 1_700_000_000_000;

/** Thrown into what a process does when it dies in the middle of it. */
export class ProcessEnd extends Error {
  override readonly name = "ProcessEnd";
}

/** One process of a member, from its start to its end. */
export class Life implements Station {
  isAlive = true;
  busyUntil = 0;
  spent = 0;
  peerNames: ReadonlySet<string> = new Set();
  readonly member: SimMember;
  readonly world: World;
  node: MemberNode | undefined;
  fsm: Fsm | undefined;
  /** Calls of the disk until the process dies within one. */
  armed: number | undefined;
  /** Payloads sent until it dies after one. */
  armedSends: number | undefined;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly #endings = new Set<() => void>();
  #cancelSync: Cancel | undefined;

  constructor(world: World, member: SimMember) {
    this.world = world;
    this.member = member;
    const { engine, mutant } = world;
    const startedAt = engine.now;
    const skewMs = member.skewMs;
    this.clock = {
      // A clock that follows the wall is a mutant's; the process's own goes on from the start.
      now: () => EPOCH_MS + (mutant.wallClock === true ? member.skewMs : skewMs) + engine.moment,
    };
    this.scheduler = {
      soon: (work) => void engine.at(engine.now, this, work),
      after: (ms, work) => engine.after(ms, this, work),
      every: (ms, work) => {
        let cancel = engine.after(ms, this, again);
        const self = this as Life;
        function again(): void {
          cancel = engine.after(ms, self, again);
          work();
        }
        return () => cancel();
      },
    };
    this.busyUntil = startedAt;
    world.network.join(this);
  }

  get name(): string {
    return this.member.name;
  }

  /** Calls back when the process ends; returns what ends that. */
  onEnd(listener: () => void): () => void {
    this.#endings.add(listener);
    return () => this.#endings.delete(listener);
  }

  end(): void {
    this.isAlive = false;
    this.world.network.leave(this);
    for (const listener of this.#endings) listener();
    this.#endings.clear();
  }

  /** A point at which a crash may come. */
  gate(what: string): void {
    if (!this.isAlive) throw new ProcessEnd();
    if (this.armed === undefined || --this.armed > 0) return;
    this.world.coverage.add(`crashes at: ${what}`);
    this.member.crash(this.world.random.below(2) === 0, `at ${what}`);
    throw new ProcessEnd();
  }

  /** The process dies right after it has sent something: before anything else happens to it. */
  #sent(): void {
    const { engine } = this.world;
    if (this.armedSends === undefined || --this.armedSends > 0) return;
    this.armedSends = undefined;
    engine.at(engine.now, undefined, () => {
      if (!this.isAlive) return;
      this.world.coverage.add("crashes at: send");
      this.member.crash(true, "after it has sent");
    });
  }

  /** A mutant's disk: what is saved is there only later. */
  lagSaves(ms: number): void {
    const { log } = this.member.files;
    log.holdBack();
    this.#cancelSync?.();
    this.#cancelSync = this.world.engine.after(ms, this, () => log.sync());
  }

  receive(from: string, channel: Channel, payload: Uint8Array): void {
    if (this.node !== undefined) this.node.receive(from, channel, payload);
    else if (channel === "fwd") this.#introduced(payload);
  }

  unreachable(name: string): void {
    this.node?.unreachable(name);
  }

  /** A member without data asks who it is. */
  introduce(): void {
    const { world, name } = this;
    this.peerNames = new Set(
      world.members.map((one) => one.name).filter((other) => other !== name),
    );
    const ask = (): void => {
      if (this.node !== undefined) return;
      const message = encodeForward({ kind: "request", id: 1, body: { kind: "join", name } });
      for (const other of this.peerNames) world.network.send(this, other, "fwd", message);
      world.engine.after(ASK_AGAIN_MS, this, ask);
    };
    ask();
  }

  #introduced(payload: Uint8Array): void {
    const message = decodeForward(payload);
    if (message.kind !== "reply" || message.body.kind !== "member") return;
    const { member, members } = message.body;
    if (member === undefined || member.name !== "") return;
    this.member.id = member.id;
    this.member.seeds = members.map(({ id, name, peerUrls }) => ({
      id,
      name: name === "" ? (/\/\/([a-z0-9-]+)/.exec(peerUrls[0] ?? "")?.[1] ?? "") : name,
    }));
    this.world.engine.note(`${this.name} learns that it is ${member.id}`);
    this.run();
  }

  /** Starts the node over what the disk holds. */
  run(): void {
    const { member, world } = this;
    const { files: disk } = member;
    if (disk.completeInstall()) world.coverage.add("installs completed at a start");
    const backend = this.#backend();
    const fsm = createFsm(backend, sha256);
    const confState = confStateAtStart(backend.confState(), member.firstVoters);
    if (backend.confState() === undefined && member.firstVoters.length > 0) {
      backend.transaction(() => backend.setConfState(encodeConfState(confState)));
      backend.flush();
    }
    this.fsm = fsm;
    const machine = machineOf(this, fsm);
    const node = new MemberNode(
      {
        memberId: member.id,
        clusterId: CLUSTER,
        name: this.name,
        log: logOf(this),
        machine,
        confState,
        seedMembers: member.seeds,
        storage: {
          checkpoint: async () => {
            if (world.mutant.checkpointLies === true) return fsm.appliedIndex;
            this.gate("checkpoint");
            const index = disk.checkpoint();
            await this.pass(2);
            return index;
          },
        },
        snapshots: this.#snapshots(fsm),
        peers: {
          send: (to, channel, payload) => {
            const isSent = world.network.send(this, to, channel, payload);
            if (isSent) this.#sent();
            return isSent;
          },
          afterSends: (work) => this.scheduler.soon(work),
        },
        scheduler: this.scheduler,
        clock: this.clock,
        random: createPrng(world.random.below(2 ** 32)),
        times: {
          heartbeatMs: HEARTBEAT_MS,
          electionMs: ELECTION_MS,
          requestTimeoutMs: REQUEST_TIMEOUT_MS,
          progressIntervalMs: 2000,
        },
        snapshotEntries: world.plan.snapshotEntries,
        observer: this.#observer(),
        logger: silentLogger,
        report: () => ({ version: "0", dbBytes: 1, dbBytesInUse: 1 }),
        onMembers: (names) => (this.peerNames = new Set(names)),
        onRemoved: (reason) => member.removed(reason),
        onFatal: (error) => {
          if (this.isAlive && !(error instanceof ProcessEnd)) world.engine.fail(error);
        },
      },
      world.mutant.nodeRules,
    );
    this.node = node;
    try {
      node.start();
    } catch (error) {
      if (!(error instanceof ProcessEnd)) throw error;
    }
    void this.#announce(node);
  }

  /** Waits; never ends once the process is dead. */
  pass(ms: number): Promise<void> {
    return new Promise((resolve) => void this.world.engine.after(ms, this, resolve));
  }

  #backend(): FsmBackend {
    const { member, world } = this;
    const backend = member.files.backend((what) => this.gate(what));
    if (world.mutant.forgetsConfState !== true) return backend;
    const setConfState = (bytes: Uint8Array): void => {
      if (backend.confState() === undefined) backend.setConfState(bytes);
    };
    return { ...backend, setConfState };
  }

  #snapshots(fsm: Fsm): ReturnType<typeof createSnapshotStore> {
    const { member, world } = this;
    return createSnapshotStore({
      disk: member.files,
      work: (ms) => this.pass(ms),
      gate: (what) => this.gate(what),
      commit: () => fsm.flush(),
      padding: world.plan.snapshotPadding,
      resetsLog: world.mutant.keepsLogAtInstall !== true,
      onInstalled: ({ index }) => {
        world.coverage.add("snapshots installed");
        world.engine.note(`${this.name} installs the snapshot of entry ${index}`);
      },
    });
  }

  #observer(): ConstructorParameters<typeof MemberNode>[0]["observer"] {
    const { world, member } = this;
    const { coverage } = world;
    return {
      proposed: (count) => coverage.add("proposals given out", count),
      applied: () => undefined,
      leadership: () => {
        const node = this.node;
        if (!this.isAlive || node === undefined) return;
        const { role, term, leader } = node.status();
        world.engine.note(`${this.name} is ${role} in term ${term}, led by ${leader}`);
        member.look(node);
        world.truth.raft.became(member, { role, term, leader });
        if (role !== "leader") return;
        coverage.add("leaders");
        world.truth.led();
      },
      pending: () => undefined,
      proposalsFailed: (count) => coverage.add("proposals out of time", count),
      readsFailed: (count) => coverage.add("reads out of time", count),
      heartbeatFailed: () => undefined,
      snapshotSent: (_, delivered) =>
        coverage.add(delivered ? "snapshots delivered" : "snapshots given up"),
    };
  }

  /** Tells the cluster its name, as a member does after its start. */
  async #announce(node: Node): Promise<void> {
    const { name, member } = this;
    const id: MemberId = member.id;
    const command = {
      kind: "member",
      member: { id, name, peerUrls: [peerUrl(name)], clientUrls: [], isLearner: false },
    } as const;
    const actor = systemActor("announce");
    const proposal = { tenant: CLUSTER_SCOPE, policyRevision: undefined, actor, command };
    while (this.isAlive) {
      try {
        await node.readIndex();
        if (node.state.members().some((one) => one.id === id && one.name === name)) return;
        await node.propose(proposal);
      } catch (error) {
        if (!(error instanceof CofferError)) throw error;
        if (error.code === "stopped") return;
      }
      await this.pass(100);
    }
  }
}

export function peerUrl(name: string): string {
  return `https://${name}:2380`;
}
