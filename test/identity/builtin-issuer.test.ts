import assert from "node:assert/strict";
import { test } from "node:test";
import {
  builtinIssuerRecord,
  createBuiltinIssuer,
  exportIssuerKey,
  importIssuerKey,
  isKeyDue,
  type IssuerRecord,
  issueToken,
  recordWithNewKey,
  recordWithoutEndedKeys,
  type TokenOrder,
} from "../../src/identity/mod.ts";
import { bench, failure, NOW_MS, recordOf, sign } from "./fixtures.ts";

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
  const { judgedBy, ...principal } = await b.authenticate(`Bearer ${token}`);
  assert.equal(judgedBy?.live, true);
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
    tenantIds: undefined,
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

const DAY = 86_400_000;

/** The built-in issuer over some rotations; `record` is what is stored. */
async function rotating() {
  const { issuer, audience } = ORDER;
  const first = await createBuiltinIssuer();
  let record = builtinIssuerRecord({
    issuer,
    audience,
    keys: [first],
    maxAgeSeconds: (30 * DAY) / 1000,
    made: NOW_MS,
  });
  let records: readonly IssuerRecord[] = [record];
  const b = bench([], { issuers: () => records });
  const put = (next: IssuerRecord): void => {
    record = next;
    records = [next];
  };
  return { first, b, put, record: () => record };
}

const keysIn = ({ keys }: IssuerRecord): number => (keys.kind === "inline" ? keys.keys.length : 0);

test("after a rotation both keys verify, until the last token of the old one has ended", async () => {
  const { first, b, put, record } = await rotating();
  const ttlSeconds = (30 * DAY) / 1000;
  const old = await issueToken(first, { ...ORDER, ttlSeconds });
  await b.authenticate(old.token);
  const next = await createBuiltinIssuer();
  put(recordWithNewKey(record(), next, { now: NOW_MS, dropFormer: false }));
  const credentials = { authorization: old.token, certificate: undefined, tenantName: undefined };
  assert.ok(!(b.identity.authenticate(credentials) instanceof Promise), "it is verified anew");
  await b.authenticate((await issueToken(next, ORDER)).token);
  b.clock.ms = NOW_MS + 30 * DAY - 1000;
  assert.equal(recordWithoutEndedKeys(record(), b.clock.ms), undefined);
  await b.authenticate(old.token);
  b.clock.ms += 200_000;
  const pruned = recordWithoutEndedKeys(record(), b.clock.ms);
  assert.ok(pruned !== undefined);
  assert.equal(keysIn(pruned), 1);
  put(pruned);
  const now = b.clock.ms;
  assert.match(await b.refusal((await issueToken(first, { ...ORDER, now })).token), /KEY/);
  await b.authenticate((await issueToken(next, { ...ORDER, now })).token);
});

test("a stolen key can be dropped at once, cached tokens and all", async () => {
  const { first, b, put, record } = await rotating();
  const { token } = await issueToken(first, ORDER);
  await b.authenticate(token);
  const next = await createBuiltinIssuer();
  put(recordWithNewKey(record(), next, { now: NOW_MS, dropFormer: true }));
  assert.equal(keysIn(record()), 1);
  assert.match(await b.refusal(token), /KEY/);
});

test("a key is due by its age, and one of unknown age is", async () => {
  const { record } = await rotating();
  assert.equal(isKeyDue(record(), NOW_MS + 30 * DAY - 1, 30 * DAY), false);
  assert.equal(isKeyDue(record(), NOW_MS + 30 * DAY, 30 * DAY), true);
  const next = recordWithNewKey(record(), await createBuiltinIssuer(), {
    now: NOW_MS + 30 * DAY,
    dropFormer: false,
  });
  assert.equal(isKeyDue(next, NOW_MS + 59 * DAY, 30 * DAY), false);
  const { record: unknown } = await builtin();
  assert.equal(isKeyDue(unknown, NOW_MS, 30 * DAY), true);
});

test("rotations without end do not fill the record", async () => {
  const { put, record } = await rotating();
  const rotate = async (): Promise<void> => {
    const next = await createBuiltinIssuer();
    put(recordWithNewKey(record(), next, { now: NOW_MS, dropFormer: false }));
  };
  for (let i = 0; i < 20; i++) await rotate();
  assert.match((await failure(rotate, "conflict")).message, /20 former keys .* --drop-former/);
  assert.equal(keysIn(record()), 21);
});

test("a token may be bound to a certificate and to the ids of its tenants", async () => {
  const { key, b } = await builtin();
  const certificate = "A".repeat(43);
  const tenantIds = { default: "22222222-2222-4222-8222-222222222222" };
  const { token } = await issueToken(key, { ...ORDER, certificate, tenantIds });
  assert.match(await b.refusal(token), /none was presented/);
  assert.match(await b.refusal(token, "B".repeat(43)), /another certificate/);
  const principal = await b.authenticate(token, certificate);
  assert.deepEqual([...(principal.tenantIds ?? [])], Object.entries(tenantIds));
  await failure(() => issueToken(key, { ...ORDER, certificate: "AA:BB" }), "invalid-argument");
});

test("only an issuer that may name any tenant is believed what ids they have", async () => {
  const own = bench([recordOf({ tenants: { kind: "claim", claim: "tenants", any: false } })]);
  const claims = { tenants: ["acme"], tenant_ids: { acme: "x" } };
  assert.equal((await own.authenticate(await sign(claims))).tenantIds, undefined);
  const { key, b } = await builtin();
  const bad = { ...ORDER, tenantIds: { default: 7 } as unknown as Record<string, string> };
  assert.match(await b.refusal((await issueToken(key, bad)).token), /tenant_ids/);
});
