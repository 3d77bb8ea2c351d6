import { createHash, randomInt } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type PolicyFiles, findPolicyFolder, loadPolicyFiles } from "../access/mod.ts";
import { type ListenAddress, createServer } from "../api/mod.ts";
import { type Audit, openAudit } from "../audit/mod.ts";
import type { Address, ServerConfig } from "../config/mod.ts";
import { type Fsm, createFsm } from "../core/fsm/mod.ts";
import { createEdge } from "../edge/mod.ts";
import { CofferError } from "../errors.ts";
import type { IssuedToken } from "../identity/mod.ts";
import { MemberNode } from "../node/mod.ts";
import { type Keyring, createKeyring, createRootKeyFile, keyFileProvider } from "../seal/mod.ts";
import { createPrng } from "../stdx/mod.ts";
import { type RaftLog, type StateStore, openRaftLog, openStateStore } from "../storage/mod.ts";
import type { Logger, Metrics } from "../telemetry/mod.ts";
import { createMetrics } from "../telemetry/mod.ts";
import { keepMarks, refuseMixedFiles, refuseOlderData } from "./acknowledged.ts";
import { announceMember, bootstrap } from "./bootstrap.ts";
import { processClock } from "./clock.ts";
import { createEdgeDeps } from "./edge-deps.ts";
import { boundHeapGrowth } from "./heap.ts";
import { openMemberIdentity } from "./member-identity.ts";
import { type MemberFile, deriveIds, openMemberFile } from "./member-file.ts";
import { versionsOf } from "./versions.ts";

/** A running member. */
export interface Member {
  readonly listening: readonly ListenAddress[];
  /** A token of the built-in issuer, for whoever runs this process. */
  issueToken(order: {
    readonly subject: string;
    readonly tenants: readonly string[];
    readonly ttlSeconds: number;
  }): Promise<IssuedToken>;
  /** Stops taking requests, ends those under way, closes the files. May be called again. */
  stop(): Promise<void>;
}

export interface MemberHost {
  /** Coffer's own version. */
  readonly version: string;
  readonly log: Logger;
  /** The member cannot go on: the process must end. */
  readonly onFatal: (error: unknown) => void;
}

/** The files of one member, opened in order and closed in the opposite one. */
interface Files {
  readonly raftLog: RaftLog;
  readonly store: StateStore;
  readonly audit: Audit;
}

/** Opens a member's data folder, or makes a new one, and serves it. */
export async function startMember(config: ServerConfig, host: MemberHost): Promise<Member> {
  if (config.initialCluster.length > 1) {
    throw new CofferError(
      "invalid-argument",
      "this version runs clusters of one member; leave --initial-cluster out",
    );
  }
  boundHeapGrowth();
  const ids = openMemberFile(config.dataDir, deriveIds(config));
  ensureRootKey(config, host.log);
  const policies = loadPolicyFiles(findPolicyFolder(import.meta.url));
  const metrics = createMetrics({
    etcdVersion: versionsOf(host.version).etcd,
    cofferVersion: host.version,
    memberId: ids.memberId.toString(16),
  });
  const files = await openFiles(config, ids, { log: host.log, metrics });
  const ends: End[] = [() => closeFiles(files)];
  try {
    return await serve({ config, host, ids, policies, metrics, files }, ends);
  } catch (error) {
    await endAll(ends);
    throw error;
  }
}

/** Ends something that was started. */
type End = () => void | Promise<void>;

/** The last that was started ends first. */
async function endAll(ends: readonly End[]): Promise<void> {
  for (const end of ends.toReversed()) await end();
}

interface Parts {
  readonly config: ServerConfig;
  readonly host: MemberHost;
  readonly ids: MemberFile;
  readonly policies: PolicyFiles;
  readonly metrics: Metrics;
  readonly files: Files;
}

interface Core {
  readonly keyring: Keyring;
  readonly node: MemberNode;
}

