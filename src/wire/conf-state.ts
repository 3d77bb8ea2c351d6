import { type MemberId, memberId } from "../core/types/mod.ts";
import type { ConfState } from "../core/raft/mod.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";

/** Raft's configuration as state.db keeps it, and within the messages that carry one. */

const CONF_STATE_VERSION = 1;

const ID_BYTES = 8;

export function encodeConfState(confState: ConfState): Uint8Array {
  const to = new ByteWriter(1 + confStateBytes(confState));
  to.byte(CONF_STATE_VERSION);
  writeConfState(to, confState);
  return to.finish();
}

/** Errors: `corrupt` for anything malformed, `unimplemented` for a newer version. */
export function decodeConfState(bytes: Uint8Array): ConfState {
  const from = new ByteReader(bytes, "a configuration of members");
  from.version(CONF_STATE_VERSION);
  const confState = readConfState(from);
  from.end();
  return confState;
}

/** At least what `writeConfState` takes. */
export function confStateBytes(confState: ConfState): number {
  const { voters, learners, votersOutgoing, learnersNext } = confState;
  const ids = voters.length + learners.length + votersOutgoing.length + learnersNext.length;
  return 5 * ID_BYTES + ids * ID_BYTES;
}

export function writeConfState(to: ByteWriter, confState: ConfState): void {
  writeIds(to, confState.voters);
  writeIds(to, confState.learners);
  writeIds(to, confState.votersOutgoing);
  writeIds(to, confState.learnersNext);
  to.bool(confState.autoLeave);
}

export function readConfState(from: ByteReader): ConfState {
  return {
    voters: readIds(from),
    learners: readIds(from),
    votersOutgoing: readIds(from),
    learnersNext: readIds(from),
    autoLeave: from.bool(),
  };
}

function writeIds(to: ByteWriter, ids: readonly MemberId[]): void {
  to.uint(ids.length);
  for (const id of ids) to.uint64(id);
}

function readIds(from: ByteReader): MemberId[] {
  const ids: MemberId[] = [];
  for (let left = from.count(ID_BYTES); left > 0; left--) ids.push(memberId(from.uint64()));
  return ids;
}
