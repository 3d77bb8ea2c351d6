import { setImmediate as nextTurn } from "node:timers/promises";
import { collectDefaultMetrics, Registry } from "prom-client";
import { registerGauges, type GaugeSources } from "./gauges.ts";
import { peerFamilies, type PeerMetrics } from "./peer-metrics.ts";
import { registerSinks, type SinkFigures } from "./sink-metrics.ts";
import {
  counter,
  type CounterSeries,
  counterFamily,
  exponentialBounds,
  histogram,
  histogramFamily,
  type HistogramSeries,
  infoGauge,
} from "./tally.ts";

/**
 * The kinds of gRPC method as go-grpc-prometheus spells them, which etcd's dashboards select by.
 */
export type RpcType = "unary" | "client_stream" | "server_stream" | "bidi_stream";

/** One gRPC method; made once at start. All calls are one addition. */
export interface RpcMetrics {
  started(): void;
  /** `status`: the gRPC status number; `seconds` from first byte to trailers. */
  handled(status: number, seconds: number): void;
  received(messages: number): void;
  sent(messages: number): void;
}

/** Counters and histograms of the hot path. Histograms take seconds. */
export interface Metrics {
  rpc(type: RpcType, service: string, method: string): RpcMetrics;
  /** The series of the member with that id, hexadecimal. */
  peer(id: string): PeerMetrics;

  readonly puts: CounterSeries;
  readonly deletes: CounterSeries;
  readonly ranges: CounterSeries;
  readonly txns: CounterSeries;
  readonly watchEvents: CounterSeries;
  readonly leasesGranted: CounterSeries;
  readonly leasesRevoked: CounterSeries;
  readonly leasesRenewed: CounterSeries;
  readonly leasesExpired: CounterSeries;

  readonly leaderChanges: CounterSeries;
  readonly proposalsFailed: CounterSeries;
  readonly slowApplies: CounterSeries;
  readonly readIndexesFailed: CounterSeries;
  readonly heartbeatFailures: CounterSeries;
  readonly healthSuccesses: CounterSeries;
  readonly healthFailures: CounterSeries;
  readonly walFsync: HistogramSeries;
  readonly backendCommit: HistogramSeries;
  readonly clientReceivedBytes: CounterSeries;
  readonly clientSentBytes: CounterSeries;

  /** Proposals in one log entry: how well group commit works. */
  readonly batchProposals: HistogramSeries;
  readonly tokensAccepted: CounterSeries;
  readonly tokensRefused: CounterSeries;
  readonly decisionsAllowed: CounterSeries;
  readonly decisionsDenied: CounterSeries;
  readonly auditRecords: CounterSeries;
  readonly auditFailures: CounterSeries;
  readonly guardRetries: CounterSeries;
  readonly policyRetries: CounterSeries;
  readonly credentialRetries: CounterSeries;

  /** Frames of the network between members that were refused; each reason is one series. */
  framesRefused(reason: string): CounterSeries;

  /** Gauges of each audit sink, asked for at a scrape. */
  auditSinks(statuses: () => readonly SinkFigures[]): void;

  /** Adds sources of gauges; each is called at a scrape, and one left out gives no sample. */
  observe(sources: GaugeSources): void;
  /** The Prometheus text format, version 0.0.4. */
  text(): Promise<string>;
  /** The value of the content-type header of `text`. */
  readonly contentType: string;
}

export interface MetricsOptions {
  /** The etcd version that is claimed, and Coffer's own. */
  readonly etcdVersion: string;
  readonly cofferVersion: string;
  /** Hexadecimal, as etcd's `server_id`. */
  readonly memberId: string;
  /** Also the process's own figures (memory, CPU, descriptors). Default true. */
  readonly processMetrics?: boolean;
}

