import assert from "node:assert/strict";
import { utimes } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { planRemoval, removeFile, verifyFolder } from "../../src/audit/mod.ts";
import { NOW_MS, checkpointOf, eventOf, folderOf } from "./fixtures.ts";

const DAY_MS = 86_400_000;
const ANY = { now: NOW_MS, covered: Number.MAX_SAFE_INTEGER, needed: [] };

test("the oldest file may go when it is old, covered and needed by nobody", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 3500 });
  for (let i = 0; i < 12; i++) await audit.append(eventOf({ tenant: i % 2 === 0 ? "a" : "b" }));
  const [first = "", second = ""] = await folder.names();
  const count = (await folder.text(first)).trim().split("\n").length;
  for (const [i, name] of (await folder.names()).entries()) {
    const seconds = (NOW_MS - (10 - i) * DAY_MS) / 1000;
    await utimes(join(folder.path, name), seconds, seconds);
  }
  const rule = { ageMs: 9.5 * DAY_MS, bytes: undefined };
  const plan = (changes: Partial<typeof ANY>, other: typeof rule = rule) =>
    planRemoval(folder.path, other, { ...ANY, ...changes });
  assert.equal(await plan({}, { ...rule, ageMs: 11 * DAY_MS }), undefined);
  assert.equal(await plan({ covered: count - 1 }), undefined);
  const needed = (name: string | undefined) => ({ needed: [name] }) as unknown as typeof ANY;
  assert.equal(await plan(needed(first)), undefined);
  assert.equal(await plan(needed(undefined)), undefined);
  const found = await plan({ ...needed(second), covered: count });
  assert.equal(found?.file.name, first);
  assert.equal(found.end.seq, count);
  assert.deepEqual(
    new Map(found.tenants.map(([tenant, { seq }]) => [tenant, seq])),
    new Map([
      ["a", Math.ceil(count / 2)],
      ["b", Math.floor(count / 2)],
    ]),
  );
  const last = (await folder.text(first)).trim().split("\n").at(-1) ?? "";
  assert.deepEqual([found.end.seq, found.end.hash], [count, checkpointOf(last).hash]);
  await removeFile(folder.path, found.file);
  const checkpoints = [{ ...checkpointOf(last), kind: "begin" as const }];
  const verdict = await verifyFolder(folder.path, { checkpoints });
  assert.deepEqual([verdict.ok, verdict.records], [true, 12 - count]);
  // The next one is younger.
  assert.equal(await plan({}), undefined);
});

test("files go by size until the rest fits, and never the last one", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 1 });
  for (let i = 0; i < 4; i++) await audit.append(eventOf());
  let left = 4;
  for (;;) {
    const rule = { ageMs: undefined, bytes: 1 };
    const plan = await planRemoval(folder.path, rule, ANY);
    if (plan === undefined) break;
    await removeFile(folder.path, plan.file);
    left--;
  }
  assert.equal(left, 1);
  assert.equal((await folder.names()).length, 1);
});
