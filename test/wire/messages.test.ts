import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { AppendMessage, Message } from "../../src/core/raft/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { AssertionFailure } from "../../src/stdx/mod.ts";
import {
  FORWARD_BYTES_MAX,
  LIST_MAX,
  MESSAGES_BYTES_MAX,
  SNAPSHOT_CHUNK_BYTES_MAX,
  SNAPSHOT_MESSAGE_BYTES_MAX,
  decodeConfState,
  decodeForward,
  decodeMessages,
  decodeSnapshotMessage,
  encodeConfState,
  encodeForward,
  encodeMessages,
  encodeSnapshotMessage,
} from "../../src/wire/mod.ts";
import {
  confStates,
  forwardsByKind,
  messageLists,
  messagesByKind,
  snapshotsByKind,
} from "./arbitrary-message.ts";

/** One of the formats that members speak. */
interface Format {
  readonly name: string;
  readonly values: fc.Arbitrary<unknown>;
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

function formatOf<T>(
  name: string,
  values: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => T,
): Format {
  return { name, values, encode: (value) => encode(value as T), decode };
}

const formats: readonly Format[] = [
  formatOf("raft messages", messageLists, encodeMessages, (bytes) => decodeMessages(bytes)),
  ...Object.entries(messagesByKind).map(([kind, messages]) =>
    formatOf<Message[]>(
      `raft's ${kind}`,
      fc.array<Message>(messages as fc.Arbitrary<Message>, { minLength: 1, maxLength: 3 }),
      encodeMessages,
      (bytes) => decodeMessages(bytes),
    ),
  ),
  ...Object.entries(forwardsByKind).map(([kind, messages]) =>
    formatOf(`forwarded ${kind}`, messages as fc.Arbitrary<never>, encodeForward, (bytes) => {
      return decodeForward(bytes) as never;
    }),
  ),
  ...Object.entries(snapshotsByKind).map(([kind, messages]) =>
    formatOf(
      `a snapshot's ${kind}`,
      messages as fc.Arbitrary<never>,
      encodeSnapshotMessage,
      (bytes) => decodeSnapshotMessage(bytes) as never,
    ),
  ),
  formatOf("configurations", confStates, encodeConfState, decodeConfState),
];

function errorOf(run: () => unknown): CofferError | undefined {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof CofferError, `not a CofferError: ${String(error)}`);
    return error;
  }
  return undefined;
}

for (const { name, values, encode, decode } of formats) {
  describe(name, () => {
    test("come back as they were, wherever the array lies in its buffer", () => {
      fc.assert(
        fc.property(values, (value) => {
          const bytes = encode(value);
          assert.deepStrictEqual(decode(bytes), value);
          const shifted = new Uint8Array(bytes.length + 3);
          shifted.set(bytes, 3);
          assert.deepStrictEqual(encode(decode(shifted.subarray(3))), bytes);
        }),
        { numRuns: 150 },
      );
    });

    test("a newer version is refused, naming both", () => {
      fc.assert(
        fc.property(values, fc.integer({ min: 2, max: 255 }), (value, version) => {
          const bytes = Uint8Array.from(encode(value));
          bytes[0] = version;
          const error = errorOf(() => decode(bytes));
          assert.equal(error?.code, "unimplemented");
          assert.match(error?.message ?? "", new RegExp(`version ${version}, .* up to 1;`));
          bytes[0] = 0;
          assert.match(errorOf(() => decode(bytes))?.message ?? "", /it has no format version/);
        }),
        { numRuns: 20 },
      );
    });

    test("every truncation, and a byte too many, are corrupt", () => {
      fc.assert(
        fc.property(values, (value) => {
          const bytes = encode(value);
          for (let end = 0; end < bytes.length; end++) {
            assert.equal(errorOf(() => decode(bytes.subarray(0, end)))?.code, "corrupt");
          }
          assert.equal(
            errorOf(() => decode(Buffer.concat([bytes, Buffer.of(0)])))?.code,
            "corrupt",
          );
        }),
        { numRuns: 30 },
      );
    });

    test("changed bytes give an error, or a value with those very bytes", () => {
      const changes = fc.array(fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) }), {
        minLength: 1,
        maxLength: 3,
      });
      fc.assert(
        fc.property(values, changes, (value, list) => {
          const bytes = Uint8Array.from(encode(value));
          for (const { at, to } of list) bytes[at % bytes.length] = to;
          let read: unknown;
          const error = errorOf(() => (read = decode(bytes)));
          if (error !== undefined) {
            assert.match(error.code, /^(corrupt|unimplemented)$/);
            return;
          }
          assert.deepStrictEqual(decode(encode(read)), read);
        }),
        { numRuns: 400 },
      );
    });

    test("random bytes behind a good version", () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 120 }), (tail) => {
          const bytes = Uint8Array.from([1, ...tail]);
          let read: unknown;
          const error = errorOf(() => (read = decode(bytes)));
          if (error === undefined) assert.deepStrictEqual(decode(encode(read)), read);
          else assert.equal(error.code, "corrupt");
        }),
        { numRuns: 500 },
      );
    });
  });
}

