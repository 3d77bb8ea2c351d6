/** gRPC on node:http2: framing, deadlines, metadata, and etcd's services translated to the edge. */
export { MESSAGE_BYTES_MAX } from "./fault.ts";
export { type Peer, callerOf } from "./metadata.ts";
export { type GrpcService, type GrpcServiceOptions, createGrpcService } from "./service.ts";
export { percentEncode, timeoutMs } from "./status.ts";
export type { CallMetrics } from "./call-counts.ts";
export { stopClient } from "./stop-client.ts";
