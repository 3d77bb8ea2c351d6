import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import type { rpc } from "../../src/proto/mod.ts";
import { issueCertificate } from "../../src/pki/mod.ts";
import { type Keys, keysFor, signText } from "../identity/fixtures.ts";
import { createWatch } from "./streams.ts";
import { type World, assertRefused, bytes, failure, startWorld } from "./world.ts";

const ISSUER = "https://id.example";
const FILE_ISSUER = "https://file.example";

let world: World;
let operator: Client;

before(async () => {
  world = await startWorld({ issuers: [recordOf({ issuer: FILE_ISSUER })] });
  operator = await world.as("user:admin", { tenants: ["system"] });
  await world.grant(["p", "user:alice", "*", "*", "allow"]);
});

after(() => world[Symbol.asyncDispose]());

const key = bytes("/k");

function recordOf(changes: Readonly<Record<string, unknown>> = {}): object {
  return {
    version: 1,
    issuer: ISSUER,
    keys: { kind: "inline", keys: [keysFor("ES256").jwk] },
    algorithms: ["ES256"],
    audience: ["coffer"],
    maxAgeSeconds: 3600,
    tenants: { kind: "fixed", tenants: ["default", "phoenix"] },
    ...changes,
  };
}

function add(record: object, replace = false): ReturnType<Client["issuerAdd"]> {
  return operator.issuerAdd({ record: Buffer.from(JSON.stringify(record)), replace });
}

function tokenOf(
  changes: Readonly<Record<string, unknown>> = {},
  keys: Keys = keysFor("ES256"),
): Promise<string> {
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss: ISSUER, sub: "alice", aud: "coffer", iat, exp: iat + 600, jti: "t1" };
  return signText(JSON.stringify({ ...claims, ...changes }), {}, keys);
}

test("tokens of an issuer are taken from its adding to its removal", async () => {
  const client = world.connect({ token: await tokenOf() });
  await failure(client.put({ key }), "invalid-token");
  const { issuer } = await add(recordOf());
  assert.deepEqual([issuer?.issuer, issuer?.keys, issuer?.failure], [ISSUER, 1n, ""]);
  await client.put({ key });
  const { watch } = await createWatch(client, { key });
  const { issuers } = await operator.issuerList();
  const seen = issuers.map(({ issuer: name, isBuiltin }) => `${name} ${isBuiltin}`);
  assert.deepEqual(seen, ["coffer true", `${ISSUER} false`]);
  const shown = await operator.issuerShow({ issuer: ISSUER });
  assert.equal((JSON.parse(shown.issuer?.record ?? "") as { issuer: string }).issuer, ISSUER);
  await operator.issuerRemove({ issuer: ISSUER });
  assert.equal((await watch.ended)?.code, "invalid-token");
  await failure(client.put({ key }), "invalid-token");
  await failure(operator.issuerShow({ issuer: ISSUER }), "not-found");
  await failure(operator.issuerRemove({ issuer: ISSUER }), "not-found");
});

test("an issuer that is discovered by https, behind an authority of its own", async () => {
  const served = issueCertificate(world.authority, {
    commonName: "id",
    usages: ["server"],
    ips: ["127.0.0.1"],
  });
  const options = { cert: served.certificate, key: served.privateKey };
  const server = createServer(options, (request, response) => {
    const keys = { keys: [keysFor("ES256").jwk] };
    const document = { issuer, jwks_uri: `${issuer}/keys` };
    response.end(JSON.stringify(request.url === "/keys" ? keys : document));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const client = world.connect({ token: await tokenOf({ iss: issuer }) });
    await add(recordOf({ issuer, keys: { kind: "discovery" } }));
    await failure(client.put({ key }), "invalid-token");
    const unknown = await operator.issuerShow({ issuer });
    assert.match(unknown.issuer?.failure ?? "", /certificate/);
    const ca = world.authority.certificate;
    await add(recordOf({ issuer, keys: { kind: "discovery", ca } }), true);
    await client.put({ key });
    assert.equal((await operator.issuerShow({ issuer })).issuer?.keys, 1n);
  } finally {
    await operator.issuerRemove({ issuer });
    server.closeAllConnections();
    server.close();
  }
});

test("one record for each issuer, which another takes the place of when asked to", async () => {
  await add(recordOf());
  const again = await failure(add(recordOf()), "already-exists");
  assert.match(again.message, /--replace/);
  const client = world.connect({ token: await tokenOf() });
  await client.put({ key });
  await add(recordOf({ audience: ["elsewhere"] }), true);
  await failure(client.put({ key }), "invalid-token");
  await add(recordOf(), true);
  await client.put({ key });
  await operator.issuerRemove({ issuer: ISSUER });
});

test("a watch ends when the record that judged its token is replaced, and goes on if it is the same", async () => {
  await add(recordOf());
  const client = world.connect({ token: await tokenOf() });
  const same = await createWatch(client, { key });
  await add(recordOf(), true);
  await world.admin.put({ key, value: bytes("same record") });
  await same.watch.until(({ events }) => events.length > 0);
  // As after a theft of the issuer's key: what was opened by it must not outlive it.
  const other = { kind: "inline", keys: [{ ...keysFor("ES256", "other").jwk, kid: "k2" }] };
  await add(recordOf({ keys: other }), true);
  await world.admin.put({ key, value: bytes("other record") });
  const isSecond = ({ events }: rpc.WatchResponse): boolean =>
    Buffer.from(events[0]?.kv?.value ?? []).toString() === "other record";
  const ended = same.watch.ended.then((error) => error?.code);
  const outcome = await Promise.race([ended, same.watch.until(isSecond).catch(() => ended)]);
  assert.equal(outcome, "invalid-token");
  await operator.issuerRemove({ issuer: ISSUER });
});

test("what runs on a token ends when the issuer withdraws the key that signed it", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "coffer-jwks-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "jwks.json");
  const serve = (...keys: readonly Keys[]): void =>
    writeFileSync(path, JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }));
  const [first, second, third] = [1, 2, 3].map((i) => keysFor("ES256", `ring-${i}`));
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  serve(first, second);
  await using own = await startWorld({ issuers: [recordOf({ keys: { kind: "file", path } })] });
  await own.grant(["p", "user:alice", "*", "*", "allow"]);
  const holder = async (keys: Keys): Promise<Client> =>
    own.connect({ token: await tokenOf({}, keys) });
  const [leaves, stays] = [await holder(first), await holder(second)];
  const ending = await createWatch(leaves, { key });
  const lasting = await createWatch(stays, { key });
  const { ID } = await leaves.leaseGrant({ TTL: 600n });
  const alive = leaves.keepAlive();
  alive.renew(ID);
  const replies = alive.replies();
  await replies.next();
  serve(second, third);
  // Its key is not known yet, so that the member asks for keys.
  await (await holder(third)).put({ key, value: bytes("v") });
  assert.equal((await ending.watch.ended)?.code, "invalid-token");
  alive.renew(ID);
  await failure(replies.next(), "invalid-token");
  await failure(leaves.put({ key }), "invalid-token");
  await lasting.watch.until(({ events }) => events.length > 0);
  await stays.put({ key });
  const record = own.audit().find(({ action }) => action === "watch-recheck");
  assert.deepEqual([record?.outcome, record?.actor.subject], ["refused", "user:alice"]);
  assert.match(record?.reason ?? "", /^invalid-token: .*keys of the issuer have changed/);
});

