/** Versioned bytes of what crosses processes or time: the log's batches, and members' messages. */
export { BATCH_HEADER_BYTES, type BatchHeader, decodeHeader, stampTimes } from "./batch-header.ts";
export { decodeConfState, encodeConfState } from "./conf-state.ts";
export { type DecodedBatch, decodeBatch } from "./decode-proposals.ts";
export { decodeMessages } from "./decode-messages.ts";
export { encodeMessages } from "./encode-messages.ts";
export { encodeProposals, proposalBytes } from "./encode-proposals.ts";
export {
  type ForwardMessage,
  type ForwardReply,
  type ForwardRequest,
  decodeForward,
  encodeForward,
} from "./forward.ts";
export {
  BATCH_BYTES_MAX,
  FORWARD_BYTES_MAX,
  FORWARD_VERSION,
  LIST_MAX,
  MESSAGES_BYTES_MAX,
  MESSAGES_VERSION,
  PROPOSALS_VERSION,
  SNAPSHOT_CHUNK_BYTES_MAX,
  SNAPSHOT_MESSAGE_BYTES_MAX,
  SNAPSHOT_STREAM_VERSION,
  TXN_DEPTH_MAX,
} from "./limits.ts";
export {
  type SnapshotStreamMessage,
  decodeSnapshotMessage,
  encodeSnapshotMessage,
} from "./snapshot-stream.ts";
