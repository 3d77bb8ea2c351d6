import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { type AuditFilePort, verifyExport, verifyFolder, viewOf } from "../../src/audit/mod.ts";
import { nodeFiles } from "../../src/audit/file-port.ts";
import { checkpointOf, eventOf, fill, folderOf, rehash, type Folder } from "./fixtures.ts";

const OURS = "5f0c8a52-0000-4000-8000-000000000001";

/** The tenant's view of its records, as an export has them. */
async function viewsOf(folder: Folder, tenant = OURS): Promise<readonly string[]> {
  const lines = await folder.lines();
  return lines.filter((line) => line.includes(`"tenant":"${tenant}"`)).map(viewOf);
}

async function verifyLines(
  folder: Folder,
  lines: readonly string[],
  ...[options]: [Parameters<typeof verifyExport>[1]?]
): ReturnType<typeof verifyExport> {
  const path = join(folder.path, "export");
  await writeFile(path, `${lines.join("\n")}\n`, "latin1");
  return verifyExport(path, options);
}

test("what a tenant sees is the same to the byte, whatever others do", async (context) => {
  const views: (readonly string[])[] = [];
  for (const others of [0, 1, 7]) {
    const folder = await folderOf(context);
    const audit = await folder.open();
    for (let i = 0; i < 3; i++) {
      await audit.append(eventOf({ requestId: `r-${i}` }));
      for (let j = 0; j < others; j++) await audit.append(eventOf({ tenant: `other-${j}` }));
    }
    views.push(await viewsOf(folder));
  }
  assert.equal(views[0]?.length, 3);
  for (const view of views) assert.ok(isDeepStrictEqual(view, views[0]));
  const names = Object.keys(JSON.parse(views[0]?.[0] ?? "{}") as object);
  for (const hidden of ["seq", "prevHash", "hash"]) assert.ok(!names.includes(hidden), hidden);
});

test("refusal 65: a tenant proves its own trail, and what is wrong with it is named", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  for (let i = 0; i < 12; i++) await audit.append(eventOf({ tenant: i % 2 === 0 ? OURS : "b" }));
  const views = await viewsOf(folder);
  const checkpoints = [checkpointOf(views[3] ?? ""), checkpointOf(views[5] ?? "")];
  const good = await verifyLines(folder, views, { checkpoints });
  assert.deepEqual([good.ok, good.records, good.chains[0]?.proven], [true, 6, 6]);
  assert.equal(good.chains[0]?.tenant, OURS);
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["edited", views.with(2, (views[2] ?? "").replace("alice", "mallo")), /edited/],
    ["dropped", views.toSpliced(2, 1), /records 3 to 3/],
    ["swapped", views.with(2, views[3] ?? "").with(3, views[2] ?? ""), /records 3 to 3/],
    ["first dropped", views.slice(1), /1 to 1 before it are missing/],
    ["end cut", views.slice(0, 5), /ends at record 5, but a checkpoint signed record 6/],
    ["another's", [...views, ...(await viewsOf(folder, "b")).slice(1)], /1 to 1/],
  ];
  for (const [what, lines, reason] of cases) {
    const bad = await verifyLines(folder, lines, { checkpoints });
    assert.equal(bad.ok, false, what);
    assert.match(bad.firstBad?.reason ?? "", reason, what);
  }
  const anew = views.map((view) => viewOf(rehash(view, "alice", "mallo")));
  assert.equal((await verifyLines(folder, anew, { checkpoints })).ok, false);
  const begin = { ...checkpointOf(views[1] ?? ""), kind: "begin" } as const;
  const rest = await verifyLines(folder, views.slice(2), { checkpoints: [...checkpoints, begin] });
  assert.deepEqual([rest.ok, rest.chains[0]?.first], [true, 3]);
});

test("a member that lies to one tenant alone is found by the member's chain", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await fill(audit, 3);
  await audit.close();
  const lines = [...(await folder.lines())];
  // The line's own hashes fit, and the tenant's record before it is another one.
  lines[1] = rehash(lines[1] ?? "", "r-1", "r-9");
  await folder.write(`${lines.join("\n")}\n`);
  assert.equal((await verifyFolder(folder.path)).firstBad?.line, 3);
});

const HEADS_ARE_LOST: Readonly<Record<string, (path: string, folder: Folder) => Promise<void>>> = {
  missing: (path) => rm(path),
  damaged: async (path) => writeFile(path, (await readFile(path, "latin1")).replace("1", "2")),
  empty: (path) => writeFile(path, ""),
  "of another log": async (path, folder) => {
    const text = await readFile(path, "latin1");
    const other = await folder.open({ folder: `${folder.path}/other` });
    await fill(other, 4);
    await other.close();
    await writeFile(path, await readFile(join(`${folder.path}/other`, "heads"), "latin1"));
    assert.notEqual(await readFile(path, "latin1"), text);
  },
  "ahead of a log that was cut": async (_path, folder) => {
    const lines = await folder.lines();
    await folder.write(`${lines.slice(0, 2).join("\n")}\n`);
  },
};
for (const [what, lose] of Object.entries(HEADS_ARE_LOST)) {
  test(`the chains go on after a start with a file of heads that is ${what}`, async (context) => {
    const folder = await folderOf(context);
    const first = await folder.open();
    for (const tenant of ["a", "b", "a", "c"]) await first.append(eventOf({ tenant }));
    await first.close();
    await lose(join(folder.path, "heads"), folder);
    const audit = await folder.open();
    assert.ok(folder.notices.some((notice) => notice.includes("All of the audit log was read")));
    for (const tenant of ["c", "a"]) await audit.append(eventOf({ tenant }));
    await audit.close();
    assert.deepEqual((await verifyFolder(folder.path)).firstBad, undefined);
  });
}

