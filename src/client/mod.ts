/** A typed client of the API over node:http2, for the CLI, tests and tools. */
export { type Client, type ClientOptions, type KeyValue, connect } from "./client.ts";
export type { ConnectionOptions } from "./connection.ts";
export type { KeepAliveStream } from "./keep-alive.ts";
export type { CallOptions } from "./transport.ts";
export type { Fields, Unary } from "./unary.ts";
export type { WatchStream } from "./watch.ts";
/** The messages of the API, as the calls take and give them. */
export {
  auditApi,
  certificateApi,
  clusterApi,
  health,
  historyApi,
  issuerApi,
  mvcc,
  policyApi,
  rpc,
  tenantApi,
  tokenApi,
} from "../proto/mod.ts";
