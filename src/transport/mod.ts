/** NATS over mutual TLS: sealed frames between members. See DESIGN.md beside. */
export { memberDnsName, natsConfig, natsServerDnsName } from "./nats-config.ts";
export type { NatsAddress, NatsConfigOptions } from "./nats-config.ts";
export { openTransport } from "./open-transport.ts";
export type {
  Channel,
  FrameCrypto,
  FrameKey,
  FrameKeyScope,
  PeerLink,
  RefusalReason,
  TlsFiles,
  Transport,
  TransportObserver,
  TransportOptions,
} from "./ports.ts";
