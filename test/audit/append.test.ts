import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { tokenIdHash, verifyFolder, viewOf } from "../../src/audit/mod.ts";
import { nodeFiles } from "../../src/audit/file-port.ts";
import { eventOf, fill, folderOf } from "./fixtures.ts";

test("a record is one canonical line that points to the one before", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await audit.append(eventOf());
  await audit.append(eventOf({ action: "range", tokenId: "", certThumbprint: "abc" }));
  const [first = "", second = ""] = await folder.lines();
  const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
  const jti = sha256("t1");
  const body = (tenantSeq: number, middle: string, tenantPrevHash: string): string =>
    `{"time":"2026-11-22T12:00:00.000Z","member":"m1",` +
    `"tenant":"5f0c8a52-0000-4000-8000-000000000001","tenantSeq":${tenantSeq},"revision":7,` +
    `"policyRevision":3,"requestId":"r-1",` +
    `"actor":{"issuer":"https://issuer.example","subject":"user:alice","groups":["dev"],` +
    `${middle},"key":"/db/url","rangeEnd":"","rights":[],"outcome":"ok","reason":"",` +
    `"tenantPrevHash":"${tenantPrevHash}"`;
  const none = "0".repeat(64);
  const tail = `"certThumbprint":"","peer":"127.0.0.1:40000","action":"put"`;
  const body1 = body(1, `"jtiHash":"${jti}"},${tail}`, none);
  const recordHash = sha256(body1);
  const place1 = `,"recordHash":"${recordHash}","seq":1,"prevHash":"${none}"`;
  const hash = sha256(place1);
  assert.equal(first, `${body1}${place1},"hash":"${hash}"}`);
  const tail2 = `"certThumbprint":"abc","peer":"127.0.0.1:40000","action":"range"`;
  const body2 = body(2, `"jtiHash":""},${tail2}`, recordHash);
  const place2 = `,"recordHash":"${sha256(body2)}","seq":2,"prevHash":"${hash}"`;
  const hash2 = sha256(place2);
  assert.equal(second, `${body2}${place2},"hash":"${hash2}"}`);
  assert.deepEqual(audit.head, { seq: 2, hash: hash2 });
  assert.equal(viewOf(second), `${body2},"recordHash":"${sha256(body2)}"}`);
  assert.equal(tokenIdHash("t1"), jti);
});

test("records of one turn of the event loop are one write, and of the next another", async (context) => {
  const folder = await folderOf(context);
  let writes = 0;
  const files = {
    ...nodeFiles,
    write: (fd: number, bytes: Uint8Array) => {
      writes++;
      nodeFiles.write(fd, bytes);
    },
  };
  const audit = await folder.open({ files });
  await fill(audit, 100);
  assert.equal(writes, 1);
  assert.equal((await folder.lines()).length, 100);
  await fill(audit, 10);
  assert.equal(writes, 2);
});

test("a record is in the file before its promise resolves, and on the disk soon after", async (context) => {
  const folder = await folderOf(context);
  let synced: () => void = () => undefined;
  const onSync = new Promise<void>((resolve) => (synced = resolve));
  const files = {
    ...nodeFiles,
    sync: async (fd: number) => {
      await nodeFiles.sync(fd);
      synced();
    },
  };
  const audit = await folder.open({ files });
  await audit.append(eventOf());
  assert.equal((await folder.lines()).length, 1);
  const begin = performance.now();
  await onSync;
  assert.ok(performance.now() - begin < 150);
});

test("files and folder are for their owner only", async (context) => {
  const folder = await folderOf(context);
  const path = join(folder.path, "deep", "audit");
  const audit = await folder.open({ folder: path });
  await audit.append(eventOf());
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  const name = "audit-0000000000000001.000.jsonl";
  assert.equal((await stat(join(path, name))).mode & 0o777, 0o600);
});

test("the chain goes on over restarts and rotation by size and age", async (context) => {
  const folder = await folderOf(context);
  for (let start = 0; start < 3; start++) {
    const audit = await folder.open({ fileBytesMax: 2000, fileAgeMsMax: 1000 });
    assert.equal(audit.head.seq, start * 12);
    for (let i = 0; i < 10; i++) await audit.append(eventOf());
    folder.clock.ms += 2000;
    for (let i = 0; i < 2; i++) await audit.append(eventOf());
    await audit.close();
  }
  const names = await folder.names();
  assert.ok(names.length >= 9, names.join());
  const verdict = await verifyFolder(folder.path);
  assert.deepEqual(
    [verdict.ok, verdict.records, verdict.chains.map(({ head, first }) => [first, head.seq])],
    [true, 36, [[1, 36]]],
  );
});

test("an empty log verifies, and so does one that was opened and never written", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await audit.sync();
  const verdict = await verifyFolder(folder.path);
  assert.deepEqual(verdict, { ok: true, records: 0, chains: [] });
});

test("refusal 64: keys and texts of strangers stay one ASCII line", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await audit.append(
    eventOf({
      key: 'a\r\n"b\\\u001b[31m\u0000\u00ff',
      rangeEnd: "\u0000",
      requestId: 'x"\r\n\u001b]0;t\u0007',
      subject: "user:Zo\u00eb \u202e\u2028",
      groups: ['a"\u001b'],
      reason: "\\n",
    }),
  );
  const lines = await folder.lines();
  assert.equal(lines.length, 1);
  const line = lines[0] ?? "";
  assert.match(line, /^[ -~]+$/);
  const record = JSON.parse(line) as Record<string, unknown>;
  assert.equal(record["key"], 'a\\x0d\\x0a"b\\x5c\\x1b[31m\\x00\\xff');
  assert.equal(record["rangeEnd"], "\\x00");
  assert.equal(record["requestId"], 'x"\r\n\u001b]0;t\u0007');
  assert.deepEqual(record["actor"], {
    issuer: "https://issuer.example",
    subject: "user:Zo\u00eb \u202e\u2028",
    groups: ['a"\u001b'],
    jtiHash: tokenIdHash("t1"),
  });
  assert.equal(record["reason"], "\\n");
});

test("long keys and texts are cut with a note of their length", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await audit.append(eventOf({ key: "k".repeat(10_000), requestId: "r".repeat(10_000) }));
  const line = (await folder.lines())[0] ?? "";
  assert.ok(line.length < 4000);
  const record = JSON.parse(line) as Record<string, string>;
  assert.ok(record["key"]?.endsWith("k\\...(10000 bytes)"));
  assert.ok(record["requestId"]?.endsWith("r\\...(10000 characters)"));
});

test("any event makes a line that verifies, and different keys stay different", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => String.fromCharCode(...array));
  const unit = fc.string({ unit: "binary", maxLength: 40 });
  const keys = new Map<string, string>();
  await fc.assert(
    fc.asyncProperty(bytes, unit, unit, async (key, subject, reason) => {
      await audit.append(eventOf({ key, rangeEnd: key, subject, reason, requestId: reason }));
      const line = (await folder.lines()).at(-1) ?? "";
      const record = JSON.parse(line) as { key: string; actor: { subject: string } };
      assert.equal(record.actor.subject, /\p{Cs}/u.test(subject) ? record.actor.subject : subject);
      assert.equal(keys.get(record.key) ?? key, key);
      keys.set(record.key, key);
    }),
    { numRuns: 200 },
  );
  assert.equal((await verifyFolder(folder.path)).ok, true);
});

test("after close nothing is taken", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const last = audit.append(eventOf());
  await audit.close();
  await last;
  await assert.rejects(audit.append(eventOf()), { code: "audit-blocked" });
  await audit.close();
  assert.equal((await folder.lines()).length, 1);
});
