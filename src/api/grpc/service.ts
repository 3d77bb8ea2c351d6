import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";

import type { Edge, PeerCertificate } from "../../edge/mod.ts";
import { grpcStatus } from "../../errors.ts";
import type { Logger } from "../../telemetry/mod.ts";
import { type CallContext, ServerCall } from "./call.ts";
import { type CallMetrics, UNCOUNTED, countsOf } from "./call-counts.ts";
import { auditMethods } from "./audit.ts";
import { certificateMethods } from "./certificates.ts";
import { clusterMethods } from "./cluster.ts";
import { clusterStatusMethods } from "./cluster-status.ts";
import { MESSAGE_BYTES_MAX } from "./fault.ts";
import { healthMethods } from "./health.ts";
import { historyMethods } from "./history.ts";
import { issuerMethods } from "./issuers.ts";
import { kvMethods } from "./kv.ts";
import { leaseMethods } from "./lease.ts";
import { maintenanceMethods } from "./maintenance.ts";
import { type Peer, callerOf } from "./metadata.ts";
import type { Method } from "./method.ts";
import { policyMethods } from "./policies.ts";
import { RequestTurns } from "./request-turns.ts";
import { revocationMethods } from "./revocations.ts";
import { ProtocolError } from "./status.ts";
import { tenantMethods } from "./tenants.ts";
import { tokenMethods } from "./tokens.ts";
import { watchMethods } from "./watch.ts";

/** A request that is not complete after this time is refused. */
const REQUEST_MS_MAX = 30_000;
const SWEEP_MS = 5000;
const UNKNOWN_METHOD = { path: "unknown", counts: UNCOUNTED };

export interface GrpcServiceOptions {
  readonly edge: Edge;
  readonly log: Logger;
  readonly metrics: CallMetrics;
  /** Largest message accepted, in bytes. */
  readonly messageBytesMax?: number;
}

/** Answers gRPC calls on HTTP/2 streams that a listener hands over. */
export interface GrpcService {
  /** Whether the content type of a request says gRPC. */
  accepts(headers: IncomingHttpHeaders): boolean;
  /** `onLasting` is called if it is a call that may last, and has its first answer. */
  handle(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    peer: Peer,
    onLasting: () => void,
  ): void;
  /**
   * Ends open streams with `error`: all, or those of connections that `certificate` came over. Unary
   * calls in flight go on.
   */
  endStreams(error: unknown, certificate?: PeerCertificate): void;
  close(): void;
}

export function createGrpcService(options: GrpcServiceOptions): GrpcService {
  const methods = methodTable(options.edge);
  const services = new Set([...methods.keys()].map(serviceOf));
  const counted = new Map(
    [...methods].map(([path, method]) => [
      path,
      { path, counts: countsOf(options.metrics, method) },
    ]),
  );
  const context: CallContext = {
    log: options.log,
    messageBytesMax: options.messageBytesMax ?? MESSAGE_BYTES_MAX,
    incomplete: new Map(),
    receiving: { bytes: 0 },
    turns: new RequestTurns(),
    streams: new Set(),
    now: () => performance.now(),
  };
  const sweep = setInterval(() => sweepIncomplete(context), SWEEP_MS).unref();
  return {
    accepts: (headers) => (headers["content-type"] ?? "").startsWith("application/grpc"),
    handle: (stream, headers, peer, onLasting) => {
      const path = headers[":path"] ?? "";
      const method = methods.get(path);
      const named = counted.get(path) ?? UNKNOWN_METHOD;
      const call = new ServerCall(stream, named, callerOf(headers, peer), context);
      if (method === undefined) call.refuse(unknownMethod(path, services));
      else if (method.kind === "unary") call.serveUnary(method, headers);
      else call.serveStream(method, headers, onLasting);
    },
    endStreams: (error, certificate) => {
      for (const call of context.streams) {
        if (certificate === undefined || call.caller.certificate === certificate) {
          call.finish(error);
        }
      }
    },
    close: () => clearInterval(sweep),
  };
}

function methodTable(edge: Edge): ReadonlyMap<string, Method> {
  const offered = [
    ...kvMethods(edge),
    ...watchMethods(edge),
    ...leaseMethods(edge),
    ...clusterMethods(edge),
    ...maintenanceMethods(edge),
    ...clusterStatusMethods(edge),
    ...tenantMethods(edge),
    ...policyMethods(edge),
    ...tokenMethods(edge),
    ...revocationMethods(edge),
    ...issuerMethods(edge),
    ...certificateMethods(edge),
    ...historyMethods(edge),
    ...auditMethods(edge),
  ];
  const services = new Set(offered.map((method) => serviceOf(method.path)));
  const all = [...offered, ...healthMethods(edge, services)];
  return new Map(all.map((method) => [method.path, method]));
}

function sweepIncomplete(context: CallContext): void {
  const oldest = context.now() - REQUEST_MS_MAX;
  for (const [call, started] of context.incomplete) {
    if (started > oldest) return;
    call.finish(
      new ProtocolError(grpcStatus.deadlineExceeded, "grpc: the request did not arrive in time"),
    );
  }
}

function serviceOf(path: string): string {
  return path.slice(1, path.lastIndexOf("/"));
}

/** What does it here, by the service or method of etcd that is not served. */
const WAYS: ReadonlyMap<string, string> = new Map([
  ["/etcdserverpb.Auth", "rights are rows of a policy here, see coffer policy --help"],
  ["/etcdserverpb.Maintenance/Defragment", "free space is given back by itself"],
  ["/etcdserverpb.Maintenance/Hash", "HashKV is served"],
  ["/v3lockpb.Lock", "locks of etcd's clients, made of leases and transactions, work"],
  ["/v3electionpb.Election", "elections of etcd's clients, made of leases and transactions, work"],
]);

/** The texts are grpc-go's; where there is another way, it follows. */
function unknownMethod(path: string, services: ReadonlySet<string>): ProtocolError {
  const cut = path.lastIndexOf("/");
  if (!path.startsWith("/") || cut < 1) {
    return new ProtocolError(grpcStatus.unimplemented, `malformed method name: "${path}"`);
  }
  const service = path.slice(1, cut);
  const text = services.has(service)
    ? `unknown method ${path.slice(cut + 1)} for service ${service}`
    : `unknown service ${service}`;
  const way = WAYS.get(path) ?? WAYS.get(`/${service}`);
  return new ProtocolError(grpcStatus.unimplemented, way === undefined ? text : `${text}: ${way}`);
}
