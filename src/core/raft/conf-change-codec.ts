import { assert } from "../../stdx/mod.ts";
import { memberId } from "../types/mod.ts";
import type { ConfChange, ConfChangeSingle } from "./types.ts";

/**
 * The data of a conf-change entry. It lives here and not in `wire` because this room must read its
 * own entries:
 *
 *     version: u8 | transition: u8 | count: u16 | count x (type: u8 | id: u64) | context
 *
 * Big-endian. The context is what follows the changes. Version 1 had none.
 */
const VERSION = 2;
const HEADER_BYTES = 4;
const SINGLE_BYTES = 9;

const TRANSITIONS = ["auto", "joint-implicit", "joint-explicit"] as const;
const TYPES = ["add-voter", "add-learner", "remove"] as const;

export function encodeConfChange(change: ConfChange): Uint8Array {
  const count = change.changes.length;
  assert(count <= 0xffff, "A configuration change has too many parts");
  const contextAt = HEADER_BYTES + count * SINGLE_BYTES;
  const bytes = new Uint8Array(contextAt + change.context.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, TRANSITIONS.indexOf(change.transition));
  view.setUint16(2, count);
  change.changes.forEach(({ type, id }, i) => {
    const at = HEADER_BYTES + i * SINGLE_BYTES;
    view.setUint8(at, TYPES.indexOf(type));
    view.setBigUint64(at + 1, id);
  });
  bytes.set(change.context, contextAt);
  return bytes;
}

/**
 * Asserts that `bytes` are what `encodeConfChange` made: they come from the checked log. The context
 * is a view of them.
 */
export function decodeConfChange(bytes: Uint8Array): ConfChange {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  assert(bytes.length >= HEADER_BYTES, "Configuration change is cut short");
  const version = view.getUint8(0);
  assert(version === VERSION, `Configuration change has version ${version}, known is ${VERSION}`);
  const transition = TRANSITIONS[view.getUint8(1)];
  const count = view.getUint16(2);
  assert(transition !== undefined, "Configuration change has an unknown transition");
  const contextAt = HEADER_BYTES + count * SINGLE_BYTES;
  assert(bytes.length >= contextAt, "Configuration change has a wrong length");
  const changes: ConfChangeSingle[] = [];
  for (let i = 0; i < count; i++) {
    const at = HEADER_BYTES + i * SINGLE_BYTES;
    const type = TYPES[view.getUint8(at)];
    assert(type !== undefined, "Configuration change has an unknown type");
    changes.push({ type, id: memberId(view.getBigUint64(at + 1)) });
  }
  return { transition, changes, context: bytes.subarray(contextAt) };
}
