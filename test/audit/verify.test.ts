import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { test, type TestContext } from "node:test";
import * as fc from "fast-check";
import { type AuditVerdict, type VerifyOptions, verifyFolder } from "../../src/audit/mod.ts";
import { NOW_MS, checkpointOf, eventOf, fill, folderOf, type Folder, rehash } from "./fixtures.ts";

const NAME = "audit-0000000000000001.000.jsonl";

async function tampered(
  context: TestContext,
  change: (lines: string[]) => readonly string[] | string,
  options?: VerifyOptions,
): Promise<AuditVerdict> {
  const folder = await filled(context, 10);
  const changed = change([...(await folder.lines())]);
  await folder.write(typeof changed === "string" ? changed : `${changed.join("\n")}\n`);
  return verifyFolder(folder.path, options);
}

async function filled(context: TestContext, count: number): Promise<Folder> {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await fill(audit, count);
  await audit.close();
  return folder;
}

interface Case {
  readonly change: (lines: string[]) => readonly string[] | string;
  readonly line: number;
  readonly reason: RegExp;
}
const CASES: Readonly<Record<string, Case>> = {
  "a line edited": {
    change: (lines) => lines.with(4, (lines[4] ?? "").replace("alice", "mallo")),
    line: 5,
    reason: /edited/,
  },
  "the last line edited": {
    change: (lines) => lines.with(9, (lines[9] ?? "").replace('"ok"', '"no"')),
    line: 10,
    reason: /edited/,
  },
  "a line edited with its hash made to fit": {
    change: (lines) => lines.with(4, rehash(lines[4] ?? "", "alice", "mallo")),
    line: 6,
    reason: /does not follow/,
  },
  "a field added": {
    change: (lines) => lines.with(4, rehash(lines[4] ?? "", '"peer"', '"x":1,"peer"')),
    line: 5,
    reason: /not an audit record/,
  },
  "a line of another member": {
    change: (lines) => lines.with(9, rehash(lines[9] ?? "", '"member":"m1"', '"member":"m2"')),
    line: 10,
    reason: /another member/,
  },
  "a line dropped": { change: (lines) => lines.toSpliced(4, 1), line: 5, reason: /5 to 5/ },
  "the first line dropped": { change: (lines) => lines.slice(1), line: 1, reason: /1 to 1/ },
  "two lines swapped": {
    change: (lines) => [...lines.slice(0, 4), lines[5] ?? "", lines[4] ?? "", ...lines.slice(6)],
    line: 5,
    reason: /5 to 5/,
  },
  "a line twice": {
    change: (lines) => lines.toSpliced(5, 0, lines[4] ?? ""),
    line: 6,
    reason: /out of order: record 5 where 6/,
  },
  "an empty line": {
    change: (lines) => lines.toSpliced(5, 0, ""),
    line: 6,
    reason: /not an audit/,
  },
  "a carriage return": {
    change: (lines) => lines.with(3, `${lines[3]}\r`),
    line: 4,
    reason: /not an audit/,
  },
  "the last line cut": {
    change: (lines) => lines.join("\n").slice(0, -1),
    line: 10,
    reason: /partial line/,
  },
  "NUL bytes at the end": {
    change: (lines) => `${lines.join("\n")}\n${"\0".repeat(1000)}`,
    line: 11,
    reason: /partial line/,
  },
};
for (const [what, { change, line, reason }] of Object.entries(CASES)) {
  test(`refusal 65: ${what} is named`, async (context) => {
    const verdict = await tampered(context, change);
    assert.equal(verdict.ok, false);
    assert.equal(verdict.records, line - 1);
    assert.deepEqual(
      [basename(verdict.firstBad?.file ?? ""), verdict.firstBad?.line],
      [NAME, line],
    );
    assert.match(verdict.firstBad?.reason ?? "", reason);
  });
}

test("refusal 65: a whole file dropped from the middle is named", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 1500 });
  for (let i = 0; i < 12; i++) await audit.append(eventOf());
  await audit.close();
  const names = await folder.names();
  assert.ok(names.length >= 4);
  await rm(join(folder.path, names[1] ?? ""));
  const { firstBad } = await verifyFolder(folder.path);
  assert.deepEqual([basename(firstBad?.file ?? ""), firstBad?.line], [names[2], 1]);
  assert.match(firstBad?.reason ?? "", /missing/);
});

test("refusal 65: lines cut off the end show only against a checkpoint", async (context) => {
  const folder = await filled(context, 10);
  const lines = await folder.lines();
  const checkpoints = [checkpointOf(lines[7] ?? ""), checkpointOf(lines[9] ?? "")];
  const full = await verifyFolder(folder.path, { checkpoints });
  assert.deepEqual([full.ok, full.chains[0]?.proven], [true, 10]);
  await folder.write(`${lines.slice(0, 8).join("\n")}\n`);
  assert.deepEqual((await verifyFolder(folder.path)).chains[0]?.proven, 0);
  const cut = await verifyFolder(folder.path, { checkpoints });
  assert.deepEqual(
    [cut.ok, basename(cut.firstBad?.file ?? ""), cut.firstBad?.line],
    [false, NAME, 9],
  );
  assert.match(cut.firstBad?.reason ?? "", /ends at record 8.*signed record 10/);
  await folder.write("");
  const empty = await verifyFolder(folder.path, { checkpoints });
  assert.deepEqual([empty.ok, empty.firstBad?.line], [false, 1]);
  await rm(join(folder.path, NAME));
  assert.equal((await verifyFolder(folder.path, { checkpoints })).ok, false);
});

