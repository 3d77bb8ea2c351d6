/**
 * Interface files of our own writing (`def/`), the code generated from them (`gen/`), and a reader and
 * a writer of the protobuf wire format for the messages where generated code is too slow.
 */
export * as auditApi from "./gen/coffer/v1/audit.ts";
export * as certificateApi from "./gen/coffer/v1/certificates.ts";
export * as clusterApi from "./gen/coffer/v1/cluster.ts";
export * as historyApi from "./gen/coffer/v1/history.ts";
export * as issuerApi from "./gen/coffer/v1/issuers.ts";
export * as policyApi from "./gen/coffer/v1/policies.ts";
export * as tenantApi from "./gen/coffer/v1/tenants.ts";
export * as tokenApi from "./gen/coffer/v1/tokens.ts";
export * as rpc from "./gen/etcdserverpb/rpc.ts";
export * as health from "./gen/grpc/health/v1/health.ts";
export * as mvcc from "./gen/mvccpb/kv.ts";
export {
  FRAME_PREFIX_BYTES,
  type FrameFault,
  FrameReader,
  type FrameReaderOptions,
  fillPrefix,
  frameOf,
} from "./frame.ts";
export { ReverseWriter } from "./reverse-writer.ts";
export { WireReader } from "./wire-reader.ts";
