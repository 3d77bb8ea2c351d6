/** The hash-chained record of every request. */
export type { AuditFilePort } from "./file-port.ts";
export type { AuditNotices } from "./chain-file.ts";
export { type Cursors, createCursors } from "./cursor.ts";
export type { AuditFile } from "./files.ts";
export type { LogPosition } from "./log-reader.ts";
export { type Audit, type AuditOptions, openAudit } from "./open-audit.ts";
export {
  type AuditEvent,
  type ChainHead,
  GENESIS,
  MARK_ACTION,
  readLine,
  tokenIdHash,
  viewOf,
} from "./record.ts";
export { type RecordedRequest, recordedRequest } from "./recorded-request.ts";
export type { AuditFilter, AuditPage, AuditQuery } from "./search.ts";
export {
  type Checkpoint,
  type CheckpointSigner,
  type SignedCheckpoint,
  checkpointKeyId,
  decodeCheckpoint,
  encodeCheckpoint,
  isSignedByItsKey,
  signCheckpoint,
  signerOf,
} from "./checkpoint.ts";
export {
  type AuditVerdict,
  type VerifiedChain,
  type VerifyOptions,
  checkpointsIn,
  verifyExport,
  verifyFolder,
} from "./verify.ts";
export type { SinkTarget } from "./destination.ts";
export { type AuditSink, type SinkStatus, startSink } from "./sink.ts";
export { type RemovalPlan, type RetentionRule, planRemoval, removeFile } from "./retention.ts";
