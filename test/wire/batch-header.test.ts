import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CofferError } from "../../src/errors.ts";
import { AssertionFailure } from "../../src/stdx/mod.ts";
import {
  BATCH_HEADER_BYTES,
  type BatchHeader,
  decodeBatch,
  decodeHeader,
  encodeProposals,
  stampTimes,
} from "../../src/wire/mod.ts";
import { batches, memberIds, natural, record } from "./arbitrary-proposal.ts";
import { goldenHeader } from "./golden-proposals.ts";

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const headers: fc.Arbitrary<BatchHeader> = record({
  time: natural,
  leaseTime: natural,
  origin: memberIds,
  life: u32,
  seq: u32,
});

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof CofferError, String(error));
    return error.code;
  }
  return "none";
};

test("a header comes back as it was, with the batch and without", () => {
  fc.assert(
    fc.property(headers, batches, (header, batch) => {
      const bytes = encodeProposals(header, batch);
      assert.deepStrictEqual(decodeBatch(bytes), {
        header,
        proposals: batch,
        movesCredentials: true,
      });
      assert.deepStrictEqual(decodeHeader(bytes), header);
    }),
    { numRuns: 100 },
  );
});

test("times are set in place, and nothing else is", () => {
  fc.assert(
    fc.property(headers, batches, natural, natural, (header, batch, time, leaseTime) => {
      const encoded = encodeProposals(header, batch);
      // As it comes out of a message: somewhere within its array.
      const payload = Buffer.concat([Buffer.alloc(5), encoded, Buffer.alloc(5)]);
      const bytes = payload.subarray(5, 5 + encoded.length);
      stampTimes(bytes, time, leaseTime);
      const stamped = { ...header, time, leaseTime };
      assert.deepStrictEqual(decodeBatch(bytes), {
        header: stamped,
        proposals: batch,
        movesCredentials: true,
      });
      assert.equal(payload.readUIntBE(0, 5) + payload.readUIntBE(payload.length - 5, 5), 0);
    }),
    { numRuns: 100 },
  );
});

test("what is no header is refused", () => {
  const bytes = encodeProposals(goldenHeader, []);
  for (let end = 0; end < BATCH_HEADER_BYTES; end++) {
    assert.equal(
      codeOf(() => decodeHeader(bytes.subarray(0, end))),
      "corrupt",
    );
    assert.equal(
      codeOf(() => decodeBatch(bytes.subarray(0, end))),
      "corrupt",
    );
    assert.throws(() => stampTimes(bytes.slice(0, end), 1, 1), AssertionFailure);
  }
  const beyond = Uint8Array.from(bytes);
  beyond[2] = 0xff; // a time of 2^55
  assert.equal(
    codeOf(() => decodeHeader(beyond)),
    "corrupt",
  );
  for (const version of [1, 2, 4]) {
    const other = Uint8Array.from(bytes);
    other[0] = version;
    assert.equal(
      codeOf(() => decodeHeader(other)),
      "unimplemented",
    );
    assert.throws(() => stampTimes(other, 1, 1), AssertionFailure);
  }
  for (const time of [-1, 0.5, 2 ** 53]) {
    assert.equal(
      codeOf(() => stampTimes(bytes.slice(), time, 0)),
      "invalid-argument",
    );
    assert.equal(
      codeOf(() => stampTimes(bytes.slice(), 0, time)),
      "invalid-argument",
    );
  }
});
