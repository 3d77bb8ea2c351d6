/**
 * Consensus: Raft as a pure state machine. It knows no time, disk, network or random source but
 * what it is given; equal inputs give equal outputs.
 */
export { decodeConfChange, encodeConfChange } from "./conf-change-codec.ts";
export { createRaft } from "./raft.ts";
export * from "./types.ts";
