/** The hash-chained record of every request. */
export type { AuditFilePort } from "./file-port.ts";
export type { AuditNotices } from "./chain-file.ts";
export { type Audit, type AuditOptions, openAudit } from "./open-audit.ts";
export { type AuditEvent, type ChainHead, GENESIS, tokenIdHash } from "./record.ts";
export type { AuditTailQuery } from "./tail.ts";
export { type AuditVerdict, verifyAudit, type VerifyOptions } from "./verify-audit.ts";