/** Runs the node over the files, unless they are not the newest. Adds to `ends` as it goes. */
async function startNode(parts: Parts, ends: End[]): Promise<Core> {
  const { config, host, ids, files } = parts;
  const machine = createFsm(files.store, sha256);
  const acknowledged = { audit: files.audit, dataDir: config.dataDir, log: host.log };
  await refuseMixedFiles(acknowledged, files.raftLog, machine.appliedIndex);
  const keyring = createKeyring({
    clusterId: ids.clusterId,
    provider: keyFileProvider({ path: config.rootKeyFile }),
    records: (scope) => machine.reader.records(scope, "wrapped-key"),
    clock: processClock,
  });
  ends.push(() => keyring.close());
  const node = createNode(parts, machine);
  node.onRecords(({ scope, table }) => {
    if (table === "wrapped-key") keyring.invalidate(scope);
  });
  node.onTenantDeleted((tenant) => keyring.invalidate(tenant));
  const stopNode = (): void => node.stop();
  ends.push(stopNode);
  node.start();
  await node.readIndex();
  await refuseOlderData(acknowledged, {
    lastIndex: files.raftLog.lastIndex,
    state: machine.reader,
  });
  const marks = keepMarks(acknowledged, () => machine.appliedIndex);
  // Ends after the node, which may apply a last batch as it stops.
  ends.splice(ends.indexOf(stopNode), 0, () => marks.stop());
  return { keyring, node };
}

/** Adds to `ends` as it goes, so that what was started ends whether all of it was or not. */
async function serve(parts: Parts, ends: End[]): Promise<Member> {
  const { config, host, ids, policies, metrics, files } = parts;
  const { keyring, node } = await startNode(parts, ends);
  const bootDeps = { node, keyring, policies, clock: processClock };
  await bootstrap(bootDeps);
  const identity = openMemberIdentity({ config, node, keyring, log: host.log });
  ends.push(() => identity.close());
  const edge = createEdge(
    createEdgeDeps({
      config,
      node,
      keyring,
      policies,
      identity,
      metrics,
      ...files,
      log: host.log,
      version: host.version,
    }),
  );
  const server = createServer({
    edge,
    log: host.log,
    tls: readTls(config),
    listen: config.listenClientUrls.map(listenAddress),
    versions: versionsOf(host.version),
    metricsText: () => metrics.text(),
    onRefusedConnection: (reason, address) => {
      host.log.warn("Connection refused", { reason, address });
      identity.auditRefusedConnection(files.audit, reason, address);
    },
  });
  ends.push(() => server.close());
  const listening = await server.listen();
  await announceMember(bootDeps, {
    id: ids.memberId,
    name: config.name,
    peerUrls: [],
    clientUrls: config.advertiseClientUrls.map((address) => address.url),
    isLearner: false,
  });
  host.log.info("Serving clients", {
    member: ids.memberId.toString(16),
    cluster: ids.clusterId.toString(16),
    addresses: listening.map(({ scheme, host: name, port }) => `${scheme}://${name}:${port}`),
  });
  let stopping: Promise<void> | undefined;
  return {
    listening,
    issueToken: (order) => identity.issueToken({ ...order, groups: [] }),
    stop: () => (stopping ??= endAll(ends)),
  };
}

