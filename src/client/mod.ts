/** A typed client of the API over node:http2, for the CLI, tests and tools. */
export {
  type Client,
  type ClientOptions,
  type Fields,
  type KeyValue,
  type Unary,
  connect,
} from "./client.ts";
export type { ConnectionOptions } from "./connection.ts";
export type { KeepAliveStream } from "./keep-alive.ts";
export type { CallOptions } from "./transport.ts";
export type { WatchStream } from "./watch.ts";
/** The messages of the API, as the calls take and give them. */
export { coffer, health, mvcc, rpc } from "../proto/mod.ts";
