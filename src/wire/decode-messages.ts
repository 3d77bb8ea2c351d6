import type { Entry, Message } from "../core/raft/mod.ts";
import { memberId } from "../core/types/mod.ts";
import { assertNever } from "../stdx/mod.ts";
import type { ByteReader } from "./byte-reader.ts";
import { readConfState } from "./conf-state.ts";
import { type FrameFormat, decodeFrame } from "./frame.ts";
import { ENTRIES_MAX, MESSAGES_BYTES_MAX, MESSAGES_VERSION } from "./limits.ts";
import { SAME_ENDS, entryKinds, messageKinds } from "./tags.ts";

/** The least that an entry takes: kind, term, length of its data. */
const ENTRY_BYTES_MIN = 3;

const MESSAGES: FrameFormat = {
  what: "a message of another member",
  bytesMax: MESSAGES_BYTES_MAX,
  version: MESSAGES_VERSION,
};

/**
 * The messages that `encodeMessages` wrote. Data of entries are views of `bytes`, which must not change
 * afterwards. Errors: `corrupt` for anything malformed, `unimplemented` for a newer version.
 */
export function decodeMessages(bytes: Uint8Array): Message[] {
  return decodeFrame(bytes, MESSAGES, readMessages);
}

function readMessages(from: ByteReader): Message[] {
  const messages: Message[] = [];
  let before: Message | undefined;
  for (let left = from.count(); left > 0; left--) {
    before = readMessage(from, before);
    messages.push(before);
  }
  return messages;
}

type Envelope = Pick<Message, "from" | "to" | "term">;

function readMessage(from: ByteReader, before: Message | undefined): Message {
  const tag = from.byte();
  const kind = messageKinds[tag & ~SAME_ENDS];
  if (kind === undefined) throw from.malformed("a kind of message is unknown");
  const sameEnds = (tag & SAME_ENDS) !== 0;
  if (sameEnds && before === undefined) throw from.malformed("the first message repeats one");
  const sender = sameEnds && before !== undefined ? before.from : memberId(from.uint64());
  const to = sameEnds && before !== undefined ? before.to : memberId(from.uint64());
  return readBody(from, kind, { from: sender, to, term: from.uint() });
}

/**
 * The envelope comes last in each message: V8 takes 5 us, all that the rest of a message costs many times
 * over, for a literal that adds fields to one that was spread.
 */
function readBody(from: ByteReader, kind: Message["kind"], envelope: Envelope): Message {
  switch (kind) {
    case "append": {
      const prevIndex = from.uint();
      const prevTerm = from.uint();
      const commit = from.uint();
      const entries = readEntries(from, prevIndex);
      return { kind, prevIndex, prevTerm, entries, commit, ...envelope };
    }
    case "append-resp":
      return {
        kind,
        index: from.uint(),
        rejected: from.bool(),
        hintIndex: from.uint(),
        hintTerm: from.uint(),
        needsSnapshot: from.bool(),
        ...envelope,
      };
    case "heartbeat":
      return { kind, commit: from.uint(), round: from.uint(), ...envelope };
    case "heartbeat-resp":
      return { kind, round: from.uint(), ...envelope };
    case "vote":
    case "pre-vote":
      return {
        kind,
        commit: from.uint(),
        commitTerm: from.uint(),
        lastIndex: from.uint(),
        lastTerm: from.uint(),
        transfer: from.bool(),
        ...envelope,
      };
    case "vote-resp":
    case "pre-vote-resp":
      return {
        kind,
        commit: from.uint(),
        commitTerm: from.uint(),
        rejected: from.bool(),
        ...envelope,
      };
    case "snapshot": {
      const snapshot = { index: from.uint(), term: from.uint(), confState: readConfState(from) };
      return { kind, snapshot, ...envelope };
    }
    case "timeout-now":
      return { kind, ...envelope };
    case "propose":
      return { kind, entryKind: from.word(entryKinds), data: from.blob(), ...envelope };
    case "read-index":
    case "read-index-refused":
      return { kind, ctx: from.uint(), ...envelope };
    case "read-index-resp":
      return { kind, ctx: from.uint(), index: from.uint(), ...envelope };
    case "transfer-leader":
      return { kind, transferee: memberId(from.uint64()), ...envelope };
    default:
      return assertNever(kind);
  }
}

function readEntries(from: ByteReader, prevIndex: number): Entry[] {
  const count = from.count(ENTRY_BYTES_MIN);
  if (count > ENTRIES_MAX) throw from.malformed(`it has more than ${ENTRIES_MAX} entries`);
  if (!Number.isSafeInteger(prevIndex + count)) throw from.malformed("an index is 2^53 or more");
  const entries: Entry[] = [];
  for (let i = 1; i <= count; i++) {
    const kind = from.word(entryKinds);
    entries.push({ index: prevIndex + i, term: from.uint(), kind, data: from.blob() });
  }
  return entries;
}
