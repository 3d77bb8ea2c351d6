import { hash } from "node:crypto";
import { type PolicyFiles, findPolicyFolder, loadPolicyFiles } from "../access/mod.ts";
import { type ListenAddress, type Server, createServer } from "../api/mod.ts";
import type { openAudit } from "../audit/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import { createFsm } from "../core/fsm/mod.ts";
import { createEdge } from "../edge/mod.ts";
import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import type { IssuedToken } from "../identity/mod.ts";
import type { MemberNode } from "../node/mod.ts";
import { watchFiles } from "../pki/mod.ts";
import { type Keyring, createFileKeys, createKeyring, keyFileProvider } from "../seal/mod.ts";
import { type Logger, type Metrics, createMetrics } from "../telemetry/mod.ts";
import { refuseOlderAudit } from "./audit-evidence.ts";
import { startAuditKeeping } from "./audit-keeping.ts";
import { recoverRecords } from "./audit-recovery.ts";
import { keepMarks, refuseMixedFiles, refuseOlderLog, refuseOlderState } from "./acknowledged.ts";
import { peerUrlsOf } from "./bootstrap.ts";
import { type FileEnd, expiryMetrics, readEnds, warnOfExpiry } from "./certificate-expiry.ts";
import { type ClientTls, listenAddress, readTls } from "./client-port.ts";
import { processClock, processScheduler } from "./clock.ts";
import { connectionRecords } from "./connection-audit.ts";
import { type NodeParts, createNode } from "./create-node.ts";
import { createEdgeDeps } from "./edge-deps.ts";
import { type End, endAll } from "./ends.ts";
import { type Files, closeFiles, openFiles } from "./files.ts";
import { boundHeapGrowth } from "./heap.ts";
import { type MemberFile, clusterIdText } from "./member-file.ts";
import { openMemberIdentity } from "./member-identity.ts";
import type { Network } from "./network.ts";
import { type Place, findPlace, meetOthers } from "./place.ts";
import { announce, awaitBootstrap, awaitReadable } from "./readiness.ts";
import { ensureRootKey } from "./root-key.ts";
import { keepTls } from "./renewed-tls.ts";
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
  /**
   * Hands leadership over, stops taking requests, ends those under way, closes the files. May be called
   * again.
   */
  stop(): Promise<void>;
}

export interface MemberHost {
  /** Coffer's own version. */
  readonly version: string;
  readonly log: Logger;
  /** The member cannot go on: the process must end. */
  readonly onFatal: (error: unknown) => void;
  /** The member was taken out of the cluster and serves no more; it is still to be stopped. */
  readonly onRemoved?: (reason: string) => void;
  /** Opens the audit log in place of the usual; for tests and benchmarks. */
  readonly openAudit?: typeof openAudit;
  /** Ends a start that waits for others. */
  readonly signal?: AbortSignal;
}

/** Opens a member's data folder, or makes a new one, and serves it. */
export async function startMember(config: ServerConfig, host: MemberHost): Promise<Member> {
  boundHeapGrowth();
  const ends: End[] = [];
  try {
    // Told now and not once the others have elected it; read again then, renewed by then perhaps.
    readTls(config);
    ensureRootKey(config, host.log);
    const policies = loadPolicyFiles(findPolicyFolder(import.meta.url));
    const signal = host.signal ?? new AbortController().signal;
    const place = await findPlace({ config, log: host.log, signal }, ends);
    return await serve({ config, host, policies, signal, place }, ends);
  } catch (error) {
    await endAll(ends);
    throw error;
  }
}

interface Start {
  readonly config: ServerConfig;
  readonly host: MemberHost;
  readonly policies: PolicyFiles;
  readonly signal: AbortSignal;
  readonly place: Place;
}

interface Parts extends Start {
  readonly ids: MemberFile;
  readonly metrics: Metrics;
  readonly files: Files;
}

interface Core {
  readonly keyring: Keyring;
  readonly node: MemberNode;
  readonly network: Network | undefined;
  readonly machine: ReturnType<typeof createFsm>;
}

