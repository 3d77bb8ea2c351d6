import assert from "node:assert/strict";
import { test } from "node:test";
import { TokenCache } from "../../src/identity/token-cache.ts";
import { bench, recordOf, sign } from "./fixtures.ts";

interface Entry {
  readonly tenant: string;
  readonly id: string;
}

function fill(cache: TokenCache<Entry>, tenant: string, count: number, from = 0): void {
  for (let i = from; i < from + count; i++) cache.set(`${tenant}${i}`, { tenant, id: `${i}` });
}

function held(cache: TokenCache<Entry>, tenant: string, count: number): number {
  return Array.from({ length: count }, (_, i) => cache.get(`${tenant}${i}`)).filter(
    (entry) => entry !== undefined,
  ).length;
}

test("a flood of one tenant's tokens leaves the others' where they are", () => {
  const cache = new TokenCache<Entry>(100);
  fill(cache, "quiet", 10);
  fill(cache, "loud", 10_000);
  assert.equal(cache.size, 100);
  assert.equal(held(cache, "quiet", 10), 10);
  assert.notEqual(cache.get("loud9999"), undefined);
  assert.equal(cache.get("loud0"), undefined);
});

test("a tenant that comes late takes its share from the one that has most", () => {
  const cache = new TokenCache<Entry>(100);
  fill(cache, "loud", 100);
  fill(cache, "quiet", 10);
  fill(cache, "late", 60);
  assert.equal(cache.size, 100);
  assert.equal(held(cache, "quiet", 10), 10);
  assert.ok(held(cache, "late", 60) >= 33, `${held(cache, "late", 60)}`);
});

test("what is put again is the newest, and what is taken away makes room", () => {
  const cache = new TokenCache<Entry>(3);
  fill(cache, "a", 3);
  cache.set("a0", { tenant: "a", id: "again" });
  fill(cache, "a", 1, 3);
  assert.deepEqual([cache.get("a0")?.id, cache.get("a1")], ["again", undefined]);
  cache.delete("a0");
  cache.delete("none");
  assert.equal(cache.size, 2);
});

test("tokens are remembered for their tenant", async () => {
  const tenants = { kind: "claim", claim: "tenants", any: false };
  const b = bench([recordOf({ tenants })], { cachedTokensMax: 20 });
  const quiet = await sign({ tenants: ["quiet"], jti: "quiet" });
  await b.authenticate(quiet);
  for (let i = 0; i < 40; i++) {
    await b.authenticate(await sign({ tenants: ["loud"], jti: `${i}` }));
  }
  const credentials = { authorization: quiet, certificate: undefined, tenantName: undefined };
  assert.ok(!(b.identity.authenticate(credentials) instanceof Promise), "it is verified anew");
});