test("a start reads the records after the heads, and says nothing", async (context) => {
  const folder = await folderOf(context);
  const first = await folder.open({ fileBytesMax: 1500 });
  for (const tenant of ["a", "b", "a", "c"]) await first.append(eventOf({ tenant }));
  await first.saveHeads();
  for (const tenant of ["a", "d"]) await first.append(eventOf({ tenant }));
  // As after a kill: the heads are as of record 4.
  const audit = await folder.open({ fileBytesMax: 1500 });
  assert.deepEqual(
    new Map(audit.tenantHeads().map(([tenant, { seq }]) => [tenant, seq])),
    new Map([
      ["a", 3],
      ["b", 1],
      ["c", 1],
      ["d", 1],
    ]),
  );
  assert.deepEqual(folder.notices, []);
  for (const tenant of ["d", "b"]) await audit.append(eventOf({ tenant }));
  assert.equal((await verifyFolder(folder.path)).ok, true);
});

test("heads hold when the file of the record that they are as of is lost", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 1 });
  for (const tenant of ["a", "b"]) await audit.append(eventOf({ tenant }));
  await audit.saveHeads();
  await audit.append(eventOf({ tenant: "a" }));
  const names = await folder.names();
  await rm(join(folder.path, names[1] ?? ""));
  const again = await folder.open();
  assert.equal(again.tenantHeads().find(([tenant]) => tenant === "b")?.[1].seq, 1);
});

test("a write that failed moves no tenant's chain", async (context) => {
  const folder = await folderOf(context);
  let full = false;
  const files: AuditFilePort = {
    ...nodeFiles,
    write: (fd, bytes) => {
      if (full) throw new Error("ENOSPC");
      nodeFiles.write(fd, bytes);
    },
  };
  const audit = await folder.open({ files });
  await audit.append(eventOf({ tenant: "a" }));
  full = true;
  const lost = ["a", "b", "a"].map((tenant) => audit.append(eventOf({ tenant })));
  for (const one of await Promise.allSettled(lost)) assert.equal(one.status, "rejected");
  full = false;
  for (const tenant of ["b", "a"]) await audit.append(eventOf({ tenant }));
  assert.deepEqual((await verifyFolder(folder.path)).firstBad, undefined);
  assert.equal(audit.tenantHeads().find(([tenant]) => tenant === "a")?.[1].seq, 2);
});

test("a log that is gone goes on after what was signed of it", async (context) => {
  const folder = await folderOf(context);
  const first = await folder.open();
  await fill(first, 5);
  const lines = await folder.lines();
  const signed = [checkpointOf(lines[4] ?? ""), checkpointOf(viewOf(lines[4] ?? ""))] as const;
  assert.equal(first.resume(signed[0], []), false);
  const path = join(folder.path, "new");
  const audit = await folder.open({ folder: path });
  assert.equal(audit.resume(signed[0], [[OURS, signed[1]]]), true);
  await fill(audit, 2);
  const verdict = await verifyFolder(path, { checkpoints: signed });
  assert.deepEqual([verdict.ok, verdict.chains[0]?.first], [true, 6]);
  assert.equal((await verifyFolder(path)).ok, false);
});

test("the heads of 5,000 tenants fit in 700 kB, and come back", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const ids = Array.from({ length: 5000 }, (_, i) => `5f0c8a52-0000-4000-8000-${100_000_000 + i}`);
  await Promise.all(ids.map((tenant) => audit.append(eventOf({ tenant }))));
  await audit.saveHeads();
  assert.ok((await readFile(join(folder.path, "heads"))).length < 700_000);
  const again = await folder.open();
  assert.equal(again.tenantHeads().length, 5000);
});

test("a log of an early build is refused, and why", async (context) => {
  const folder = await folderOf(context);
  const line = `{"seq":1,"time":"x","prevHash":"${"0".repeat(64)}","hash":"${"a".repeat(64)}"}`;
  await folder.write(`${line}\n`, "audit-0000000000000001.000.jsonl");
  const message = /written by an earlier build.*move the folder away/;
  await assert.rejects(folder.open(), { code: "unimplemented", message });
});

test("refusal 65: a trail of nothing is cut off, whosever checkpoints are given", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await fill(audit, 3);
  await audit.append(eventOf({ tenant: OURS }));
  const [line = ""] = (await folder.lines()).slice(-1);
  const path = join(folder.path, "export");
  await writeFile(path, "");
  for (const last of [line, viewOf(line)]) {
    const { ok, firstBad } = await verifyExport(path, { checkpoints: [checkpointOf(last)] });
    assert.equal(ok, false, last);
    assert.match(firstBad?.reason ?? "", /^member m1: the log ends at record 0/, last);
  }
  assert.equal((await verifyExport(path)).ok, true);
});