describe("bounds", () => {
  const corrupt = (
    decode: (bytes: Uint8Array) => unknown,
    bytes: Uint8Array,
    why: RegExp = /./,
  ): void => {
    const error = errorOf(() => decode(bytes));
    assert.equal(error?.code, "corrupt");
    assert.match(error?.message ?? "", why);
  };
  /** A payload with a good version, and zeros. */
  const zeros = (size: number): Uint8Array => Buffer.concat([Buffer.of(1), Buffer.alloc(size - 1)]);

  test("a huge count or length does not allocate", () => {
    const heap = process.memoryUsage().heapUsed;
    const huge = "ffffffffffffff0f";
    const ends = "00000000000000010000000000000002";
    corrupt(decodeMessages, Buffer.from(`01${huge}`, "hex"), /more items than there are bytes/);
    // An append with entries, and one with an entry whose data is huge.
    corrupt(decodeMessages, Buffer.from(`010100${ends}01050505${huge}`, "hex"), /more items/);
    // Ids take eight bytes each.
    corrupt(decodeConfState, Buffer.from("0102000000000000000100000000", "hex"), /more items/);
    corrupt(decodeMessages, Buffer.from(`010100${ends}01050505010001${huge}`, "hex"));
    corrupt(decodeConfState, Buffer.from(`01${huge}`, "hex"));
    corrupt(decodeForward, Buffer.from(`010001${huge}`, "hex"));
    corrupt(decodeSnapshotMessage, Buffer.from(`01020100${huge}`, "hex"));
    assert.ok(process.memoryUsage().heapUsed - heap < 16 * 1024 * 1024);
  });

  test("payloads past their limits are refused before they are looked at", () => {
    corrupt(decodeMessages, zeros(MESSAGES_BYTES_MAX + 1), /longer than the limit/);
    corrupt(decodeForward, zeros(FORWARD_BYTES_MAX + 1), /longer than the limit/);
    corrupt(decodeSnapshotMessage, zeros(SNAPSHOT_MESSAGE_BYTES_MAX + 1), /longer than the limit/);
  });

  test("a chunk holds so much and no more", () => {
    const chunk = (size: number): Uint8Array =>
      encodeSnapshotMessage({
        kind: "chunk",
        stream: 1,
        offset: 0,
        data: new Uint8Array(size),
      });
    const decoded = decodeSnapshotMessage(chunk(SNAPSHOT_CHUNK_BYTES_MAX));
    assert.ok(decoded.kind === "chunk" && decoded.data.length === SNAPSHOT_CHUNK_BYTES_MAX);
    assert.throws(() => chunk(SNAPSHOT_CHUNK_BYTES_MAX + 1), AssertionFailure);
    // Version, kind, stream, offset; then a length of one more.
    const head = Buffer.from("01020100818010", "hex");
    const data = Buffer.alloc(SNAPSHOT_CHUNK_BYTES_MAX + 1);
    corrupt(decodeSnapshotMessage, Buffer.concat([head, data]), /a chunk has more than/);
  });

  test("a list holds so much and no more", () => {
    const update = (count: number): Uint8Array =>
      encodeForward({
        kind: "request",
        id: 1,
        body: {
          kind: "change-members",
          change: { kind: "update", id: memberId(1n), peerUrls: Array<string>(count).fill("") },
          actor: { issuer: "", subject: "", requestId: "" },
        },
      });
    const bytes = update(LIST_MAX);
    assert.equal(decodeForward(bytes).kind, "request");
    assert.equal(errorOf(() => update(LIST_MAX + 1))?.code, "invalid-argument");
    // The count, 4096 as two groups of seven bits, made one more.
    const at = Buffer.from(bytes).indexOf(Buffer.from("8020", "hex"));
    const more = Buffer.concat([bytes.subarray(0, at), Buffer.of(0x81), bytes.subarray(at + 1)]);
    corrupt(decodeForward, Buffer.concat([more, Buffer.alloc(1)]));
  });

  test("entries have the indexes that follow the message's", () => {
    const append = (index: number): AppendMessage => ({
      kind: "append",
      from: memberId(1n),
      to: memberId(2n),
      term: 3,
      prevIndex: 7,
      prevTerm: 2,
      commit: 6,
      entries: [{ index, term: 3, kind: "normal", data: new Uint8Array(2) }],
    });
    assert.deepStrictEqual(decodeMessages(encodeMessages([append(8)])), [append(8)]);
    assert.throws(() => encodeMessages([append(9)]), AssertionFailure);
  });

  test("a message has so many entries and no more, with indexes below 2^53", () => {
    const ends = "00000000000000010000000000000002";
    const append = (prevIndex: string, count: string, entries: Uint8Array): Uint8Array =>
      Buffer.concat([Buffer.from(`010100${ends}01${prevIndex}0505${count}`, "hex"), entries]);
    const most = 1024 * 1024;
    const read = decodeMessages(append("05", "808040", Buffer.alloc(most * 3)));
    assert.ok(read[0]?.kind === "append" && read[0].entries.length === most);
    const more = append("05", "818040", Buffer.alloc((most + 1) * 3));
    corrupt(decodeMessages, more, /more than 1048576 entries/);
    const last = append("ffffffffffffff0f", "01", Buffer.alloc(3));
    corrupt(decodeMessages, last, /an index is 2\^53 or more/);
  });
});

