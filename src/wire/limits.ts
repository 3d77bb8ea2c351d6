/** The version of batches that this build writes, and takes from other members; the first byte of each. */
export const PROPOSALS_VERSION = 3;
/**
 * The oldest version that is read from a log. What version 3 added: credential revisions, which no entry
 * of before carries or moves, and limits of tenants that change one by one.
 */
export const PROPOSALS_VERSION_OLDEST = 2;

/**
 * How deep transactions may be nested in transactions: a bound on recursion in both directions. Above
 * what the protocols let in, so that no request can make a whole batch impossible to encode.
 */
export const TXN_DEPTH_MAX = 256;

/** One encoded batch. Far above what a group commit gathers, so passing it means a bug or garbage. */
export const BATCH_BYTES_MAX: number = 64 * 1024 * 1024;

/** What members say to each other; the first byte of each payload of its channel. */
export const MESSAGES_VERSION = 1;
export const FORWARD_VERSION = 1;
export const SNAPSHOT_STREAM_VERSION = 1;

/**
 * Raft's messages in one payload: above the bytes on their way to one peer, and one entry that passes
 * that bound alone.
 */
export const MESSAGES_BYTES_MAX: number = 2 * BATCH_BYTES_MAX;

/** Entries of one append message; a bound on what garbage can make a reader allocate. */
export const ENTRIES_MAX: number = 1024 * 1024;

/** One forwarded message: a batch, and what stands around it. */
export const FORWARD_BYTES_MAX: number = BATCH_BYTES_MAX + 1024;

export const SNAPSHOT_CHUNK_BYTES_MAX: number = 256 * 1024;
export const SNAPSHOT_MESSAGE_BYTES_MAX: number = SNAPSHOT_CHUNK_BYTES_MAX + 64 * 1024;

/** Items of a list of members or of their URLs. */
export const LIST_MAX = 4096;
