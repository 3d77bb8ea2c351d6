import type { CommittedEntry } from "../core/fsm/mod.ts";
import { type ConfState, type Entry, decodeConfChange } from "../core/raft/mod.ts";
import type { Proposal } from "../core/types/mod.ts";
import {
  type BatchHeader,
  type DecodedBatch,
  PROPOSALS_VERSION,
  decodeBatch,
  decodeHeader,
} from "../wire/mod.ts";

/** Entries of the log as what the state machine is to do. */

/** What a conf-change entry has come to. */
export interface ConfOutcome {
  /** Encoded, to be stored with the entry. */
  readonly confState: Uint8Array;
  /** False: it was overtaken by another change and passed over, its member command with it. */
  readonly holds: boolean;
}

/** An entry, and the name of the batch in it for who waits for that. */
export interface ReadEntry {
  readonly committed: CommittedEntry;
  readonly header: BatchHeader | undefined;
}

/** `known` gives the proposals of a batch where this member still has them. */
export function readEntry(
  entry: Entry,
  conf: ConfOutcome | undefined,
  known: (header: BatchHeader) => readonly Proposal[] | undefined,
): ReadEntry {
  const { index, term } = entry;
  const confState = conf?.confState;
  const batch = entry.kind === "normal" ? entry.data : decodeConfChange(entry.data).context;
  if (batch.length === 0) {
    return {
      committed: { index, term, time: 0, leaseTime: 0, proposals: [], confState },
      header: undefined,
    };
  }
  const { header, proposals: all, movesCredentials } = readBatch(batch, known);
  const { time, leaseTime } = header;
  const proposals = conf?.holds === false ? [] : all;
  const committed = { index, term, time, leaseTime, proposals, movesCredentials, confState };
  return { committed, header };
}

function readBatch(
  batch: Uint8Array,
  known: (header: BatchHeader) => readonly Proposal[] | undefined,
): DecodedBatch {
  // Of an earlier version, as logs of earlier builds hold them.
  if (batch[0] !== PROPOSALS_VERSION) return decodeBatch(batch);
  const header = decodeHeader(batch);
  const proposals = known(header);
  if (proposals === undefined) return decodeBatch(batch);
  return { header, proposals, movesCredentials: true };
}

export function equalConfStates(a: ConfState, b: ConfState): boolean {
  return (
    a.autoLeave === b.autoLeave &&
    equalLists(a.voters, b.voters) &&
    equalLists(a.learners, b.learners) &&
    equalLists(a.votersOutgoing, b.votersOutgoing) &&
    equalLists(a.learnersNext, b.learnersNext)
  );
}

function equalLists(a: readonly bigint[], b: readonly bigint[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
