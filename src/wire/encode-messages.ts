import type { Entry, Message } from "../core/raft/mod.ts";
import { assert, assertNever } from "../stdx/mod.ts";
import { CofferError } from "../errors.ts";
import { ByteWriter } from "./byte-writer.ts";
import { confStateBytes, writeConfState } from "./conf-state.ts";
import { ENTRIES_MAX, MESSAGES_BYTES_MAX, MESSAGES_VERSION } from "./limits.ts";
import { SAME_ENDS, entryKinds, messageKinds } from "./tags.ts";

/** More than an envelope and the numbers of any kind take. */
const MESSAGE_BYTES = 96;
/** More than an entry takes beside its data. */
const ENTRY_BYTES = 24;

/**
 * Raft's messages for one peer, in order, as one payload. An entry's data is copied once. Errors:
 * `request-too-large` past MESSAGES_BYTES_MAX, which one entry never reaches.
 */
export function encodeMessages(messages: readonly Message[]): Uint8Array {
  let size = 16;
  for (const message of messages) size += messageBytes(message);
  const to = new ByteWriter(size);
  to.byte(MESSAGES_VERSION);
  to.uint(messages.length);
  let before: Message | undefined;
  for (const message of messages) {
    writeMessage(to, message, before);
    before = message;
  }
  if (to.length > MESSAGES_BYTES_MAX) throw new CofferError("request-too-large");
  return to.finish();
}

function messageBytes(message: Message): number {
  let size = MESSAGE_BYTES;
  if (message.kind === "append") {
    for (const { data } of message.entries) size += ENTRY_BYTES + data.length;
  } else if (message.kind === "snapshot") {
    size += confStateBytes(message.snapshot.confState);
  } else if (message.kind === "propose") {
    size += message.data.length;
  }
  return size;
}

function writeMessage(to: ByteWriter, message: Message, before: Message | undefined): void {
  const sameEnds = before !== undefined && before.from === message.from && before.to === message.to;
  to.byte(messageKinds.indexOf(message.kind) | (sameEnds ? SAME_ENDS : 0));
  if (!sameEnds) {
    to.uint64(message.from);
    to.uint64(message.to);
  }
  to.uint(message.term);
  writeBody(to, message);
}

function writeBody(to: ByteWriter, message: Message): void {
  switch (message.kind) {
    case "append":
      to.uint(message.prevIndex);
      to.uint(message.prevTerm);
      to.uint(message.commit);
      return writeEntries(to, message.prevIndex, message.entries);
    case "append-resp":
      to.uint(message.index);
      to.bool(message.rejected);
      to.uint(message.hintIndex);
      to.uint(message.hintTerm);
      return to.bool(message.needsSnapshot);
    case "heartbeat":
      to.uint(message.commit);
      return to.uint(message.round);
    case "heartbeat-resp":
      return to.uint(message.round);
    case "vote":
    case "pre-vote":
      to.uint(message.commit);
      to.uint(message.commitTerm);
      to.uint(message.lastIndex);
      to.uint(message.lastTerm);
      return to.bool(message.transfer);
    case "vote-resp":
    case "pre-vote-resp":
      to.uint(message.commit);
      to.uint(message.commitTerm);
      return to.bool(message.rejected);
    case "snapshot":
      to.uint(message.snapshot.index);
      to.uint(message.snapshot.term);
      return writeConfState(to, message.snapshot.confState);
    case "timeout-now":
      return;
    case "propose":
      to.byte(entryKinds.indexOf(message.entryKind));
      return to.blob(message.data);
    case "read-index":
    case "read-index-refused":
      return to.uint(message.ctx);
    case "read-index-resp":
      to.uint(message.ctx);
      return to.uint(message.index);
    case "transfer-leader":
      return to.uint64(message.transferee);
    default:
      return assertNever(message);
  }
}

/** Their indexes follow from `prevIndex`, and are not written. */
function writeEntries(to: ByteWriter, prevIndex: number, entries: readonly Entry[]): void {
  assert(entries.length <= ENTRIES_MAX, "A message has more entries than its bound");
  to.uint(entries.length);
  let index = prevIndex;
  for (const entry of entries) {
    index++;
    assert(entry.index === index, "Entries of a message are not consecutive");
    to.byte(entryKinds.indexOf(entry.kind));
    to.uint(entry.term);
    to.blob(entry.data);
  }
}
