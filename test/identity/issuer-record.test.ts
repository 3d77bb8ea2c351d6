import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { CofferError } from "../../src/errors.ts";
import {
  encodeIssuerRecord,
  type IssuerRecord,
  parseIssuerRecord,
} from "../../src/identity/mod.ts";
import { certificateOf } from "./certificate-fixtures.ts";
import { failure, recordOf } from "./fixtures.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

test("a record survives its bytes", () => {
  const pem = new X509Certificate(certificateOf().raw).toString();
  const records: IssuerRecord[] = [
    recordOf(),
    recordOf({ tenants: { kind: "claim", claim: "t", any: true }, boundClaims: { a: "b" } }),
    recordOf({ keys: { kind: "url", url: "https://x.example/jwks", ca: pem } }),
    recordOf({ keys: { kind: "discovery", ca: pem } }),
    recordOf({ boundClaims: { a: 1, b: false, c: { glob: "x*" } } }),
    recordOf({
      keys: { kind: "file", path: "/etc/jwks.json" },
      subject: { kind: "kubernetes", accounts: [{ namespace: "a", name: "b", uid: "c" }] },
    }),
  ];
  for (const record of records) {
    const again = parseIssuerRecord(encodeIssuerRecord(record));
    assert.equal(JSON.stringify(again), JSON.stringify(record));
  }
});

const BAD: readonly (readonly [string, unknown])[] = [
  ["version", 2],
  ["version", undefined],
  ["issuer", ""],
  ["issuer", undefined],
  ["issuer", "a\nb"],
  ["algorithms", []],
  ["algorithms", ["HS256"]],
  ["algorithms", ["ES256", "none"]],
  ["algorithms", "ES256"],
  ["audience", []],
  ["audience", undefined],
  ["audience", "coffer"],
  ["maxAgeSeconds", 0],
  ["maxAgeSeconds", undefined],
  ["maxAgeSeconds", 1e12],
  ["clockToleranceSeconds", 31],
  ["clockToleranceSeconds", -1],
  ["clockToleranceSeconds", 0.5],
  ["tenants", undefined],
  ["tenants", { kind: "any" }],
  ["tenants", { kind: "fixed", tenants: [] }],
  ["tenants", { kind: "fixed", tenants: ["*"] }],
  ["tenants", { kind: "claim", claim: "" }],
  ["tenants", { kind: "claim", claim: "t", any: "yes" }],
  ["subject", { kind: "prefix", claim: "sub", prefix: "role:" }],
  ["subject", { kind: "prefix", claim: "sub", prefix: "" }],
  ["subject", { kind: "kubernetes", accounts: [] }],
  ["subject", { kind: "kubernetes", accounts: [{ namespace: "a", name: "b" }] }],
  ["keys", undefined],
  ["keys", { kind: "url", url: "ftp://x.example" }],
  ["keys", { kind: "url", url: "https://a:b@x.example" }],
  ["keys", { kind: "inline", keys: "x" }],
  ["groupsClaim", 1],
  ["boundClaims", { a: null }],
  ["boundClaims", { a: ["b"] }],
  ["boundClaims", { a: { glob: "" } }],
  ["boundClaims", { a: { glob: "x", flags: "i" } }],
  ["issuer", "certificate"],
  ["issuer", "anonymous"],
  ["keys", { kind: "url", url: "https://x.example/jwks", ca: "pem" }],
  ["keys", { kind: "discovery", url: "https://x.example/jwks" }],
  ["audiences", ["coffer"]],
];
for (const [field, value] of BAD) {
  test(`a record with ${field} ${JSON.stringify(value)} is refused by name`, async () => {
    const error = await failure(() => recordOf({ [field]: value }), "invalid-argument");
    if (field !== "audiences") assert.match(error.message, new RegExp(field));
    else assert.match(error.message, /unknown field/);
  });
}

test("a record that gives a name twice is refused", async () => {
  const text = new TextDecoder().decode(encodeIssuerRecord(recordOf()));
  const twice = encode(text.replace("{", '{"audience":["x"],'));
  await failure(() => parseIssuerRecord(twice), "invalid-argument");
  await failure(() => parseIssuerRecord(encode("x".repeat(200_000))), "invalid-argument");
});

test("any JSON is a record or refused with invalid-argument", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (keys, tenants) => {
      for (const json of [keys, { version: 1, keys, tenants }]) {
        try {
          parseIssuerRecord(encode(JSON.stringify(json)));
          assert.fail("accepted");
        } catch (error) {
          assert.ok(error instanceof CofferError, String(error));
        }
      }
    }),
    { numRuns: 300 },
  );
});
