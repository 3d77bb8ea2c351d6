import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuditTailQuery } from "../../src/audit/mod.ts";
import { eventOf, folderOf } from "./fixtures.ts";

const ALL: AuditTailQuery = {
  limit: 100,
  afterSeq: 0,
  subject: "",
  action: "",
  outcome: "",
  tenant: "",
};

const seqs = (lines: readonly string[]): readonly number[] =>
  lines.map((line) => (JSON.parse(line) as { seq: number }).seq);

test("the tail is the newest lines, oldest first, over all files", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 1500 });
  for (let i = 0; i < 20; i++) {
    await audit.append(
      eventOf({
        action: i % 2 === 0 ? "put" : "range",
        outcome: i % 5 === 0 ? "refused" : "ok",
        subject: i < 10 ? "user:alice" : 'user:Zo\u00eb "q"',
        tenant: i === 7 ? "t7" : "t",
        reason: '"action":"range"',
      }),
    );
  }
  const ask = async (query: Partial<AuditTailQuery>) =>
    seqs(await audit.tail({ ...ALL, ...query }));
  assert.deepEqual(
    await ask({}),
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  assert.deepEqual(await ask({ limit: 3 }), [18, 19, 20]);
  assert.deepEqual(await ask({ limit: 0 }), []);
  assert.deepEqual(await ask({ afterSeq: 16 }), [17, 18, 19, 20]);
  assert.deepEqual(await ask({ afterSeq: 3, limit: 2 }), [4, 5]);
  assert.deepEqual(await ask({ afterSeq: 20 }), []);
  assert.deepEqual(await ask({ outcome: "refused" }), [1, 6, 11, 16]);
  assert.deepEqual(await ask({ outcome: "refused", limit: 2 }), [11, 16]);
  assert.deepEqual(await ask({ action: "put", outcome: "refused" }), [1, 11]);
  assert.deepEqual(await ask({ subject: 'user:Zo\u00eb "q"', limit: 1 }), [20]);
  assert.deepEqual(await ask({ tenant: "t7" }), [8]);
  assert.deepEqual(await ask({ subject: "user" }), []);
});

test("a record is in the tail as soon as it was given", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const written = audit.append(eventOf());
  assert.equal((await audit.tail(ALL)).length, 1);
  await written;
});

test("lines across chunk borders are found from both ends", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const many = Array.from({ length: 1500 }, (_, i) =>
    audit.append(eventOf({ key: "k".repeat(i % 700) })),
  );
  await Promise.all(many);
  const expected = Array.from({ length: 1500 }, (_, i) => i + 1);
  assert.deepEqual(seqs(await audit.tail({ ...ALL, limit: 5000 })), expected);
  assert.deepEqual(seqs(await audit.tail({ ...ALL, limit: 5000, afterSeq: 1 })), expected.slice(1));
});
