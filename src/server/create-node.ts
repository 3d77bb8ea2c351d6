import { randomInt } from "node:crypto";
import { type ServerConfig, autoCompactionOf } from "../config/mod.ts";
import type { Fsm } from "../core/fsm/mod.ts";
import type { MemberId } from "../core/types/mod.ts";
import { MemberNode, confStateAtStart } from "../node/mod.ts";
import { createPrng } from "../stdx/mod.ts";
import { openSnapshotStore } from "../storage/mod.ts";
import { type Metrics, countApplied } from "../telemetry/mod.ts";
import { encodeConfState } from "../wire/mod.ts";
import { processClock, processScheduler } from "./clock.ts";
import type { End } from "./ends.ts";
import type { Files } from "./files.ts";
import type { MemberFile } from "./member-file.ts";
import type { Network } from "./network.ts";
import { peerObserver } from "./peer-observer.ts";
import type { MemberHost } from "./start-member.ts";

export interface KnownMember {
  readonly id: MemberId;
  readonly name: string;
}

export interface NodeParts {
  readonly config: ServerConfig;
  readonly host: MemberHost;
  readonly ids: MemberFile;
  readonly metrics: Metrics;
  readonly files: Files;
  readonly network: Network | undefined;
  /** The voters that the cluster began with; empty for a member that joined it. */
  readonly firstVoters: readonly KnownMember[];
  /** Who is known before the replicated table is. */
  readonly seedMembers: readonly KnownMember[];
  readonly onRemoved: (reason: string) => void;
}

/** etcd's default, in milliseconds. */
const PROGRESS_INTERVAL_MS = 600_000;
/** As etcd's warning of slow applies has it. */
const SLOW_APPLY_MS = 100;

/** Milliseconds that a request may wait for the cluster: etcd's 5 s and two election timeouts. */
export function requestTimeoutMs({ electionMs }: ServerConfig): number {
  return 5000 + 2 * electionMs;
}

/** The node over the member's files and network, not started. Adds to `ends` what it opens. */
export function createNode(parts: NodeParts, machine: Fsm, ends: End[]): MemberNode {
  const { config, host, ids, files, metrics, network } = parts;
  const { raftLog, store } = files;
  const firstVoters = parts.firstVoters.map(({ id }) => id);
  const confState = confStateAtStart(store.confState(), firstVoters);
  // The first configuration is in no entry, and a snapshot of the state must have it.
  if (store.confState() === undefined && firstVoters.length > 0) {
    store.transaction(() => store.setConfState(encodeConfState(confState)));
    store.flush();
  }
  const snapshots = openSnapshotStore({
    dataDir: config.dataDir,
    store,
    raftLog,
    log: host.log,
    scheduler: processScheduler,
    commit: () => machine.flush(),
  });
  ends.push(() => snapshots.close());
  const idOf = new Map<string, MemberId>();
  const node: MemberNode = new MemberNode({
    memberId: ids.memberId,
    clusterId: ids.clusterId,
    name: config.name,
    log: raftLog,
    machine,
    confState,
    seedMembers: parts.seedMembers,
    storage: {
      checkpoint: () => store.sync(),
      isBusy: () => store.isCopying(),
      isFilling: () => store.size().inUse > config.quotaBytes / 2,
    },
    snapshots,
    peers: network?.transport ?? { send: () => false, afterSends: queueMicrotask },
    scheduler: processScheduler,
    clock: processClock,
    random: createPrng(randomInt(2 ** 32)),
    times: {
      heartbeatMs: config.heartbeatMs,
      electionMs: config.electionMs,
      requestTimeoutMs: requestTimeoutMs(config),
      progressIntervalMs: PROGRESS_INTERVAL_MS,
    },
    snapshotEntries: config.snapshotEntries,
    autoCompaction: autoCompactionOf(config),
    observer: nodeObserver(parts, idOf),
    logger: host.log,
    report: () => {
      const { total, inUse } = store.size();
      return { version: host.version, dbBytes: total, dbBytesInUse: inUse };
    },
    onMembers: (names) => {
      network?.transport.setPeers(names);
      idOf.clear();
      for (const { id, name } of parts.seedMembers) idOf.set(name, id);
      for (const { id, name } of machine.reader.members()) if (name !== "") idOf.set(name, id);
    },
    onRemoved: parts.onRemoved,
    onFatal: host.onFatal,
  });
  network?.observeWith(peerObserver(metrics, (name) => idOf.get(name)));
  return node;
}

type NodeObserver = ConstructorParameters<typeof MemberNode>[0]["observer"];

function nodeObserver(
  { host, metrics, ids, config, files, network }: NodeParts,
  idOf: ReadonlyMap<string, MemberId>,
): NodeObserver {
  let pending = 0;
  let leader = 0n;
  let isLeader = false;
  metrics.observe({
    hasLeader: () => leader !== 0n,
    isLeader: () => leader === ids.memberId,
    proposalsPending: () => pending,
    quotaBytes: () => config.quotaBytes,
    dbBytes: () => files.store.size().total,
    dbBytesInUse: () => files.store.size().inUse,
    dbOpenReads: () => files.store.openSnapshots(),
    auditBlocked: () => files.audit.blocked !== undefined,
  });
  if (network !== undefined) {
    const { transport } = network;
    metrics.observe({
      natsConnected: () => transport.connected,
      activePeers: () => transport.peers().filter((peer) => peer.connected).length,
    });
  }
  return {
    proposed: (count) => metrics.batchProposals.observe(count),
    applied: (entries, results, milliseconds) => {
      if (milliseconds > SLOW_APPLY_MS) metrics.slowApplies.inc();
      for (const [i, { proposals }] of entries.entries()) {
        for (const [j, { command }] of proposals.entries()) {
          const result = results[i]?.[j];
          if (result !== undefined) countApplied(metrics, { command, result, isLeader });
        }
      }
    },
    leadership: (change) => {
      if (change.leader !== 0n && change.leader !== leader) metrics.leaderChanges.inc();
      leader = change.leader;
      isLeader = change.isLeader;
      const text = change.leader === 0n ? "none" : change.leader.toString(16);
      host.log.info("Leadership", { leader: text, isLeader: change.isLeader });
    },
    pending: (count) => {
      pending = count;
    },
    proposalsFailed: (count) => metrics.proposalsFailed.inc(count),
    readsFailed: (count) => metrics.readIndexesFailed.inc(count),
    heartbeatFailed: () => metrics.heartbeatFailures.inc(),
    snapshotSent: (to, delivered) => {
      const id = idOf.get(to);
      if (id !== undefined) metrics.peer(id.toString(16)).snapshotSent(delivered);
    },
  };
}