/** Adds to `ends` as it goes, so that what was started ends whether all of it was or not. */
async function serve(start: Start, ends: End[]): Promise<Member> {
  const { config, host, place } = start;
  const { ids } = place;
  const metrics = createMetrics({
    etcdVersion: versionsOf(host.version).etcd,
    cofferVersion: host.version,
    memberId: ids.memberId.toString(16),
  });
  const fileKeys = await createFileKeys({
    provider: keyFileProvider({ path: config.rootKeyFile }),
    cluster: clusterIdText(ids.clusterId),
  });
  ends.push(() => fileKeys.close());
  const files = await openFiles(config, ids, { ...host, metrics, fileKeys });
  ends.push(() => closeFiles(files));
  const parts = { ...start, ids, metrics, files };
  const core = await startNode(parts, ends);
  await awaitBootstrap({
    ...core,
    policies: start.policies,
    firstMembers: place.firstVoters,
    log: host.log,
    signal: start.signal,
  });
  const { listening, issueToken } = await openClientPort(parts, core, ends);
  await announce(core.node, {
    log: host.log,
    signal: start.signal,
    member: {
      id: ids.memberId,
      name: config.name,
      peerUrls: peerUrlsOf(config.name),
      clientUrls: config.advertiseClientUrls.map((address) => address.url),
      isLearner: false,
    },
  });
  host.log.info("Serving clients", {
    member: ids.memberId.toString(16),
    cluster: ids.clusterId.toString(16),
    addresses: listening.map(({ scheme, host: name, port }) => `${scheme}://${name}:${port}`),
  });
  // While it is still served, so that requests under way go on at the next leader.
  ends.push(async () => void (await core.node.transferLeadership()));
  let stopping: Promise<void> | undefined;
  return { listening, issueToken, stop: () => (stopping ??= endAll(ends)) };
}

/**
 * Runs the node over the files, unless they are not the newest, and waits until all that was
 * acknowledged is applied.
 */
async function startNode(parts: Parts, ends: End[]): Promise<Core> {
  const { config, host, ids, files, signal } = parts;
  const machine = createFsm(files.store, sha256);
  const acknowledged = { audit: files.audit, dataDir: config.dataDir, log: host.log };
  await refuseMixedFiles(acknowledged, files.raftLog, machine.appliedIndex);
  await refuseOlderLog(acknowledged, files.raftLog.lastIndex);
  const isNew = files.raftLog.lastIndex === 0 && files.raftLog.hardState.term === 0;
  const met = await meetOthers({ config, log: host.log, signal }, { ...parts.place, isNew }, ends);
  const { network } = met;
  const keyring = createKeyring({
    clusterId: ids.clusterId,
    provider: keyFileProvider({ path: config.rootKeyFile }),
    records: (scope) => machine.reader.records(scope, "wrapped-key"),
    clock: processClock,
  });
  ends.push(() => keyring.close());
  const onRemoved = (reason: string): void => host.onRemoved?.(reason);
  const nodeParts: NodeParts = { ...parts, ...met, onRemoved };
  const node = createNode(nodeParts, machine, ends);
  forgetKeys(node, keyring);
  network?.deliverTo(node);
  const stopNode = (): void => node.stop();
  ends.push(() => network?.deliverTo(undefined), stopNode);
  node.start();
  await awaitReadable(node, { network, log: host.log, signal });
  const isAlone = node.status().voters.length === 1;
  await refuseOlderState(acknowledged, { state: machine.reader, isAlone });
  const ours = { state: machine.reader, member: ids.memberId.toString(16) };
  await refuseOlderAudit(acknowledged, ours);
  const recovery = { ...files, log: host.log, state: machine.reader, memberId: ids.memberId };
  await recoverRecords(recovery, machine.appliedIndex);
  const marks = keepMarks(acknowledged, () => machine.appliedIndex);
  // Ends after the node, which may apply a last batch as it stops.
  ends.splice(ends.indexOf(stopNode), 0, () => marks.stop());
  const keeping = { ...parts, ...recovery, node, keyring, marksWritten: () => marks.written };
  // After the last request, and before the node that takes its last checkpoint.
  ends.push(await startAuditKeeping(keeping));
  observeNode(parts.metrics, node);
  return { keyring, node, network, machine };
}

