import type { Credentials } from "./credentials.ts";
import { memberDnsName } from "./nats-config.ts";
import type { TlsFiles } from "./ports.ts";

/** Why there is no connection, in one line that names the cause and what to do about it. */

export interface FailureContext {
  readonly server: string;
  readonly name: string;
  readonly tls: TlsFiles;
  readonly credentials: Credentials;
}

/** The code of a TLS, socket or NATS error, or its message. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "closed";
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined || code === "" ? error.message : code;
}

/** Errors that tell nothing but that the other side hung up. */
export function isHangUp(error: unknown): boolean {
  return ["ECONNRESET", "EPIPE", "closed", "DISCONNECT", "CONNECTION_CLOSED"].includes(
    codeOf(error),
  );
}

export function describeFailure(error: unknown, context: FailureContext): string {
  const { server, name, tls, credentials } = context;
  const code = codeOf(error);
  const nats = `NATS at ${server}`;
  const theirs = `the certificate of ${nats}`;
  switch (code) {
    case "AUTHORIZATION_VIOLATION":
      return `${nats} does not know '${memberDnsName(name)}'; add member '${name}' to its configuration`;
    case "CERT_HAS_EXPIRED":
      return `${theirs} has expired; issue another`;
    case "CERT_NOT_YET_VALID":
      return `${theirs} is not valid yet; set the clocks right or issue another`;
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `${theirs} does not name this host; issue one that does, or use a host that it names`;
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "CERT_SIGNATURE_FAILURE":
      return `${theirs} was not issued by the authority in '${tls.ca}'; give the one that issued it`;
    case "CONNECTION_REFUSED":
    case "ECONNREFUSED":
      return `nothing listens at ${server}; start NATS there or correct the URL`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the host of ${server} is not known (${code}); correct the URL or the name service`;
    case "TIMEOUT":
    case "ETIMEDOUT":
      return `${nats} does not answer; see whether it runs and the network lets this member through`;
    default:
  }
  if (/ALERT_(?:BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_)/.test(code)) {
    const { issuer } = credentials.info;
    return `${nats} refused this member's certificate '${tls.cert}', issued by ${issuer}; use one of the authority that NATS trusts`;
  }
  return `${nats}: ${code}`;
}
