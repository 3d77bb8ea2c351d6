import assert from "node:assert/strict";
import test, { describe } from "node:test";
import fc from "fast-check";
import { DER_TAG, derParts, derValues, readDer } from "../../src/stdx/mod.ts";
import { decode, encode, octets, sequence, utf8Text } from "../../src/pki/der.ts";

const bytes = (...octets: readonly number[]): Uint8Array => Uint8Array.from(octets);

describe("DER", () => {
  test("reads what node-forge writes, of every length", () => {
    const length = fc.oneof(fc.nat(300), fc.constantFrom(127, 128, 255, 256, 65_535, 65_536));
    fc.assert(
      fc.property(length, fc.nat(255), (size, fill) => {
        const content = new Uint8Array(size).fill(fill);
        const whole = encode(sequence(octets(content), utf8Text("end")));
        const parts = derParts(readDer(whole, 0), DER_TAG.sequence);
        assert.ok(Buffer.from(content).equals(parts?.[0]?.content ?? new Uint8Array(1)));
        assert.deepEqual(
          parts?.map(({ tag }) => tag),
          [DER_TAG.octetString, 0x0c],
        );
        assert.equal(derParts(readDer(whole, 0), DER_TAG.octetString), undefined);
      }),
    );
  });

  test("reads nothing else: never beyond its bytes, never what DER does not write", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (noise) => {
        const value = readDer(noise, 0);
        if (value === undefined) return;
        assert.ok(value.end <= noise.length && value.content.length < noise.length);
        assert.equal(value.tag, noise[0]);
        // Under the tag of an octet string, whose content node-forge takes as it is: of others it
        // reads the content too (the odd last octet of a BMPString is lost on it).
        const one = Uint8Array.of(DER_TAG.octetString, ...noise.subarray(1, value.end));
        assert.deepEqual(encode(decode(one, "noise")), Buffer.from(one));
      }),
    );
    const bad = [
      bytes(),
      bytes(0x04),
      bytes(0x04, 1),
      bytes(0x30, 0x80, 0, 0),
      bytes(0x04, 0x81, 1, 0),
      bytes(0x04, 0x82, 0, 0x80, ...new Uint8Array(128)),
      bytes(0x04, 0x85, 1, 0, 0, 0, 0),
      bytes(0x04, 0x84, 0xff, 0xff, 0xff, 0xff),
      bytes(0x1f, 0x81, 1, 0),
    ];
    for (const one of bad) assert.equal(readDer(one, 0), undefined);
    assert.equal(derValues(bytes(0x05, 0, 0x04)), undefined);
    assert.deepEqual(derValues(bytes()), []);
  });
});
