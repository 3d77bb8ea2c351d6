import { CofferError, type ErrorCode, errorCodeOfText, errorRow, grpcStatus } from "../errors.ts";

/** Turns what a server, TLS or a socket says into a CofferError with a next step. */

/** The error of a call that ended with a gRPC status other than OK. */
export function errorOfStatus(status: number, message: string): CofferError {
  const code = errorCodeOfText(message);
  if (code !== undefined) {
    const text = errorRow(code).text;
    return new CofferError(code, message === text ? undefined : message.slice(text.length + 2));
  }
  return new CofferError(codeOfStatus(status), message === "" ? `status ${status}` : message);
}

/** For texts that are not in our table: other servers, grpc itself. */
function codeOfStatus(status: number): ErrorCode {
  switch (status) {
    case grpcStatus.canceled:
      return "canceled";
    case grpcStatus.invalidArgument:
    case grpcStatus.outOfRange:
      return "invalid-argument";
    case grpcStatus.deadlineExceeded:
      return "deadline-exceeded";
    case grpcStatus.notFound:
      return "not-found";
    case grpcStatus.alreadyExists:
      return "already-exists";
    case grpcStatus.permissionDenied:
      return "permission-denied";
    case grpcStatus.unauthenticated:
      return "invalid-token";
    case grpcStatus.resourceExhausted:
      return "request-too-large";
    case grpcStatus.failedPrecondition:
    case grpcStatus.aborted:
      return "conflict";
    case grpcStatus.unimplemented:
      return "unimplemented";
    case grpcStatus.unavailable:
      return "unreachable";
    default:
      return "internal";
  }
}

/** The error of a connection that could not be made, or broke. */
export function unreachable(endpoint: string, cause: unknown): CofferError {
  const { code, text } = faultOf(cause);
  return new CofferError("unreachable", `${endpoint}: ${explain(endpoint, code, text)}`, {
    cause,
  });
}

interface Fault {
  readonly code: string;
  readonly text: string;
}

/** Happy eyeballs gives an AggregateError of one error per address; the first says enough. */
function faultOf(cause: unknown): Fault {
  if (cause instanceof AggregateError && cause.errors.length > 0) return faultOf(cause.errors[0]);
  if (!(cause instanceof Error)) return { code: "", text: String(cause) };
  return { code: "code" in cause ? String(cause.code) : "", text: cause.message };
}

const WRONG_CA =
  "its certificate is not signed by a CA that is trusted here; " +
  "give the file of the server's CA (--cacert, COFFER_CACERT)";
const NO_TLS = "the port does not speak TLS; use an http:// endpoint or another port";
const CLOSED =
  "the connection was closed by the server; if it asks for client certificates, check that yours " +
  "is given (--cert, --key), not expired, and signed by the right CA";

const CLOSED_IN_CLEAR =
  "the connection was closed by the server; if the port expects TLS, use an https:// endpoint";

const EXPLANATIONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there (ECONNREFUSED); check the address and that the server runs",
  ENOTFOUND: "the host name is not known (ENOTFOUND); check the endpoint",
  EAI_AGAIN: "the host name cannot be looked up now (EAI_AGAIN); check DNS",
  EHOSTUNREACH: "there is no route to the host (EHOSTUNREACH)",
  ENETUNREACH: "there is no route to the network (ENETUNREACH)",
  ETIMEDOUT: "no answer in time (ETIMEDOUT); check the address and firewalls",
  ECONNRESET: CLOSED,
  EPIPE: CLOSED,
  ERR_HTTP2_SESSION_ERROR: CLOSED,
  SELF_SIGNED_CERT_IN_CHAIN: WRONG_CA,
  DEPTH_ZERO_SELF_SIGNED_CERT: WRONG_CA,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: WRONG_CA,
  UNABLE_TO_GET_ISSUER_CERT: WRONG_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: WRONG_CA,
  CERT_SIGNATURE_FAILURE: WRONG_CA,
  CERT_HAS_EXPIRED: "its certificate has expired; renew it, or check this machine's clock",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; check this machine's clock",
  ERR_TLS_CERT_ALTNAME_INVALID:
    "its certificate is for other names than the one in the endpoint; use one of its names",
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
  EPROTO: NO_TLS,
  ERR_HTTP2_ERROR: "the port does not speak HTTP/2 here; if it expects TLS, use https://",
};

function explain(endpoint: string, code: string, text: string): string {
  const known = EXPLANATIONS[code];
  if (known === CLOSED && endpoint.startsWith("http://")) return CLOSED_IN_CLEAR;
  if (known !== undefined) return known;
  if (code.includes("ALERT")) return `${CLOSED} (${code})`;
  return code === "" ? text : `${text} (${code})`;
}
