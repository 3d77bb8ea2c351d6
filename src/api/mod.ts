/** The client port: gRPC and plain HTTP over TLS, translated to the edge. No decision is taken here. */
export {
  type ListenAddress,
  type RefusedConnection,
  type Server,
  type ServerOptions,
  createServer,
} from "./server.ts";
export { type ServerLimits, DEFAULT_LIMITS } from "./limits.ts";
export type { TlsOptions } from "./tls.ts";
export type { Versions } from "./http/mod.ts";
