/** The version of batches that this build writes, the first byte of each; it reads those before too. */
export const PROPOSALS_VERSION = 2;

/**
 * How deep transactions may be nested in transactions: a bound on recursion in both directions. Above
 * what the protocols let in, so that no request can make a whole batch impossible to encode.
 */
export const TXN_DEPTH_MAX = 256;

/** One encoded batch. Far above what a group commit gathers, so passing it means a bug or garbage. */
export const BATCH_BYTES_MAX: number = 64 * 1024 * 1024;