test("the built-in issuer is neither replaced nor removed", async () => {
  const builtin = { ...recordOf(), issuer: "coffer" };
  for (const replace of [false, true]) {
    const error = await failure(add(builtin, replace), "invalid-argument");
    assert.match(error.message, /built-in issuer; .*coffer token rotate-key/);
  }
  const error = await failure(operator.issuerRemove({ issuer: "coffer" }), "invalid-argument");
  assert.match(error.message, /built-in issuer stays.*coffer token revoke/);
});

test("a record that is wrong is refused by the name of its field", async () => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [recordOf({ audiences: ["coffer"] }), /unknown field/],
    [recordOf({ audience: [] }), /audience/],
    [recordOf({ algorithms: ["HS256"] }), /algorithms/],
    [recordOf({ keys: { kind: "file", path: "/etc/passwd" } }), /own disk/],
    [recordOf({ keys: { kind: "url", url: "http://127.0.0.1/jwks" } }), /https/],
    [recordOf({ issuer: FILE_ISSUER }), /--issuers-file/],
  ];
  for (const [record, message] of cases) {
    await assert.rejects(add(record), { message });
  }
  assert.equal((await operator.issuerList()).issuers.length, 1);
});

test("a tenant's admin has no say over issuers", async () => {
  const expected = { subject: "user:owner", action: "issuer-add" };
  await world.grant(["g", "user:owner", "role:owner"]);
  const owner = await world.as("user:owner");
  const record = Buffer.from(JSON.stringify(recordOf()));
  await assertRefused(world, expected, () => owner.issuerAdd({ record }));
  await failure(owner.issuerList(), "permission-denied");
  await failure(owner.tokenRotateKey(), "permission-denied");
});

test("refusal 17: a foreign token or a certificate from before a name was given anew", async () => {
  await add(recordOf());
  await operator.tenantCreate({ name: "phoenix", owner: "user:alice" });
  const old = world.connect({ token: await tokenOf(), tenant: "phoenix" });
  const issued = issueCertificate(world.authority, {
    commonName: "alice",
    organization: "tenant:phoenix",
    usages: ["client"],
  });
  const certificate = world.connect({ cert: issued.certificate, key: issued.privateKey });
  await old.put({ key });
  const phoenix = await world.as("user:alice", { tenants: ["phoenix"] });
  await phoenix.policyChange({ add: [{ fields: ["g", "cert:alice", "role:owner"] }] });
  await certificate.put({ key });
  await operator.tenantDelete({ name: "phoenix" });
  await operator.tenantCreate({ name: "phoenix", owner: "user:alice" });
  const expected = { subject: "user:alice", action: "put" };
  const record = await assertRefused(world, expected, () => old.put({ key }));
  assert.match(record.reason, /earlier tenant/);
  const anew = await world.as("user:alice", { tenants: ["phoenix"] });
  await anew.policyChange({ add: [{ fields: ["g", "cert:alice", "role:owner"] }] });
  await failure(certificate.put({ key }), "permission-denied");
  // In another tenant they are what they were.
  await world.connect({ token: await tokenOf(), tenant: "default" }).put({ key });
  // A second later by the issuer's clock, which may be ahead.
  const iat = Math.floor(Date.now() / 1000) + 2;
  const fresh = await tokenOf({ iat, exp: iat + 600, jti: "t2" });
  await world.connect({ token: fresh, tenant: "phoenix" }).put({ key });
  await operator.issuerRemove({ issuer: ISSUER });
});

test("a token for a tenant that is not there is not issued", async () => {
  const order = { subject: "user:a", tenants: ["nowhere"], ttlSeconds: 60n };
  const error = await failure(operator.tokenIssue(order), "not-found");
  assert.match(error.message, /tenant 'nowhere'.*coffer tenant create/);
});