/** What was known of keys goes as soon as they may have changed under it. */
function forgetKeys(node: MemberNode, keyring: Keyring): void {
  node.onRecords(({ scope, table }) => {
    if (table === "wrapped-key") keyring.invalidate(scope);
  });
  node.onTenantDeleted((tenant) => keyring.invalidate(tenant));
  node.onStateReplaced(() => keyring.invalidate(CLUSTER_SCOPE));
}

function observeNode(metrics: Metrics, node: MemberNode): void {
  metrics.observe({
    isLearner: () => node.status().isLearner,
    // etcd's are indexes of the log (server/etcdserver/raft.go).
    proposalsCommitted: () => node.status().commitIndex,
    proposalsApplied: () => node.status().appliedIndex,
    watchStreams: () => node.watchStatus().streams,
    watchers: () => node.watchStatus().watchers,
    slowWatchers: () => node.watchStatus().slowWatchers,
    tenants: () => node.state.tenantCount,
  });
}

async function openClientPort(
  { config, host, policies, metrics, files }: Parts,
  { node, keyring, network, machine }: Core,
  ends: End[],
): Promise<Pick<Member, "listening" | "issueToken">> {
  const identity = openMemberIdentity({ config, node, keyring, log: host.log });
  ends.push(() => identity.close());
  metrics.observe({
    sealed: () => keyring.status().sealed,
    tokenCacheEntries: () => identity.identity.cachedTokens,
    jwksFailures: () => identity.failedIssuers(),
  });
  const edge = createEdge(
    createEdgeDeps({
      config,
      node,
      keyring,
      policies,
      identity,
      metrics,
      ...files,
      machine,
      links: network === undefined ? undefined : () => network.transport.peers(),
      natsMissing: () => network?.missing(),
      onTenantDeleted: (listener) => node.onTenantDeleted(listener),
      log: host.log,
      version: host.version,
    }),
  );
  ends.push(() => edge.close());
  const clientTls = readTls(config);
  const connections = connectionRecords({ audit: files.audit, log: host.log });
  ends.push(() => connections.close());
  const server = createServer({
    edge,
    log: host.log,
    metrics,
    tls: clientTls?.tls,
    listen: config.listenClientUrls.map(listenAddress),
    versions: versionsOf(host.version),
    metricsText: () => metrics.text(),
    onHealth: (isHealthy) => (isHealthy ? metrics.healthSuccesses : metrics.healthFailures).inc(),
    onRefusedConnection: (refused) => connections.add(refused),
  });
  ends.push(() => server.close());
  metrics.observe({ connections: () => server.connections });
  ends.push(keepCertificates({ config, host, metrics }, clientTls, server));
  return {
    listening: await server.listen(),
    issueToken: (order) => identity.issueToken({ ...order, groups: [] }),
  };
}

/** Follows the files of certificates, and tells when they end. */
function keepCertificates(
  { config, host, metrics }: Pick<Parts, "config" | "host" | "metrics">,
  clientTls: ClientTls | undefined,
  server: Server,
): End {
  const { log } = host;
  let fileEnds = readEnds(config);
  metrics.observe({ certificateEnds: () => expiryMetrics(fileEnds) });
  const clock = processClock;
  const read = (): readonly FileEnd[] => (fileEnds = readEnds(config));
  const endWarning = warnOfExpiry(read, { log, clock, scheduler: processScheduler });
  const endWatching = watchFiles(
    fileEnds.map(({ path }) => path),
    read,
  );
  const parts = { config, server, log, clock };
  const endKeeping = clientTls === undefined ? undefined : keepTls(clientTls, parts);
  return () => {
    endKeeping?.();
    endWatching();
    endWarning();
  };
}

function sha256(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}
