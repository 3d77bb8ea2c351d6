/** Versioned bytes of what crosses processes or time: batches of proposals in the log. */
export { decodeProposals } from "./decode-proposals.ts";
export { encodeProposals, proposalBytes } from "./encode-proposals.ts";
export { BATCH_BYTES_MAX, PROPOSALS_VERSION, TXN_DEPTH_MAX } from "./limits.ts";