// Bounds as etcd's histograms have them, so that dashboards' quantiles stay comparable:
// 1 ms * 2^13 for the disk, 0.1 ms * 2^19 for requests (etcd server/storage, server/etcdserver).
const DISK_BOUNDS_SECONDS: readonly number[] = exponentialBounds(0.001, 2, 14);
const REQUEST_BOUNDS_SECONDS: readonly number[] = exponentialBounds(0.0001, 2, 20);
const BATCH_BOUNDS: readonly number[] = exponentialBounds(1, 2, 12);

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  if (options.processMetrics ?? true) collectDefaultMetrics({ register: registry });
  registerInfo(registry, options);
  let sources: GaugeSources = {};
  registerGauges(registry, () => sources);
  return {
    rpc: rpcFamilies(registry),
    peer: peerFamilies(registry),
    ...etcdSeries(registry),
    ...cofferSeries(registry),
    framesRefused: refusedFamily(registry),
    auditSinks: (statuses) => registerSinks(registry, statuses),
    observe: (more) => {
      sources = { ...sources, ...more };
    },
    text: () => textOf(registry),
    contentType: registry.contentType,
  };
}

/** A turn of the event loop for each family: all at once took 15 ms of one. */
async function textOf(registry: Registry): Promise<string> {
  const families: string[] = [];
  for (const { name } of registry.getMetricsAsArray()) {
    families.push(await registry.getSingleMetricAsString(name));
    await nextTurn();
  }
  return `${families.join("\n\n")}\n`;
}

function registerInfo(registry: Registry, options: MetricsOptions): void {
  const info = (name: string, help: string, labels: Record<string, string>): void =>
    infoGauge({ registry, name, help }, labels);
  info("etcd_server_version", "The etcd version that this server claims to its clients.", {
    server_version: options.etcdVersion,
  });
  info("etcd_cluster_version", "The etcd version that this cluster claims to its clients.", {
    cluster_version: options.etcdVersion.split(".").slice(0, 2).join("."),
  });
  info("etcd_server_id", "The id of this member, hexadecimal.", { server_id: options.memberId });
  info("coffer_build_info", "The version of Coffer that runs.", { version: options.cofferVersion });
}

/** Names of gRPC codes as Go prints them (google.golang.org/grpc/codes). */
const GRPC_CODE_NAMES: readonly string[] = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];

const UNKNOWN = 2;

function rpcFamilies(registry: Registry): Metrics["rpc"] {
  const family = (name: string, help: string, more: readonly string[] = []) =>
    counterFamily({
      registry,
      name,
      help,
      labelNames: ["grpc_type", "grpc_service", "grpc_method", ...more],
    });
  const startedOf = family("grpc_server_started_total", "RPCs started on the server.");
  const handledOf = family("grpc_server_handled_total", "RPCs completed, by code.", ["grpc_code"]);
  const receivedOf = family("grpc_server_msg_received_total", "Stream messages received.");
  const sentOf = family("grpc_server_msg_sent_total", "Stream messages sent.");
  const secondsOf = histogramFamily({
    registry,
    name: "grpc_server_handling_seconds",
    help: "Seconds from the start of an RPC to its end.",
    labelNames: ["grpc_type", "grpc_service", "grpc_method"],
    bounds: REQUEST_BOUNDS_SECONDS,
  });
  return (type, service, method) => {
    const labels = { grpc_type: type, grpc_service: service, grpc_method: method };
    const started = startedOf(labels);
    const received = receivedOf(labels);
    const sent = sentOf(labels);
    // Codes and times appear when first answered: all seventeen codes and twenty bounds for each method
    // would make a scrape of several milliseconds, mostly zeros.
    let seconds: HistogramSeries | undefined;
    const handled: CounterSeries[] = [];
    const handledWith = (status: number): CounterSeries => {
      const known = handled[status];
      if (known !== undefined) return known;
      const code = GRPC_CODE_NAMES[status];
      if (code === undefined) return handledWith(UNKNOWN);
      return (handled[status] = handledOf({ ...labels, grpc_code: code }));
    };
    handledWith(0);
    return {
      started: () => started.inc(),
      handled: (status, spent) => {
        handledWith(status).inc();
        (seconds ??= secondsOf(labels)).observe(spent);
      },
      received: (messages) => received.inc(messages),
      sent: (messages) => sent.inc(messages),
    };
  };
}

function refusedFamily(registry: Registry): Metrics["framesRefused"] {
  const family = counterFamily({
    registry,
    name: "coffer_transport_frames_refused_total",
    help: "Frames that no member of this cluster sent, or that came late, twice or damaged.",
    labelNames: ["reason"],
  });
  const known = new Map<string, CounterSeries>();
  return (reason) => {
    const series = known.get(reason) ?? family({ reason });
    known.set(reason, series);
    return series;
  };
}

