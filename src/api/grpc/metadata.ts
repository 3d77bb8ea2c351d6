import { randomFillSync } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http2";

import { REQUEST_ID_MARK } from "../../core/types/mod.ts";
import type { Caller, CallerConnection, PeerCertificate } from "../../edge/mod.ts";

/** What is known of a connection before its first request. */
export interface Peer {
  /** "address:port". */
  readonly address: string;
  readonly certificate: PeerCertificate | undefined;
  readonly connection?: CallerConnection | undefined;
}

const USER_AGENT_CHARS_MAX = 256;
/** What may stand in an audit record and a log line as it is; REQUEST_ID_MARK is not in it. */
const REQUEST_ID = /^[A-Za-z0-9._:/+=-]{1,128}$/;

/** 72 bits: none is drawn twice. */
const REQUEST_ID_BYTES = 9;
/** Drawn many at a time, since each draw costs microseconds. */
const drawn: Buffer = Buffer.allocUnsafeSlow(REQUEST_ID_BYTES * 256);
let drawnAt = drawn.length;

/** The caller of a request; etcd's `token` goes before `authorization`, as in etcd's auth store. */
export function callerOf(headers: IncomingHttpHeaders, peer: Peer): Caller {
  return {
    authorization: textOf(headers["token"]) ?? headers.authorization,
    tenantName: textOf(headers["coffer-tenant"]),
    peerAddress: peer.address,
    certificate: peer.certificate,
    requestId: requestIdOf(textOf(headers["x-request-id"])),
    userAgent: (headers["user-agent"] ?? "").slice(0, USER_AGENT_CHARS_MAX),
    requireLeader: headers["hasleader"] === "true",
    connection: peer.connection,
  };
}

/**
 * A client may give many requests one name, by mistake or to have the audit record of one stand for
 * another; so what it says is only the beginning.
 */
function requestIdOf(given: string | undefined): string {
  const drawn = drawRequestId();
  if (given === undefined || !REQUEST_ID.test(given)) return drawn;
  return `${given}${REQUEST_ID_MARK}${drawn}`;
}

/** Random and not counted: a count would tell a tenant how much the others ask. */
function drawRequestId(): string {
  if (drawnAt === drawn.length) {
    randomFillSync(drawn);
    drawnAt = 0;
  }
  const from = drawnAt;
  drawnAt += REQUEST_ID_BYTES;
  return drawn.toString("base64url", from, drawnAt);
}

function textOf(header: string | string[] | undefined): string | undefined {
  return typeof header === "string" ? header : header?.join(", ");
}