test("a checkpoint of the member is none of the records that are of no tenant", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await fill(audit, 3);
  // As of a request that was refused before its tenant was known.
  await audit.append(eventOf({ tenant: "", outcome: "refused" }));
  await fill(audit, 3);
  await audit.close();
  const checkpoints = [checkpointOf((await folder.lines()).at(-1) ?? "")];
  const { ok, firstBad } = await verifyFolder(folder.path, { checkpoints });
  assert.deepEqual([ok, firstBad], [true, undefined]);
});

test("records after the last checkpoint are counted from the first on, and marks are not", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const mark = { tenant: "", action: "log-mark" };
  for (const event of [{}, {}, mark, {}, mark, {}]) {
    await audit.append(eventOf(event));
    folder.clock.ms += 1000;
  }
  await audit.close();
  const lines = await folder.lines();
  const after = async (seq: number): Promise<unknown> => {
    const checkpoints = seq === 0 ? [] : [checkpointOf(lines[seq - 1] ?? "")];
    const [chain] = (await verifyFolder(folder.path, { checkpoints })).chains;
    return [chain?.proven, chain?.provenTime, chain?.unsigned, chain?.unsignedSince];
  };
  assert.deepEqual(await after(0), [0, undefined, 4, NOW_MS]);
  assert.deepEqual(await after(2), [2, NOW_MS, 2, NOW_MS + 3000]);
  assert.deepEqual(await after(5), [5, NOW_MS, 1, NOW_MS + 5000]);
  assert.deepEqual(await after(6), [6, NOW_MS, 0, undefined]);
});

test("refusal 65: a log written anew shows against a checkpoint", async (context) => {
  const folder = await filled(context, 10);
  const checkpoints = [checkpointOf((await folder.lines())[9] ?? "")];
  await rm(join(folder.path, NAME));
  const audit = await folder.open();
  await fill(audit, 12, { subject: "user:mallory" });
  await audit.close();
  assert.equal((await verifyFolder(folder.path)).ok, true);
  const verdict = await verifyFolder(folder.path, { checkpoints });
  assert.equal(verdict.firstBad?.line, 10);
  assert.match(verdict.firstBad?.reason ?? "", /not the record 10 that the checkpoint signed/);
});

test("a log whose old files were removed verifies from the checkpoint of where they ended", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 3000 });
  for (let i = 0; i < 12; i++) await audit.append(eventOf({ tenant: i % 2 === 0 ? "a" : "b" }));
  await audit.close();
  const [first = ""] = await folder.names();
  const old = (await folder.text(first)).trim().split("\n");
  const last = await folder.lines().then((lines) => lines.at(-1) ?? "");
  await rm(join(folder.path, first));
  const bare = await verifyFolder(folder.path, { checkpoints: [checkpointOf(last)] });
  assert.match(
    bare.firstBad?.reason ?? "",
    /records 1 to \d+ before it are missing, and no checkpoint/,
  );
  const begin = { ...checkpointOf(old.at(-1) ?? ""), kind: "begin" } as const;
  const verdict = await verifyFolder(folder.path, { checkpoints: [begin] });
  assert.deepEqual([verdict.ok, verdict.records], [true, 12 - old.length]);
  const [chain] = verdict.chains;
  assert.equal(chain?.first, old.length + 1);
  // Where it begins was signed, and nothing after that.
  assert.deepEqual([chain.proven, chain.unsigned], [old.length, 12 - old.length]);
  const early = { ...begin, seq: begin.seq - 1 };
  assert.equal((await verifyFolder(folder.path, { checkpoints: [early] })).ok, false);
});

test("refusal 65: a record given to another tenant's chain, all hashes of its own made to fit, is named", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  for (const tenant of ["a", "b", "a"]) await audit.append(eventOf({ tenant }));
  await audit.close();
  const lines = [...(await folder.lines())];
  const last = rehash(lines[2] ?? "", '"tenant":"a"', '"tenant":"b"');
  await folder.write(`${[lines[0], lines[1], last].join("\n")}\n`);
  const { firstBad } = await verifyFolder(folder.path);
  assert.equal(firstBad?.line, 3);
  assert.match(firstBad.reason, /in the chain of its tenant/);
});

test("no single changed byte goes unseen", async (context) => {
  const folder = await filled(context, 5);
  const text = await folder.text();
  const byte = fc.integer({ min: 0, max: 255 });
  await fc.assert(
    fc.asyncProperty(fc.nat(text.length - 1), byte, async (at, code) => {
      const changed = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
      fc.pre(changed !== text);
      await folder.write(changed);
      assert.equal((await verifyFolder(folder.path)).ok, false);
    }),
    { numRuns: 300 },
  );
});

test("a line without end costs bounded memory", async (context) => {
  const folder = await filled(context, 2);
  await folder.write(`${await folder.text()}${"x".repeat(3_000_000)}`);
  const verdict = await verifyFolder(folder.path);
  assert.deepEqual([verdict.records, verdict.firstBad?.line], [2, 3]);
});
