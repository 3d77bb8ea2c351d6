import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { signText, keysFor } from "../identity/fixtures.ts";
import { type World, bytes, failure, startWorld } from "./world.ts";

/** Credentials that are bound to several tenants: what one of them shows of the others. */

const ISSUER = "https://groups.example";

let world: World;
/** Asks for no tenant's scope. */
let operator: Client;

before(async () => {
  world = await startWorld({
    issuers: [
      {
        version: 1,
        issuer: ISSUER,
        keys: { kind: "inline", keys: [keysFor("ES256").jwk] },
        algorithms: ["ES256"],
        audience: ["coffer"],
        maxAgeSeconds: 3600,
        tenants: { kind: "fixed", tenants: ["default"] },
        groupsClaim: "groups",
      },
    ],
  });
  operator = await world.as("user:admin", { tenants: ["system"] });
  await world.grant(["g", "user:owner", "role:owner"]);
});

after(() => world[Symbol.asyncDispose]());

async function names(client: Client): Promise<readonly string[]> {
  return (await client.tenantList({})).tenants.map(({ name }) => name);
}

test("refusal 17: another tenant of that name is not shown to old credentials by way of a second tenant", async () => {
  await operator.tenantCreate({ name: "phoenix", owner: "user:owner" });
  const old = await world.as("user:owner", { tenants: ["default", "phoenix"] });
  assert.deepEqual(await names(old), ["default", "phoenix"]);
  await operator.tenantDelete({ name: "phoenix" });
  await operator.tenantCreate({ name: "phoenix", owner: "user:owner" });
  assert.deepEqual(await names(old), ["default"]);
  await failure(old.tenantShow({ name: "phoenix" }), "permission-denied");
  const fresh = await world.as("user:owner", { tenants: ["default", "phoenix"] });
  assert.deepEqual(await names(fresh), ["default", "phoenix"]);
});

test("refusal 33: a tenant that revoked credentials is not shown to them by way of another", async () => {
  await operator.tenantCreate({ name: "closed", owner: "user:owner" });
  const both = await world.as("user:owner", { tenants: ["default", "closed"] });
  await both.tenantShow({ name: "closed" });
  const own = await world.as("user:owner", { tenants: ["closed"] });
  const value = { subject: "user:owner", issuer: "", issuedBefore: 0n };
  await own.tokenRevoke({ target: { target: { $case: "subject", value } } });
  await failure(both.tenantShow({ name: "closed" }), "permission-denied");
  assert.ok(!(await names(both)).includes("closed"));
});

test("what an operator looks at is no line in the trail of the tenant that they came by", async () => {
  await operator.tenantCreate({ name: "unheard-of", owner: "user:owner" });
  await world.admin.tenantShow({ name: "unheard-of" });
  await world.admin.tenantList({});
  const owner = await world.as("user:owner");
  const { lines } = await owner.auditSearch({});
  assert.ok(lines.length > 0);
  assert.ok(!lines.some((line) => line.includes("unheard-of")));
  const all = await operator.auditSearch({ action: "tenant-show" });
  assert.ok(all.lines.some((line) => line.includes("unheard-of")));
});

test("a token for oneself does not leave the groups behind to which something is denied", async () => {
  await world.grant(
    ["p", "user:al", "*", "read", "allow"],
    ["p", "user:al", "token/issue", "admin", "allow"],
    ["p", "group:contractors", "/secret", "read", "deny"],
  );
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss: ISSUER, sub: "al", aud: "coffer", iat, exp: iat + 600, jti: "al" };
  const tokenOf = async (extra: object): Promise<Client> =>
    world.connect({ token: await signText(JSON.stringify({ ...claims, ...extra })) });
  const member = await tokenOf({ groups: ["contractors"] });
  await failure(member.range({ key: bytes("/secret") }), "permission-denied");
  const order = { subject: "user:al", ttlSeconds: 60n };
  await failure(member.tokenIssue(order), "permission-denied");
  const alone = await tokenOf({ jti: "al2" });
  assert.notEqual((await alone.tokenIssue(order)).token, "");
});
