/** Logs, metrics, redaction. */
export type { CertificateEnd, GaugeSources } from "./gauges.ts";
export { type LogFields, type Logger, silentLogger } from "./logger.ts";
export {
  createMetrics,
  type Metrics,
  type MetricsOptions,
  type RpcMetrics,
  type RpcType,
} from "./metrics.ts";
export { countApplied, countTxn } from "./operations.ts";
export type { PeerMetrics } from "./peer-metrics.ts";
export {
  createLogger,
  type LeveledLogger,
  type LogDestination,
  type LoggerOptions,
  type LogLevel,
} from "./pino-logger.ts";
export { redactText } from "./redact.ts";
export { type TenantSample, tenantMetricsText } from "./tenant-metrics.ts";
export type { CounterSeries, HistogramSeries } from "./tally.ts";
