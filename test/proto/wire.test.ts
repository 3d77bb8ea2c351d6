import assert from "node:assert/strict";
import { test } from "node:test";

import { BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";

import { CofferError } from "../../src/errors.ts";
import { ReverseWriter, WireReader, mvcc } from "../../src/proto/mod.ts";

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const safe = fc.integer({ min: -Number.MAX_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });

test("the reverse writer writes what the library writes", () => {
  fc.assert(
    fc.property(safe, int64, fc.boolean(), fc.uint8Array(), fc.string(), (n, b, f, bytes, text) => {
      const ours = new ReverseWriter();
      ours.text(600, text);
      const mark = ours.written;
      ours.bytes(2, bytes);
      ours.byteString(1, Buffer.from(bytes).toString("latin1"));
      ours.close(16, mark);
      ours.bool(3, f);
      ours.big(2, b);
      ours.int(1, n);

      const theirs = new BinaryWriter();
      if (n !== 0) theirs.uint32(8).int64(n);
      if (b !== 0n) theirs.uint32(16).int64(b);
      if (f) theirs.uint32(24).bool(true);
      theirs.uint32((16 << 3) | 2).fork();
      if (bytes.length > 0) theirs.uint32(10).bytes(bytes).uint32(18).bytes(bytes);
      theirs.join();
      if (text !== "") theirs.uint32((600 << 3) | 2).string(text);
      assert.equal(ours.take(0).toString("hex"), Buffer.from(theirs.finish()).toString("hex"));
    }),
  );
});

test("the reverse writer grows, and starts afresh after each message", () => {
  const writer = new ReverseWriter();
  const large = Buffer.alloc(3_000_000, 7);
  for (const value of [large, Buffer.from("small"), large]) {
    writer.int(4, 1);
    writer.bytes(5, value);
    const out = writer.take(3);
    assert.deepEqual(mvcc.KeyValue.decode(out.subarray(3)).value, value);
  }
});

test("64-bit numbers come back in full as bigint, and clamped as number", () => {
  fc.assert(
    fc.property(int64, (value) => {
      const bytes = new BinaryWriter().uint32(8).int64(value).finish();
      const full = new WireReader(bytes);
      assert.equal(full.tag(), 8);
      assert.equal(full.big(), value);
      assert.equal(full.tag(), 0);
      const clamped = new WireReader(bytes);
      clamped.tag();
      const max = BigInt(Number.MAX_SAFE_INTEGER);
      const expected = value > max ? max : value < -max ? -max : value;
      assert.equal(clamped.int(), Number(expected));
    }),
  );
});

test("bytes that are no message end in invalid-argument, never in another error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const reader = new WireReader(bytes);
      try {
        for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) reader.skip(tag);
      } catch (error) {
        assert.ok(error instanceof CofferError);
        assert.equal(error.code, "invalid-argument");
      }
    }),
    { numRuns: 2000 },
  );
});
