import { type AutoCompactionMode, retention } from "./auto-compaction.ts";
import { type AuditSinkConfig, auditSink } from "./audit-sink.ts";
import type { Option } from "./option.ts";
import {
  type Address,
  address,
  bytes,
  duration,
  integer,
  list,
  natsUrl,
  onOff,
  oneOf,
  type Parser,
  path,
  text,
} from "./parsers.ts";

/** Everything that `coffer server` can be told. Times in milliseconds, sizes in bytes. */
export interface ServerConfig {
  readonly name: string;
  readonly dataDir: string;
  readonly listenClientUrls: readonly Address[];
  /** What MemberList tells clients; the listening addresses unless set. */
  readonly advertiseClientUrls: readonly Address[];
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  /** Authorities of client certificates. */
  readonly clientCa: string | undefined;
  /** Revocation lists, one for every authority in `clientCa`. */
  readonly clientCrl: string | undefined;
  /** Refuse connections without a certificate of `clientCa`. */
  readonly clientCertAuth: boolean;
  /** `tls://host:port` of each NATS server that members talk over; a cluster of one needs none. */
  readonly natsUrls: readonly string[];
  readonly natsCa: string | undefined;
  readonly natsCert: string | undefined;
  readonly natsKey: string | undefined;
  /**
   * Names of the voters that a new cluster begins with, only this member's for a cluster of one; or,
   * for a member that joins, of members it may ask.
   */
  readonly initialCluster: readonly string[];
  /** Whether a member without data begins a new cluster or joins one that is there. */
  readonly initialClusterState: "new" | "existing";
  readonly clusterToken: string;
  readonly rootKeyFile: string;
  /** Records of trusted token issuers beside the built-in one. */
  readonly issuersFile: string | undefined;
  /** The subject of requests without credentials; only on loopback. */
  readonly anonymousAs: string | undefined;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly quotaBytes: number;
  /** Log entries between snapshots. */
  readonly snapshotEntries: number;
  /** How `autoCompactionRetention` is meant. */
  readonly autoCompactionMode: AutoCompactionMode;
  /** History kept of tenants without a compaction of their own: see `parseRetention`. */
  readonly autoCompactionRetention: string;
  /** How long audit files are kept after their last record, in milliseconds; undefined: for ever. */
  readonly auditRetention: number | undefined;
  /** How much of them is kept. */
  readonly auditRetentionBytes: number | undefined;
  /** Where audit records are sent beside the audit files. */
  readonly auditSink: readonly AuditSinkConfig[];
  readonly logLevel: LogLevel;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** A row for every field of ServerConfig. */
type ServerOptions = {
  readonly [Field in keyof ServerConfig]-?: Option<Exclude<ServerConfig[Field], undefined>>;
};

const memberName = text("NAME");

/** A member's name, also as etcd's tools write it: `m1=https://m1:2380`. */
const clusterMember: Parser<string> = {
  placeholder: "NAME",
  kind: "text",
  parse: (value) => {
    const [, name, host] = /^([^=]+)=https?:\/\/([^:/]+)(?::[0-9]+)?\/?$/.exec(value) ?? [];
    if (name === undefined) return memberName.parse(value);
    if (name === host) return { ok: true, value: name };
    return { ok: false, error: "has another host than name; members know each other by name" };
  },
};

export const serverOptions: ServerOptions = {
  name: { name: "name", parser: memberName, help: "this member's name (default)" },
  dataDir: { name: "data-dir", parser: path("FOLDER"), help: "data folder (<name>.coffer)" },
  listenClientUrls: {
    name: "listen-client-urls",
    parser: list(address),
    help: "addresses to serve clients on (https://127.0.0.1:2379)",
  },
  advertiseClientUrls: {
    name: "advertise-client-urls",
    parser: list(address),
    help: "addresses that clients are told (those listened on)",
  },
  tlsCert: { name: "tls-cert", parser: path("FILE"), help: "server certificate chain, PEM" },
  tlsKey: { name: "tls-key", parser: path("FILE"), help: "key of the server certificate, PEM" },
  clientCa: { name: "client-ca", parser: path("FILE"), help: "authorities of client certificates" },
  clientCrl: {
    name: "client-crl",
    parser: path("FILE"),
    help: "revoked client certificates, PEM; past its date all are refused",
  },
  clientCertAuth: {
    name: "client-cert-auth",
    parser: onOff,
    help: "refuse clients without a certificate",
  },
  natsUrls: { name: "nats-urls", parser: list(natsUrl), help: "NATS servers between members" },
  natsCa: { name: "nats-ca", parser: path("FILE"), help: "authority of the NATS servers" },
  natsCert: { name: "nats-cert", parser: path("FILE"), help: "this member's NATS certificate" },
  natsKey: { name: "nats-key", parser: path("FILE"), help: "key of the NATS certificate" },
  initialCluster: {
    name: "initial-cluster",
    parser: list(clusterMember),
    help: "names of all members of a new cluster, or of some to join (only this one)",
  },
  initialClusterState: {
    name: "initial-cluster-state",
    parser: oneOf(["new", "existing"]),
    help: "whether to begin a cluster or to join the one that has added this member (new)",
  },
  clusterToken: {
    name: "cluster-token",
    parser: text("TEXT"),
    help: "what sets a new cluster apart from others (coffer)",
  },
  rootKeyFile: { name: "root-key-file", parser: path("FILE"), help: "root key, mode 0600" },
  issuersFile: { name: "issuers-file", parser: path("FILE"), help: "trusted token issuers, JSON" },
  anonymousAs: {
    name: "anonymous-as",
    parser: text("SUBJECT"),
    help: "serve without credentials as this subject; loopback only",
  },
  heartbeatMs: {
    name: "heartbeat-ms",
    parser: duration({ min: 10, max: 60_000 }),
    help: "time between heartbeats (100)",
  },
  electionMs: {
    name: "election-ms",
    parser: duration({ min: 50, max: 600_000 }),
    help: "least time without a leader before an election (1000)",
  },
  quotaBytes: {
    name: "quota-bytes",
    parser: bytes({ min: 1 << 20 }),
    help: "size of the data at which writes stop (2GiB)",
  },
  snapshotEntries: {
    name: "snapshot-entries",
    parser: integer({ min: 1 }),
    help: "log entries between snapshots (10000)",
  },
  autoCompactionMode: {
    name: "auto-compaction-mode",
    parser: oneOf(["periodic", "revision"]),
    help: "what --auto-compaction-retention counts: time or revisions (periodic)",
  },
  autoCompactionRetention: {
    name: "auto-compaction-retention",
    parser: retention,
    help: "history kept of tenants that set none themselves, such as 1h, 0: all of it (0)",
  },
  auditRetention: {
    name: "audit-retention",
    parser: duration({ min: 60_000 }),
    help: "age at which audit files go, once checkpoints and sinks have them (never)",
  },
  auditRetentionBytes: {
    name: "audit-retention-bytes",
    parser: bytes({ min: 1 << 20 }),
    help: "size of all audit files above which the oldest go likewise (no limit)",
  },
  auditSink: {
    name: "audit-sink",
    parser: list(auditSink),
    help: "also send audit records to jsonl:PATH, syslog+tls:// or jsonl+tls://HOST:PORT?ca=FILE",
  },
  logLevel: {
    name: "log-level",
    parser: oneOf(["debug", "info", "warn", "error"]),
    help: "least level that is logged (info)",
  },
};

export const configFileOption: Option<string> = {
  name: "config",
  parser: path("FILE"),
  help: "YAML file of these options, each as name: value",
};