/** The keys of `Metrics` that are plain series, which the two functions below make. */
type Series = Omit<
  Metrics,
  "rpc" | "peer" | "framesRefused" | "auditSinks" | "observe" | "text" | "contentType"
>;
type CofferSeries =
  | "batchProposals"
  | "tokensAccepted"
  | "tokensRefused"
  | "decisionsAllowed"
  | "decisionsDenied"
  | "auditRecords"
  | "auditFailures"
  | "guardRetries"
  | "policyRetries"
  | "credentialRetries";

function etcdSeries(registry: Registry): Omit<Series, CofferSeries> {
  const count = (name: string, help: string): CounterSeries =>
    counter({ registry, name: `etcd_${name}`, help });
  const disk = (name: string, help: string): HistogramSeries =>
    histogram({ registry, name: `etcd_disk_${name}`, help, bounds: DISK_BOUNDS_SECONDS });
  return {
    puts: count("mvcc_put_total", "Puts seen by this member."),
    deletes: count("mvcc_delete_total", "Deletes seen by this member."),
    ranges: count("mvcc_range_total", "Ranges seen by this member."),
    txns: count("mvcc_txn_total", "Transactions of several operations seen."),
    watchEvents: count("debugging_mvcc_events_total", "Events sent by this member."),
    leasesGranted: count("debugging_lease_granted_total", "Leases granted."),
    leasesRevoked: count("debugging_lease_revoked_total", "Leases revoked."),
    leasesRenewed: count("debugging_lease_renewed_total", "Leases renewed."),
    leasesExpired: count("debugging_server_lease_expired_total", "Leases expired."),
    leaderChanges: count("server_leader_changes_seen_total", "Changes of leader seen."),
    proposalsFailed: count("server_proposals_failed_total", "Proposals that failed."),
    slowApplies: count("server_slow_apply_total", "Batches that took over 100 ms to apply."),
    readIndexesFailed: count("server_read_indexes_failed_total", "Read indexes that failed."),
    heartbeatFailures: count(
      "server_heartbeat_send_failures_total",
      "Heartbeats that could not be sent.",
    ),
    healthSuccesses: count("server_health_success", "Health checks answered healthy."),
    healthFailures: count("server_health_failures", "Health checks answered unhealthy."),
    walFsync: disk("wal_fsync_duration_seconds", "Seconds of one log transaction with its fsync."),
    backendCommit: disk("backend_commit_duration_seconds", "Seconds of one state transaction."),
    clientReceivedBytes: count(
      "network_client_grpc_received_bytes_total",
      "Bytes of gRPC messages received from clients.",
    ),
    clientSentBytes: count(
      "network_client_grpc_sent_bytes_total",
      "Bytes of gRPC messages sent to clients.",
    ),
  };
}

function cofferSeries(registry: Registry): Pick<Series, CofferSeries> {
  const pair = (name: string, help: string, label: string, values: readonly [string, string]) => {
    const family = counterFamily({ registry, name, help, labelNames: [label] });
    return [family({ [label]: values[0] }), family({ [label]: values[1] })] as const;
  };
  const tokens = pair("coffer_tokens_total", "Bearer tokens presented.", "outcome", [
    "accepted",
    "refused",
  ]);
  const decisions = pair("coffer_access_decisions_total", "Policy decisions.", "outcome", [
    "allowed",
    "denied",
  ]);
  const retries = counterFamily({
    registry,
    name: "coffer_write_retries_total",
    help: "Writes evaluated again.",
    labelNames: ["cause"],
  });
  const count = (name: string, help: string): CounterSeries =>
    counter({ registry, name: `coffer_${name}`, help });
  return {
    batchProposals: histogram({
      registry,
      name: "coffer_batch_proposals",
      help: "Proposals committed in one log entry.",
      bounds: BATCH_BOUNDS,
    }),
    tokensAccepted: tokens[0],
    tokensRefused: tokens[1],
    decisionsAllowed: decisions[0],
    decisionsDenied: decisions[1],
    auditRecords: count("audit_records_total", "Audit records written."),
    auditFailures: count("audit_failures_total", "Audit records that could not be written."),
    guardRetries: retries({ cause: "guard-failed" }),
    policyRetries: retries({ cause: "stale-policy" }),
    credentialRetries: retries({ cause: "stale-credentials" }),
  };
}
