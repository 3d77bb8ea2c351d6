/**
 * The one closed list of error codes. Each has its gRPC status, HTTP status, CLI exit code and the
 * text that goes to a client. Texts of etcd's errors are etcd's to the byte: clients classify by text
 * (etcd api/v3rpc/rpctypes/error.go).
 */

/** gRPC status codes (grpc/grpc doc/statuscodes.md). */
export const grpcStatus = {
  ok: 0,
  canceled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

export type GrpcStatus = (typeof grpcStatus)[keyof typeof grpcStatus];

/** Exit codes of the CLI, stable for scripts. */
export const exitCode = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  denied: 4,
  unavailable: 5,
  conflict: 6,
} as const;

export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

export interface ErrorRow {
  readonly grpc: GrpcStatus;
  readonly http: number;
  readonly exit: ExitCode;
  /** The text sent to clients. */
  readonly text: string;
}

const invalid = (text: string): ErrorRow => ({
  grpc: grpcStatus.invalidArgument,
  http: 400,
  exit: exitCode.usage,
  text,
});
const precondition = (text: string): ErrorRow => ({
  grpc: grpcStatus.failedPrecondition,
  http: 412,
  exit: exitCode.conflict,
  text,
});
const unavailable = (text: string): ErrorRow => ({
  grpc: grpcStatus.unavailable,
  http: 503,
  exit: exitCode.unavailable,
  text,
});
const outOfRange = (text: string): ErrorRow => ({
  grpc: grpcStatus.outOfRange,
  http: 400,
  exit: exitCode.failed,
  text,
});
const notFound = (text: string): ErrorRow => ({
  grpc: grpcStatus.notFound,
  http: 404,
  exit: exitCode.notFound,
  text,
});
const unknown = (text: string): ErrorRow => ({
  grpc: grpcStatus.unknown,
  http: 500,
  exit: exitCode.failed,
  text,
});

/** The closed list. */
export type ErrorCode =
  | "key-empty"
  | "key-not-found"
  | "key-too-long"
  | "value-provided"
  | "lease-provided"
  | "too-many-ops"
  | "duplicate-key"
  | "invalid-sort-option"
  | "request-too-large"
  | "compacted"
  | "future-revision"
  | "no-space"
  | "too-many-requests"
  | "lease-not-found"
  | "lease-exists"
  | "lease-ttl-too-large"
  | "member-not-found"
  | "member-exists"
  | "peer-url-exists"
  | "member-bad-urls"
  | "not-enough-started-members"
  | "member-not-learner"
  | "learner-not-ready"
  | "too-many-learners"
  | "not-supported-for-learner"
  | "bad-leader-transferee"
  | "not-leader"
  | "unhealthy-cluster"
  | "no-leader"
  | "leader-changed"
  | "stopped"
  | "timeout"
  | "timeout-leader-failure"
  | "timeout-connection-lost"
  | "timeout-leader-transfer"
  | "corrupt"
  | "permission-denied"
  | "invalid-token"
  | "no-identity"
  | "auth-not-enabled"
  | "canceled"
  | "deadline-exceeded"
  | "unimplemented"
  | "internal"
  | "invalid-argument"
  | "not-found"
  | "already-exists"
  | "conflict"
  | "sealed"
  | "record-invalid"
  | "audit-blocked"
  | "storage-failed"
  | "state-replaced"
  | "tenant-suspended"
  | "quota-exceeded"
  | "unreachable";