test("data is a view of what came, and copied once on its way out", () => {
  const data = new Uint8Array(100_000).fill(7);
  const envelope = { from: memberId(1n), to: memberId(2n), term: 1 };
  const entries = Array.from({ length: 20 }, (_, i) => {
    return { index: i + 1, term: 1, kind: "normal" as const, data };
  });
  const head = { ...envelope, prevIndex: 0, prevTerm: 0, commit: 0 };
  const bytes = encodeMessages([{ kind: "append", ...head, entries }]);
  // A writer that had to grow would have had room for half as much again, or twice.
  assert.ok(bytes.buffer.byteLength < bytes.length + 1024);
  const [message] = decodeMessages(bytes);
  assert.ok(message?.kind === "append");
  assert.equal(message.entries[19]?.data.buffer, bytes.buffer);
  const batch = encodeForward({ kind: "propose", term: 1, data });
  assert.ok(batch.buffer.byteLength < batch.length + 64);
  const forwarded = decodeForward(batch);
  assert.ok(forwarded.kind === "propose");
  assert.equal(forwarded.data.buffer, batch.buffer);
});

test("a code that only a newer build knows still is a refusal", () => {
  const bytes = encodeForward({
    kind: "propose-refused",
    term: 1,
    life: 2,
    seq: 3,
    code: "not-leader",
  });
  const other = Buffer.from(bytes);
  other.write("not-leadex", other.length - "not-leader".length);
  const refused = decodeForward(other);
  assert.ok(refused.kind === "propose-refused");
  assert.equal(refused.code, "internal");
});
