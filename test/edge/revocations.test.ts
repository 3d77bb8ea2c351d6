import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { after, before, test } from "node:test";
import type { Client, tokenApi } from "../../src/client/mod.ts";
import { issueCertificate } from "../../src/pki/mod.ts";
import { createWatch } from "./streams.ts";
import { type World, assertRefused, bytes, failure, startWorld } from "./world.ts";

/** Refusals 32 and 33 over the wire: what is revoked is refused on its next use, running streams too. */

let world: World;
/** An operator who names no tenant. */
let operator: Client;
let owner: Client;

before(async () => {
  world = await startWorld();
  operator = await world.as("user:admin", { tenants: ["system"] });
  owner = await world.as("user:owner");
  await world.grant(
    ["g", "user:owner", "role:owner"],
    ["p", "role:all", "*", "*", "allow"],
    ...["alice", "bob", "carol", "dave"].map((name) => ["g", `user:${name}`, "role:all"]),
    ["g", "cert:laptop", "role:all"],
  );
});

after(() => world[Symbol.asyncDispose]());

type Target = NonNullable<tokenApi.RevocationTarget["target"]>;

const key = bytes("/k");

function revoke(client: Client, target: Target): Promise<tokenApi.TokenRevokeResponse> {
  return client.tokenRevoke({ target: { target } });
}

/** A token that `issued`, its id, and a client that shows it. */
async function holder(subject: string, tenants: readonly string[] = ["default"]) {
  const token = await world.token(subject, { tenants });
  const payload = Buffer.from(token.split(".")[1] ?? "", "base64url").toString();
  const { jti, iat } = JSON.parse(payload) as { readonly jti: string; readonly iat: number };
  return { token, jti, iat, client: world.connect({ token, tenant: tenants[0] }) };
}

test("refusal 33: a token is refused on its next use, and what runs on it ends", async () => {
  const one = await holder("user:alice");
  const other = await holder("user:alice");
  await one.client.put({ key });
  const { watch } = await createWatch(one.client, { key });
  const { ID } = await one.client.leaseGrant({ TTL: 600n });
  const lease = one.client.keepAlive();
  lease.renew(ID);
  const replies = lease.replies();
  await replies.next();
  const target: Target = { $case: "token", value: { issuer: "", tokenId: one.jti } };
  const { revocation, tenant } = await revoke(operator, target);
  const expected = { subject: "", action: "put", code: "invalid-token" } as const;
  const record = await assertRefused(world, expected, () => one.client.put({ key }));
  assert.match(record.reason, /revoked/);
  assert.equal((await watch.ended)?.code, "invalid-token");
  lease.renew(ID);
  await failure(replies.next(), "invalid-token");
  await other.client.put({ key });
  const kept = world.audit().filter(({ action }) => action === "watch-recheck");
  assert.deepEqual(
    kept.map(({ actor, outcome }) => [actor.subject, outcome]),
    [["user:alice", "refused"]],
  );
  assert.equal(tenant, "", "an operator revokes for the whole cluster");
  assert.deepEqual(revocation?.target?.target, {
    $case: "token",
    value: { issuer: "coffer", tokenId: one.jti },
  });
  await operator.tokenUnrevoke({ id: revocation?.id ?? "" });
  await one.client.put({ key });
  await failure(operator.tokenUnrevoke({ id: revocation?.id ?? "" }), "not-found");
});

test("refusal 33: all that a subject holds, and not what it gets later", async () => {
  const before = await Promise.all(["user:bob", "user:bob", "user:alice"].map((s) => holder(s)));
  for (const { client } of before) await client.put({ key });
  const value = { issuer: "", subject: "user:bob", issuedBefore: 0n };
  await revoke(operator, { $case: "subject", value });
  // Of the same second: it must be told from the ones before.
  const later = await holder("user:bob");
  await later.client.put({ key });
  const [first, second, alice] = before;
  for (const held of [first, second]) {
    await failure(held?.client.put({ key }) ?? assert.fail(), "invalid-token");
  }
  await alice?.client.put({ key });
});

test("a revocation of nothing is refused once it is known who asks", async () => {
  const error = await failure(owner.tokenRevoke({}), "invalid-argument");
  assert.match(error.message, /name what to revoke/);
  const stranger = await world.as("user:stranger");
  await failure(stranger.tokenRevoke({}), "permission-denied");
  await failure(world.connect().tokenRevoke({}), "no-identity");
});

