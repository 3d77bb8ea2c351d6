import assert from "node:assert/strict";
import { test } from "node:test";
import {
  builtinIssuerRecord,
  createBuiltinIssuer,
  exportIssuerKey,
  importIssuerKey,
  issueToken,
  type TokenOrder,
} from "../../src/identity/mod.ts";
import { bench, failure, NOW_MS } from "./fixtures.ts";

const ORDER: TokenOrder = {
  issuer: "coffer:1f",
  audience: "coffer:1f",
  subject: "user:admin",
  groups: ["ops"],
  tenants: ["default"],
  ttlSeconds: 3600,
  now: NOW_MS,
};

async function builtin() {
  const key = await createBuiltinIssuer();
  const { issuer, audience } = ORDER;
  const record = builtinIssuerRecord({ issuer, audience, keys: [key], maxAgeSeconds: 86_400 });
  return { key, record, b: bench([record]) };
}

test("an issued token is its subject with its groups and tenants", async () => {
  const { key, b } = await builtin();
  const { token, tokenId, expires } = await issueToken(key, ORDER);
  const principal = await b.authenticate(`Bearer ${token}`);
  assert.deepEqual(principal, {
    subject: "user:admin",
    groups: ["ops"],
    issuer: ORDER.issuer,
    via: "jwt",
    tenant: "default",
    tenants: ["default"],
    expires,
    tokenId,
    issuedAt: NOW_MS / 1000,
  });
  assert.equal(expires, NOW_MS + 3_600_000);
});

test("an operator's token may name any tenant", async () => {
  const { key, b } = await builtin();
  const { token } = await issueToken(key, { ...ORDER, tenants: ["*"], tokenId: "boot" });
  const principal = await b.authenticate(token, undefined, "system");
  assert.deepEqual(
    [principal.tenants, principal.tenant, principal.tokenId],
    ["*", "system", "boot"],
  );
});

test("a key survives its bytes and keeps its id", async () => {
  const { key, b } = await builtin();
  const again = await importIssuerKey(exportIssuerKey(key));
  assert.equal(again.keyId, key.keyId);
  await b.authenticate((await issueToken(again, ORDER)).token);
  const other = await createBuiltinIssuer();
  await b.refusal((await issueToken(other, ORDER)).token);
});

test("the public key in the record has no private part", async () => {
  const { record } = await builtin();
  assert.ok(record.keys.kind === "inline");
  const fields = record.keys.keys.map((key) => Object.keys(key).toSorted());
  assert.deepEqual(fields, [["alg", "crv", "kid", "kty", "use", "x", "y"]]);
});

test("two keys in the record: tokens of both are good while one replaces the other", async () => {
  const [old, next] = [await createBuiltinIssuer(), await createBuiltinIssuer()];
  const { issuer, audience } = ORDER;
  const keys = [old, next];
  const b = bench([builtinIssuerRecord({ issuer, audience, keys, maxAgeSeconds: 86_400 })]);
  for (const key of keys) await b.authenticate((await issueToken(key, ORDER)).token);
});

test("bytes that are no P-256 key are refused without quoting them", async () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  for (const text of [
    "",
    "{}",
    "hunter2",
    '{"kty":"oct","k":"AAAA"}',
    '{"kty":"EC","crv":"P-256"}',
  ]) {
    const error = await failure(() => importIssuerKey(bytes(text)), "invalid-argument");
    assert.equal(error.cause, undefined);
    assert.ok(!error.message.includes("hunter2"));
  }
});

test("an order whose token would be refused is refused", async () => {
  const { key } = await builtin();
  const bad: readonly Partial<TokenOrder>[] = [
    { subject: "admin" },
    { subject: "role:admin" },
    { subject: "user:" },
    { subject: "user:role:admin" },
    { subject: "cert:x" },
    { subject: "user:a\nb" },
    { subject: `user:${"x".repeat(252)}` },
    { groups: ["role:admin"] },
    { groups: [""] },
    { tenants: [] },
    { tenants: ["*", "a"] },
    { tenants: ["A"] },
    { ttlSeconds: 0 },
    { ttlSeconds: 1.5 },
    { ttlSeconds: Number.NaN },
  ];
  for (const change of bad) {
    await failure(() => issueToken(key, { ...ORDER, ...change }), "invalid-argument");
  }
});
