/** The one gate: every request is authenticated, authorised, sealed, proposed or read, and audited. */
export { createEdge } from "./create-edge.ts";
export { type EdgeParts, NOBODY } from "./gate.ts";
export { RefusalRecords } from "./refusal-records.ts";
export type * from "./ports.ts";
export type * from "./requests.ts";
export type * from "./audit-requests.ts";
export type * from "./history-requests.ts";
export type * from "./certificate-rule-requests.ts";
export type * from "./issuer-requests.ts";
export type * from "./policy-requests.ts";
export type * from "./revocation-requests.ts";
export type * from "./tenant-requests.ts";
export type * from "./token-requests.ts";
