import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  HEADER_BYTES,
  PART_HEADER_BYTES,
  WIRE_VERSION,
  decodeHeader,
  writeKind,
  writeLives,
  writePart,
  type FrameKind,
} from "../../src/transport/frame.ts";

const TAG_BYTES = 16;
const KINDS: readonly FrameKind[] = [
  "hello",
  "message",
  "part",
  "ping",
  "pong",
  "claim",
  "claimed",
];

const life = fc.uint8Array({ minLength: 16, maxLength: 16 });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

test("a header is read as it was written, wherever it stands", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...KINDS),
      life,
      life,
      fc.maxSafeNat(),
      uint32,
      uint32,
      fc.integer({ min: 0, max: 9 }),
      (kind, from, to, counter, total, offset, at) => {
        const bytes = kind === "part" ? PART_HEADER_BYTES : HEADER_BYTES;
        const buffer = new Uint8Array(at + bytes + TAG_BYTES);
        writeLives(buffer, at, { from, to });
        writeKind(buffer, at, kind, counter);
        if (kind === "part") writePart(buffer, at, total, offset);
        const header = decodeHeader(buffer.subarray(at), TAG_BYTES);
        const part = kind === "part" ? { total, offset } : { total: 0, offset: 0 };
        assert.deepEqual(header, { kind, fromLife: from, toLife: to, counter, bytes, ...part });
      },
    ),
    { numRuns: 300 },
  );
});

test("any bytes are a frame, no frame or a newer one, and nothing is thrown", () => {
  const begins = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 9 }));
  const bytes = fc
    .tuple(begins, fc.uint8Array({ maxLength: 90 }), fc.boolean())
    .map(([begin, rest, plain]) => (plain ? rest : Uint8Array.of(...begin, ...rest)));
  fc.assert(
    fc.property(bytes, (frame) => {
      const header = decodeHeader(frame, TAG_BYTES);
      if (header.kind === "malformed") return;
      if (header.kind === "wire-version") {
        assert.equal(header.version, frame[0]);
        assert.ok(header.version > WIRE_VERSION);
        return;
      }
      assert.equal(frame[0], WIRE_VERSION);
      assert.ok(frame.length >= header.bytes + TAG_BYTES);
      assert.ok(Number.isSafeInteger(header.counter) && header.counter >= 0);
    }),
    { numRuns: 2000 },
  );
});

test("a frame that is cut off is none, at every length", () => {
  const frame = new Uint8Array(HEADER_BYTES + TAG_BYTES);
  writeLives(frame, 0, { from: new Uint8Array(16), to: new Uint8Array(16) });
  writeKind(frame, 0, "message", 1);
  assert.equal(decodeHeader(frame, TAG_BYTES).kind, "message");
  for (let length = 0; length < frame.length; length++) {
    assert.equal(decodeHeader(frame.subarray(0, length), TAG_BYTES).kind, "malformed");
  }
  writeKind(frame, 0, "part", 1);
  assert.equal(decodeHeader(frame, TAG_BYTES).kind, "malformed");
});

test("version 0, kind 0 and a counter beyond 2^53 are none; version 2 is told apart", () => {
  const frame = new Uint8Array(HEADER_BYTES + TAG_BYTES);
  assert.deepEqual(decodeHeader(frame, TAG_BYTES), { kind: "malformed" });
  frame[0] = 1;
  assert.deepEqual(decodeHeader(frame, TAG_BYTES), { kind: "malformed" });
  frame[1] = 2;
  assert.equal(decodeHeader(frame, TAG_BYTES).kind, "message");
  frame[35] = 0x20; // 2^53
  assert.deepEqual(decodeHeader(frame, TAG_BYTES), { kind: "malformed" });
  assert.deepEqual(decodeHeader(Uint8Array.of(2), TAG_BYTES), { kind: "wire-version", version: 2 });
});