function createNode({ config, host, ids, metrics, files }: Parts, machine: Fsm): MemberNode {
  let committed = 0;
  const node = new MemberNode({
    memberId: ids.memberId,
    clusterId: ids.clusterId,
    log: files.raftLog,
    confState: {
      voters: [ids.memberId],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    },
    machine,
    storage: { checkpoint: () => Promise.resolve(files.store.checkpoint()) },
    peers: { send: () => undefined },
    clock: processClock,
    random: createPrng(randomInt(2 ** 32)),
    times: {
      heartbeatMs: config.heartbeatMs,
      electionMs: config.electionMs,
      // etcd's: 5 s and two election timeouts.
      requestTimeoutMs: 5000 + 2 * config.electionMs,
      progressIntervalMs: 600_000,
    },
    snapshotEntries: config.snapshotEntries,
    observer: {
      proposed: (count) => metrics.batchProposals.observe(count),
      applied: (_, count) => {
        committed += count;
      },
      leadership: ({ leader, isLeader }) => {
        metrics.leaderChanges.inc();
        host.log.info("Leadership", { leader: leader.toString(16), isLeader });
      },
      pending: () => undefined,
    },
    logger: host.log,
    onFatal: host.onFatal,
  });
  metrics.observe({
    hasLeader: () => node.status().leader !== 0n,
    isLeader: () => node.status().leader === ids.memberId,
    isLearner: () => node.status().isLearner,
    proposalsCommitted: () => committed,
    proposalsApplied: () => committed,
    quotaBytes: () => config.quotaBytes,
    dbBytes: () => files.store.size().total,
    dbBytesInUse: () => files.store.size().inUse,
    watchStreams: () => node.watchStatus().streams,
    watchers: () => node.watchStatus().watchers,
    slowWatchers: () => node.watchStatus().slowWatchers,
    tenants: () => node.state.tenants().length,
    auditBlocked: () => files.audit.blocked !== undefined,
  });
  return node;
}

/**
 * A new cluster of one makes its root key where the operator pointed. With data there already, a
 * missing file is a mistake that a new key would make worse.
 */
function ensureRootKey(config: ServerConfig, log: Logger): void {
  const hasData = ["state.db", "raft.db"].some((name) => existsSync(join(config.dataDir, name)));
  if (existsSync(config.rootKeyFile)) return;
  if (hasData) {
    throw new CofferError(
      "sealed",
      `key file '${config.rootKeyFile}' is not there, and "${config.dataDir}" holds data that only ` +
        "its key opens; restore the file from its backup or name it with --root-key-file",
    );
  }
  createRootKeyFile(config.rootKeyFile);
  log.warn("Root key made: back this file up, without it the data cannot be opened", {
    file: config.rootKeyFile,
  });
}

async function openFiles(
  config: ServerConfig,
  ids: MemberFile,
  deps: { readonly log: Logger; readonly metrics: Metrics },
): Promise<Files> {
  const raftLog = openRaftLog({
    path: join(config.dataDir, "raft.db"),
    log: deps.log,
    onFsync: (seconds) => deps.metrics.walFsync.observe(seconds),
  });
  try {
    const store = openStateStore({ path: join(config.dataDir, "state.db"), commit: "later" });
    try {
      const audit = await openAudit({
        folder: join(config.dataDir, "audit"),
        memberId: ids.memberId.toString(16),
        clock: processClock,
        log: deps.log,
      });
      return { raftLog, store, audit };
    } catch (error) {
      store.close();
      throw error;
    }
  } catch (error) {
    raftLog.close();
    throw error;
  }
}

async function closeFiles({ raftLog, store, audit }: Files): Promise<void> {
  await audit.close();
  store.close();
  raftLog.close();
}

function readTls(config: ServerConfig): Parameters<typeof createServer>[0]["tls"] {
  if (config.tlsCert === undefined || config.tlsKey === undefined) return undefined;
  return {
    cert: readPem(config.tlsCert, "--tls-cert"),
    key: readPem(config.tlsKey, "--tls-key"),
    clientCa: config.clientCa === undefined ? undefined : readPem(config.clientCa, "--client-ca"),
    clientCertAuth: config.clientCertAuth,
    crl: config.clientCrl === undefined ? undefined : readPem(config.clientCrl, "--client-crl"),
  };
}

function readPem(path: string, option: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "error";
    throw new CofferError("invalid-argument", `${option} ${path} cannot be read (${code})`, {
      cause,
    });
  }
}

function listenAddress({ secure, host, port }: Address): ListenAddress {
  return { scheme: secure ? "https" : "http", host, port };
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}