test("a tenant's admin revokes for that tenant, and for no other", async () => {
  await operator.tenantCreate({ name: "blue", owner: "user:blue" });
  const blue = await world.as("user:blue", { tenants: ["blue"] });
  const roamer = await holder("user:carol", ["default", "blue"]);
  await blue.policyChange({ add: [{ fields: ["g", "user:carol", "role:owner"] }] });
  const inBlue = world.connect({ token: roamer.token, tenant: "blue" });
  await inBlue.put({ key });
  await roamer.client.put({ key });
  const here = await createWatch(inBlue, { key });
  const there = await createWatch(roamer.client, { key });
  const target: Target = { $case: "token", value: { issuer: "", tokenId: roamer.jti } };
  const { tenant, revocation } = await revoke(blue, target);
  assert.equal(tenant, "blue");
  await failure(inBlue.put({ key }), "invalid-token");
  assert.equal((await here.watch.ended)?.code, "invalid-token");
  await roamer.client.put({ key });
  await there.watch.until(({ events }) => events.length > 0);
  await there.watch[Symbol.asyncDispose]();
  // What one tenant has revoked is for it to see.
  assert.deepEqual(
    (await blue.tokenRevocations()).revocations.map(({ id }) => id),
    [revocation?.id],
  );
  assert.deepEqual((await owner.tokenRevocations()).revocations, []);
  const ids = (await operator.tokenRevocations()).revocations.map(({ id }) => id);
  assert.ok(!ids.includes(revocation?.id ?? ""));
  await failure(owner.tokenUnrevoke({ id: revocation?.id ?? "" }), "not-found");
  // Nor may it reach out of its tenant.
  const out = world.connect({
    token: await world.token("user:blue", { tenants: ["blue"] }),
    tenant: "system",
  });
  await failure(revoke(out, target), "permission-denied");
  await blue.tokenUnrevoke({ id: revocation?.id ?? "" });
  await inBlue.put({ key });
});

test("refusal 33: everything that comes over a connection of a revoked certificate", async () => {
  const laptop = issueCertificate(world.authority, { commonName: "laptop", usages: ["client"] });
  const { raw } = new X509Certificate(laptop.certificate);
  const thumbprint = createHash("sha256").update(raw).digest("base64url");
  const shown = { cert: laptop.certificate, key: laptop.privateKey };
  const certificate = world.connect(shown);
  const { token } = await operator.tokenIssue({
    subject: "user:dave",
    tenants: ["default"],
    ttlSeconds: 600n,
    certificate: thumbprint,
  });
  const bound = world.connect({ ...shown, token });
  await certificate.put({ key });
  await bound.put({ key });
  // Refusal 34: the token alone is worth nothing.
  await failure(world.connect({ token }).put({ key }), "invalid-token");
  const { watch } = await createWatch(certificate, { key });
  const { revocation } = await revoke(operator, { $case: "certificate", value: thumbprint });
  await failure(certificate.put({ key }), "invalid-token");
  await failure(bound.put({ key }), "invalid-token");
  assert.equal((await watch.ended)?.code, "invalid-token");
  await operator.tokenUnrevoke({ id: revocation?.id ?? "" });
  await bound.put({ key });
  const value = { issuer: "", subject: "cert:laptop", issuedBefore: 0n };
  await revoke(operator, { $case: "subject", value });
  await failure(certificate.put({ key }), "invalid-token");
  await bound.put({ key });
});

test("refusal 33: what is revoked stays so after a restart", async () => {
  const { token, jti, client } = await holder("user:dave");
  await client.put({ key });
  await revoke(operator, { $case: "token", value: { issuer: "coffer", tokenId: jti } });
  await world.restart();
  await failure(world.connect({ token }).put({ key }), "invalid-token");
  operator = await world.as("user:admin", { tenants: ["system"] });
  owner = await world.as("user:owner");
});

test("all tokens of an issuer up to a time", async () => {
  const old = await holder("user:alice");
  const issuedBefore = BigInt(old.iat);
  await revoke(operator, { $case: "issuer", value: { issuer: "coffer", issuedBefore } });
  await failure(old.client.put({ key }), "invalid-token");
  operator = await world.as("user:admin", { tenants: ["system"] });
  owner = await world.as("user:owner");
  await (await holder("user:alice")).client.put({ key });
  const future = { issuer: "coffer", issuedBefore: issuedBefore + 3600n };
  const error = await failure(
    revoke(operator, { $case: "issuer", value: future }),
    "invalid-argument",
  );
  assert.match(error.message, /in the future: to keep a subject out for good, deny it/);
});

test("a rotated key verifies what it signed; one that is dropped ends all of it", async () => {
  const old = await holder("user:alice");
  const { keyId } = await operator.tokenRotateKey();
  const fresh = await holder("user:alice");
  const header = JSON.parse(
    Buffer.from(fresh.token.split(".")[0] ?? "", "base64url").toString(),
  ) as {
    readonly kid: string;
  };
  assert.equal(header.kid, keyId);
  await old.client.put({ key });
  await fresh.client.put({ key });
  await world.restart();
  await world.connect({ token: old.token }).put({ key });
  operator = await world.as("user:admin", { tenants: ["system"] });
  const runs = world.connect({ token: fresh.token });
  const { watch } = await createWatch(runs, { key });
  await operator.tokenRotateKey({ dropFormer: true });
  assert.equal((await watch.ended)?.code, "invalid-token");
  for (const token of [old.token, fresh.token]) {
    await failure(world.connect({ token }).put({ key }), "invalid-token");
  }
  await (await holder("user:alice")).client.put({ key });
});
