import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { type FrameFault, FrameReader, frameOf } from "../../src/proto/mod.ts";

class Refused extends Error {
  readonly fault: FrameFault;
  constructor(fault: FrameFault) {
    super(fault.kind);
    this.fault = fault;
  }
}

function reader(bytesMax = 1000): FrameReader {
  return new FrameReader({ bytesMax, errorOf: (fault) => new Refused(fault) });
}

function all(frames: FrameReader): Buffer[] {
  const messages: Buffer[] = [];
  for (let next = frames.next(); next !== undefined; next = frames.next()) messages.push(next);
  return messages;
}

test("messages come out whole, however the bytes are cut", () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
  const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(messages, cuts, (sent, sizes) => {
      const wire = Buffer.concat(sent.map(frameOf));
      const frames = reader();
      const got: Buffer[] = [];
      for (let at = 0, i = 0; at < wire.length; i++) {
        const size = sizes[i % sizes.length] ?? 1;
        frames.push(wire.subarray(at, at + size));
        at += size;
        got.push(...all(frames));
      }
      assert.deepEqual(
        got.map((m) => m.toString("hex")),
        sent.map((m) => Buffer.from(m).toString("hex")),
      );
      assert.equal(frames.partial, false);
    }),
  );
});

test("a prefix that is not acceptable is refused before its message comes", () => {
  const cases: readonly [number[], FrameFault][] = [
    [[1, 0, 0, 0, 5], { kind: "compressed" }],
    [[2, 0, 0, 0, 5], { kind: "unknown-flag", flag: 2 }],
    [[0, 0, 0, 4, 1], { kind: "too-large", bytes: 1025, bytesMax: 1000 }],
    [[0, 255, 255, 255, 255], { kind: "too-large", bytes: 4294967295, bytesMax: 1000 }],
  ];
  for (const [prefix, fault] of cases) {
    const frames = reader();
    frames.push(Buffer.from(prefix));
    assert.throws(
      () => frames.next(),
      (error) => {
        assert.ok(error instanceof Refused);
        assert.deepEqual(error.fault, fault);
        return true;
      },
    );
  }
});

test("a message of exactly the limit passes, and a part of one is known as such", () => {
  const frames = reader(1000);
  frames.push(frameOf(Buffer.alloc(1000)).subarray(0, 999));
  assert.equal(frames.next(), undefined);
  assert.equal(frames.partial, true);
  frames.push(Buffer.alloc(6));
  assert.equal(frames.next()?.length, 1000);
  assert.equal(frames.partial, false);
});
