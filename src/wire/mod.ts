/** Versioned bytes of what crosses processes or time: the log's batches, and members' messages. */
export { BATCH_HEADER_BYTES, type BatchHeader, decodeHeader, stampTimes } from "./batch-header.ts";
export { decodeBatch } from "./decode-proposals.ts";
export { encodeProposals, proposalBytes } from "./encode-proposals.ts";
export { BATCH_BYTES_MAX, PROPOSALS_VERSION, TXN_DEPTH_MAX } from "./limits.ts";
