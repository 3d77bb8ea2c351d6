import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type World, assertRefused, bytes, startWorld } from "./world.ts";

/** What a key was: for whom, and how much at once. */

let world: World;

before(async () => {
  world = await startWorld();
});

after(() => world[Symbol.asyncDispose]());

test("values go to those who ask and may read, sizes and actors to those who may list", async () => {
  const key = bytes("/h/k");
  await world.admin.put({ key, value: bytes("secret") });
  await world.admin.deleteRange({ key });
  await world.admin.put({ key, value: bytes("x".repeat(300)) });
  const unasked = await world.admin.history({ key });
  assert.deepEqual(
    unasked.items.map(({ type, kv, valueBytes }) => [type, kv?.value.length, valueBytes]),
    [
      [0, 0, 300n],
      [1, 0, 0n],
      [0, 0, 6n],
    ],
  );
  assert.equal(unasked.valuesWithheld, false);
  const asked = await world.admin.history({ key, values: true });
  assert.deepEqual(asked.items[2]?.kv?.value, bytes("secret"));

  const subject = "user:lister";
  const lister = await world.as(subject);
  await assertRefused(world, { subject, action: "history" }, () => lister.history({ key }));
  await world.grant(["p", subject, "/h/*", "list", "allow"]);
  const listed = await lister.history({ key, values: true });
  assert.equal(listed.valuesWithheld, true);
  assert.deepEqual(
    listed.items.map(({ kv, valueBytes, actor }) => [kv?.value.length, valueBytes, actor?.subject]),
    [300n, 0n, 6n].map((size) => [0, size, "user:admin"]),
  );
  assert.equal((await lister.history({ key })).valuesWithheld, false);
  // A denial of read leaves the list, and nothing of the values comes with it.
  await world.grant(
    ["p", subject, "/h/*", "read", "allow"],
    ["p", subject, "/h/k", "read", "deny"],
  );
  assert.equal((await lister.history({ key, values: true })).valuesWithheld, true);
});

test("a long history comes by pages, and no answer outgrows a message", async () => {
  const key = bytes("/h/large");
  const value = Buffer.alloc(600_000, "v");
  for (let n = 0; n < 6; n++) await world.admin.put({ key, value });
  const revisions: bigint[] = [];
  const sizes: number[] = [];
  for (let before = 0n, more = true; more;) {
    const page = await world.admin.history({ key, before, values: true });
    sizes.push(page.items.length);
    revisions.push(...page.items.map(({ kv }) => kv?.modRevision ?? 0n));
    before = revisions.at(-1) ?? 0n;
    ({ more } = page);
  }
  assert.equal(revisions.length, 6);
  assert.deepEqual(
    revisions,
    revisions.toSorted((a, b) => Number(b - a)),
  );
  assert.ok(sizes.every((size) => size <= 4) && sizes.length > 1, sizes.join());
  const names = await world.admin.history({ key });
  assert.deepEqual([names.items.length, names.more], [6, false]);
  const two = await world.admin.history({ key, limit: 2n });
  assert.deepEqual([two.items.length, two.more], [2, true]);
  const exact = await world.admin.history({ key, limit: 6n });
  assert.deepEqual([exact.items.length, exact.more], [6, false]);
});
