import { randomFillSync } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http2";

import type { Caller, CallerConnection, PeerCertificate } from "../../edge/mod.ts";

/** What is known of a connection before its first request. */
export interface Peer {
  /** "address:port". */
  readonly address: string;
  readonly certificate: PeerCertificate | undefined;
  readonly connection?: CallerConnection | undefined;
}

const USER_AGENT_CHARS_MAX = 256;
/** What may stand in an audit record and a log line as it is. */
const REQUEST_ID = /^[A-Za-z0-9._:/+=-]{1,128}$/;

/** 72 bits: none is drawn twice. */
const REQUEST_ID_BYTES = 9;
/** Drawn many at a time, since each draw costs microseconds. */
const drawn: Buffer = Buffer.allocUnsafeSlow(REQUEST_ID_BYTES * 256);
let drawnAt = drawn.length;

/** The caller of a request; etcd's `token` goes before `authorization`, as in etcd's auth store. */
export function callerOf(headers: IncomingHttpHeaders, peer: Peer): Caller {
  const requestId = textOf(headers["x-request-id"]);
  return {
    authorization: textOf(headers["token"]) ?? headers.authorization,
    tenantName: textOf(headers["coffer-tenant"]),
    peerAddress: peer.address,
    certificate: peer.certificate,
    requestId: requestId !== undefined && REQUEST_ID.test(requestId) ? requestId : drawRequestId(),
    userAgent: (headers["user-agent"] ?? "").slice(0, USER_AGENT_CHARS_MAX),
    requireLeader: headers["hasleader"] === "true",
    connection: peer.connection,
  };
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