const rows: { readonly [code in ErrorCode]: ErrorRow } = {
  // KV
  "key-empty": invalid("etcdserver: key is not provided"),
  "key-not-found": invalid("etcdserver: key not found"),
  "key-too-long": invalid("etcdserver: key is longer than the limit"),
  "value-provided": invalid("etcdserver: value is provided"),
  "lease-provided": invalid("etcdserver: lease is provided"),
  "too-many-ops": invalid("etcdserver: too many operations in txn request"),
  "duplicate-key": invalid("etcdserver: duplicate key given in txn request"),
  "invalid-sort-option": invalid("etcdserver: invalid sort option"),
  "request-too-large": invalid("etcdserver: request is too large"),
  compacted: outOfRange("etcdserver: mvcc: required revision has been compacted"),
  "future-revision": outOfRange("etcdserver: mvcc: required revision is a future revision"),
  "no-space": {
    grpc: grpcStatus.resourceExhausted,
    http: 507,
    exit: exitCode.failed,
    text: "etcdserver: mvcc: database space exceeded",
  },
  "too-many-requests": {
    grpc: grpcStatus.unknown, // etcd's quirk: v3rpc/util.go toGRPCErrorMap
    http: 429,
    exit: exitCode.unavailable,
    text: "etcdserver: too many requests",
  },
  // Lease
  "lease-not-found": notFound("etcdserver: requested lease not found"),
  "lease-exists": precondition("etcdserver: lease already exists"),
  "lease-ttl-too-large": outOfRange("etcdserver: too large lease TTL"),
  // Members
  "member-not-found": notFound("etcdserver: member not found"),
  "member-exists": precondition("etcdserver: member ID already exist"),
  "peer-url-exists": precondition("etcdserver: Peer URLs already exists"),
  "member-bad-urls": invalid("etcdserver: given member URLs are invalid"),
  "not-enough-started-members": unknown(
    "etcdserver: re-configuration failed due to not enough started members",
  ),
  "member-not-learner": precondition("etcdserver: can only promote a learner member"),
  "learner-not-ready": precondition(
    "etcdserver: can only promote a learner member which is in sync with leader",
  ),
  "too-many-learners": precondition("etcdserver: too many learner members in cluster"),
  "not-supported-for-learner": precondition("etcdserver: rpc not supported for learner"),
  "bad-leader-transferee": precondition("etcdserver: bad leader transferee"),
  "not-leader": precondition("etcdserver: not leader"),
  "unhealthy-cluster": unavailable("etcdserver: unhealthy cluster"),
  // Cluster state
  "no-leader": unavailable("etcdserver: no leader"),
  "leader-changed": unavailable("etcdserver: leader changed"),
  stopped: unavailable("etcdserver: server stopped"),
  timeout: unavailable("etcdserver: request timed out"),
  "timeout-leader-failure": unavailable(
    "etcdserver: request timed out, possibly due to previous leader failure",
  ),
  "timeout-connection-lost": unavailable(
    "etcdserver: request timed out, possibly due to connection lost",
  ),
  "timeout-leader-transfer": unknown(
    "etcdserver: request timed out, leader transfer took too long",
  ),
  corrupt: {
    grpc: grpcStatus.dataLoss,
    http: 500,
    exit: exitCode.failed,
    text: "etcdserver: corrupt cluster",
  },
  // Callers
  "permission-denied": {
    grpc: grpcStatus.permissionDenied,
    http: 403,
    exit: exitCode.denied,
    text: "etcdserver: permission denied",
  },
  "invalid-token": {
    grpc: grpcStatus.unauthenticated,
    http: 401,
    exit: exitCode.denied,
    text: "etcdserver: invalid auth token",
  },
  "no-identity": { ...invalid("etcdserver: user name is empty"), exit: exitCode.denied },
  "auth-not-enabled": precondition("etcdserver: authentication is not enabled"),
  // Requests
  canceled: {
    grpc: grpcStatus.canceled,
    http: 499,
    exit: exitCode.failed,
    text: "etcdserver: request canceled",
  },
  "deadline-exceeded": {
    grpc: grpcStatus.deadlineExceeded,
    http: 504,
    exit: exitCode.unavailable,
    text: "context deadline exceeded",
  },
  unimplemented: {
    grpc: grpcStatus.unimplemented,
    http: 501,
    exit: exitCode.failed,
    text: "coffer: not offered by this server",
  },
  internal: {
    grpc: grpcStatus.internal,
    http: 500,
    exit: exitCode.failed,
    text: "coffer: internal error",
  },
  // Coffer's own
  "invalid-argument": invalid("coffer: invalid argument"),
  "not-found": notFound("coffer: not found"),
  "already-exists": {
    grpc: grpcStatus.alreadyExists,
    http: 409,
    exit: exitCode.conflict,
    text: "coffer: already exists",
  },
  conflict: precondition("coffer: state changed meanwhile"),
  sealed: unavailable("coffer: member is sealed: no root key is available"),
  "record-invalid": {
    grpc: grpcStatus.dataLoss,
    http: 500,
    exit: exitCode.failed,
    text: "coffer: a stored record failed authentication",
  },
  "audit-blocked": unavailable("coffer: audit log cannot be written, request refused"),
  "storage-failed": unavailable("coffer: the member's storage cannot be used"),
  "state-replaced": unavailable("coffer: state was replaced by a snapshot, ask again"),
  "tenant-suspended": precondition("coffer: tenant is suspended"),
  // Keys, leases, watches and sizes: the detail names the limit. Bytes over quota are `no-space`.
  "quota-exceeded": {
    grpc: grpcStatus.resourceExhausted,
    http: 429,
    exit: exitCode.conflict,
    text: "coffer: tenant quota exceeded",
  },
  // Said by the client, not by a server.
  unreachable: unavailable("coffer: cannot reach the server"),
};

/** The row of `code`. */
export function errorRow(code: ErrorCode): ErrorRow {
  return rows[code];
}

/** Whether `text` is a code of the closed list. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(rows, text);
}

/** The code whose client text is `text`, as the client room needs it. */
export function errorCodeOfText(text: string): ErrorCode | undefined {
  for (const [code, row] of Object.entries(rows)) {
    if (row.text === text || text.startsWith(`${row.text}: `)) return code as ErrorCode;
  }
  return undefined;
}

/**
 * The one error class that crosses rooms. `message` goes to the client: the code's text, then the
 * detail if given. `cause` is for the log and is never sent.
 */
export class CofferError extends Error {
  override readonly name = "CofferError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, detail?: string, options?: { readonly cause?: unknown }) {
    super(detail === undefined ? rows[code].text : `${rows[code].text}: ${detail}`, options);
    this.code = code;
  }
}
