import type { Registry } from "prom-client";
import { gauge, gaugeFamily } from "./tally.ts";

/** A file of certificates or revocation lists, by the name of its option. */
export interface CertificateEnd {
  readonly file: string;
  readonly kind: "server" | "client-ca" | "crl" | "nats";
  /** Since the epoch. */
  readonly seconds: number;
}

/** What is read when somebody scrapes. Each must be cheap: it runs on the request thread. */
export interface GaugeSources {
  readonly hasLeader?: () => boolean;
  readonly isLeader?: () => boolean;
  readonly isLearner?: () => boolean;
  readonly proposalsCommitted?: () => number;
  readonly proposalsApplied?: () => number;
  readonly proposalsPending?: () => number;
  /** Bytes. */
  readonly quotaBytes?: () => number;
  readonly dbBytes?: () => number;
  readonly dbBytesInUse?: () => number;
  readonly dbOpenReads?: () => number;
  readonly watchStreams?: () => number;
  readonly watchers?: () => number;
  readonly slowWatchers?: () => number;
  readonly tenants?: () => number;
  readonly sealed?: () => boolean;
  readonly auditBlocked?: () => boolean;
  readonly tokenCacheEntries?: () => number;
  readonly jwksFailures?: () => number;
  readonly connections?: () => number;
  /** Other members that are heard of now. */
  readonly activePeers?: () => number;
  /** When the files of certificates that this member was given end. */
  readonly certificateEnds?: () => readonly CertificateEnd[];
  /** Whether there is a connection to NATS. */
  readonly natsConnected?: () => boolean;
}

type Plain = Exclude<keyof GaugeSources, "certificateEnds">;

const rows: readonly (readonly [Plain, string, string])[] = [
  ["hasLeader", "etcd_server_has_leader", "Whether a leader is known: 1 or 0."],
  ["isLeader", "etcd_server_is_leader", "Whether this member leads: 1 or 0."],
  ["isLearner", "etcd_server_is_learner", "Whether this member is a learner: 1 or 0."],
  ["proposalsCommitted", "etcd_server_proposals_committed_total", "Proposals committed."],
  ["proposalsApplied", "etcd_server_proposals_applied_total", "Proposals applied."],
  ["proposalsPending", "etcd_server_proposals_pending", "Proposals waiting for their commit."],
  ["quotaBytes", "etcd_server_quota_backend_bytes", "Quota of the state database."],
  ["dbBytes", "etcd_mvcc_db_total_size_in_bytes", "Bytes that the state database takes."],
  ["dbBytesInUse", "etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of it in use."],
  ["dbOpenReads", "etcd_mvcc_db_open_read_transactions", "Read snapshots now open."],
  ["watchStreams", "etcd_debugging_mvcc_watch_stream_total", "Watch streams now open."],
  ["watchers", "etcd_debugging_mvcc_watcher_total", "Watchers now running."],
  ["slowWatchers", "etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind."],
  ["tenants", "coffer_tenants", "Tenants of the cluster."],
  ["sealed", "coffer_sealed", "Whether this member has no root key: 1 or 0."],
  ["auditBlocked", "coffer_audit_blocked", "Whether the audit log cannot be written: 1 or 0."],
  ["tokenCacheEntries", "coffer_token_cache_entries", "Verified tokens remembered."],
  ["jwksFailures", "coffer_jwks_failures", "Issuers whose keys cannot be fetched now."],
  ["activePeers", "coffer_peers_connected", "Other members heard of now."],
  ["natsConnected", "coffer_nats_connected", "Whether NATS is connected: 1 or 0."],
  ["connections", "coffer_client_connections", "Client connections now open."],
];

/** Registers every gauge; those without a source at a scrape give no sample. */
export function registerGauges(registry: Registry, sources: () => GaugeSources): void {
  for (const [source, name, help] of rows) {
    gauge({ registry, name, help }, () => {
      const value = sources()[source]?.();
      return value === undefined ? undefined : Number(value);
    });
  }
  const name = "coffer_certificate_expiry_timestamp_seconds";
  const help = "When the first certificate or revocation list of a file ends.";
  gaugeFamily({ registry, name, help, labelNames: ["file", "kind"] }, () =>
    (sources().certificateEnds?.() ?? []).map(({ file, kind, seconds }) => {
      return { labels: { file, kind }, value: seconds };
    }),
  );
}
