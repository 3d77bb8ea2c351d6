import assert from "node:assert/strict";
import { test } from "node:test";
import { type Audit, type AuditQuery, createCursors } from "../../src/audit/mod.ts";
import { NOW_MS, eventOf, folderOf } from "./fixtures.ts";

const ALL: AuditQuery = {
  order: "newest",
  limit: 100,
  from: undefined,
  subject: "",
  action: "",
  outcome: "",
  requestId: "",
  tenant: undefined,
  keyPrefix: "",
  fromMs: 0,
  toMs: 0,
};

const seqs = (lines: readonly string[]): readonly number[] =>
  lines.map((line) => (JSON.parse(line) as { seq: number }).seq);

async function found(audit: Audit, query: Partial<AuditQuery> = {}): Promise<readonly number[]> {
  const numbers: number[] = [];
  let { from } = { ...ALL, ...query };
  for (;;) {
    const page = await audit.search({ ...ALL, ...query, from });
    numbers.push(...seqs(page.lines));
    if (page.isDone || numbers.length >= (query.limit ?? ALL.limit)) return numbers;
    from = page.next;
  }
}

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i + 1);

test("records are found by each filter, newest or oldest first, over all files", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 1500 });
  for (let i = 0; i < 20; i++) {
    await audit.append(
      eventOf({
        action: i % 2 === 0 ? "put" : "range",
        outcome: i % 5 === 0 ? "refused" : "ok",
        subject: i < 10 ? "user:alice" : 'user:Zo\u00eb "q"',
        tenant: i === 7 ? "t7" : i === 8 ? "" : "t",
        requestId: i === 9 ? "r-3~x" : i === 11 ? "r-3x" : `r-${i}`,
        key: i < 15 ? "/a/\u0000" : "/a/b",
        reason: '"action":"range"',
        groups: ['"action":"range"'],
      }),
    );
    folder.clock.ms += 1000;
  }
  const newest = (query: Partial<AuditQuery>) => found(audit, query);
  const oldest = (query: Partial<AuditQuery>) => found(audit, { ...query, order: "oldest" });
  assert.deepEqual(await newest({}), upTo(20).toReversed());
  assert.deepEqual(await oldest({}), upTo(20));
  assert.deepEqual(await newest({ limit: 3 }), [20, 19, 18]);
  assert.deepEqual(await oldest({ limit: 3 }), [1, 2, 3]);
  assert.deepEqual(await newest({ outcome: "refused" }), [16, 11, 6, 1]);
  assert.deepEqual(await oldest({ action: "put", outcome: "refused" }), [1, 11]);
  assert.deepEqual(await newest({ subject: 'user:Zo\u00eb "q"', limit: 1 }), [20]);
  assert.deepEqual(await newest({ tenant: "t7" }), [8]);
  assert.deepEqual(await newest({ tenant: "" }), [9]);
  assert.deepEqual(await newest({ subject: "user" }), []);
  assert.deepEqual(await newest({ requestId: "r-3" }), [10, 4]);
  assert.deepEqual(await newest({ requestId: "r-3~x" }), [10]);
  assert.deepEqual(await oldest({ keyPrefix: "/a/b" }), [16, 17, 18, 19, 20]);
  assert.deepEqual(await oldest({ keyPrefix: "/a/\u0000" }), upTo(15));
  assert.deepEqual(await oldest({ keyPrefix: "a/" }), []);
  assert.deepEqual(await oldest({ fromMs: NOW_MS + 18_000 }), [19, 20]);
  assert.deepEqual(await newest({ toMs: NOW_MS + 2000 }), [2, 1]);
  assert.deepEqual(await oldest({ fromMs: NOW_MS + 1, toMs: NOW_MS + 2001 }), [2, 3]);
});

test("pages go on where the last ended, over new files, and tell of what is written later", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 3000 });
  for (let i = 0; i < 20; i++) await audit.append(eventOf());
  const first = await audit.search({ ...ALL, order: "oldest", limit: 7 });
  assert.deepEqual([seqs(first.lines), first.isDone], [upTo(7), false]);
  const rest = await audit.search({ ...ALL, order: "oldest", from: first.next });
  assert.deepEqual(seqs(rest.lines), upTo(20).slice(7));
  assert.equal(rest.isDone, true);
  const newest = await audit.search({ ...ALL, limit: 4 });
  const older = await audit.search({ ...ALL, from: newest.next });
  assert.deepEqual(seqs(older.lines), upTo(16).toReversed());
  for (let i = 0; i < 9; i++) await audit.append(eventOf());
  for (const from of [rest.next, newest.end]) {
    const later = await audit.search({ ...ALL, order: "oldest", from });
    assert.deepEqual(seqs(later.lines), upTo(29).slice(20));
  }
});

test("a record is found as soon as it was given, and not while its write can be taken back", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const written = audit.append(eventOf());
  assert.deepEqual(await found(audit), [1]);
  await written;
  const [name = ""] = await folder.names();
  const line = (await folder.text()).replace('"seq":1', '"seq":2');
  await folder.write(`${await folder.text()}${line}`, name);
  assert.deepEqual(await found(audit), [1]);
  assert.deepEqual(await found(audit, { order: "oldest" }), [1]);
});

test("lines across slice borders are found from both ends", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const many = Array.from({ length: 1500 }, (_, i) =>
    audit.append(eventOf({ key: "k".repeat(i % 700) })),
  );
  await Promise.all(many);
  assert.deepEqual(await found(audit, { limit: 5000 }), upTo(1500).toReversed());
  assert.deepEqual(await found(audit, { limit: 5000, order: "oldest" }), upTo(1500));
});

test("a line longer than any slice is passed over", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 1 });
  await audit.append(eventOf());
  await audit.append(eventOf());
  const [first = ""] = await folder.names();
  await folder.write(`${await folder.text(first)}${"x".repeat(700_000)}\n`, first);
  assert.deepEqual(await found(audit), [2, 1]);
  assert.deepEqual(await found(audit, { order: "oldest" }), [1, 2]);
});

test("a cursor is good for who got it, in this process, and tells nothing", () => {
  const cursors = createCursors();
  const position = { file: "audit-0000000000000001.000.jsonl", offset: 123_456 };
  const cursor = cursors.seal(position, "t1");
  assert.deepEqual(cursors.open(cursor, "t1"), position);
  assert.equal(cursors.open("", "t1"), undefined);
  const far = cursors.seal({ ...position, offset: Number.MAX_SAFE_INTEGER }, "t1");
  assert.equal(far.length, cursor.length);
  const bad = { code: "invalid-argument", message: /search from the beginning/ };
  assert.throws(() => cursors.open(cursor, "t2"), bad);
  assert.throws(() => createCursors().open(cursor, "t1"), bad);
  for (const text of ["x", cursor.slice(1), `A${cursor.slice(1)}`, "a".repeat(200)]) {
    if (text !== cursor) assert.throws(() => cursors.open(text, "t1"), bad);
  }
});
