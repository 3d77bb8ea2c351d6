import assert from "node:assert/strict";
import { rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type AuditFilePort, verifyFolder } from "../../src/audit/mod.ts";
import { nodeFiles } from "../../src/audit/file-port.ts";
import { CofferError } from "../../src/errors.ts";
import { eventOf, fill, folderOf } from "./fixtures.ts";

function noSpace(): Error {
  return Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
}

test("refusal 62: a full disk refuses, tells why, and recovers without a restart", async (context) => {
  const folder = await folderOf(context);
  let full = false;
  const files: AuditFilePort = {
    ...nodeFiles,
    write: (fd, bytes) => {
      if (!full) return nodeFiles.write(fd, bytes);
      // As a real disk does it: a part fits, the rest does not.
      nodeFiles.write(fd, bytes.subarray(0, 50));
      throw noSpace();
    },
  };
  const audit = await folder.open({ files });
  await fill(audit, 3);
  const head = audit.head;
  full = true;
  const results = await Promise.allSettled([1, 2, 3].map(() => audit.append(eventOf())));
  for (const result of results) {
    assert.equal(result.status, "rejected");
    assert.ok(result.reason instanceof CofferError);
    assert.equal(result.reason.code, "audit-blocked");
    assert.match(String(result.reason.cause), /no space/);
  }
  assert.match(audit.blocked ?? "", /no space/);
  assert.deepEqual(audit.head, head);
  await assert.rejects(audit.append(eventOf()), { code: "audit-blocked" });
  full = false;
  await fill(audit, 2);
  assert.equal(audit.blocked, undefined);
  const verdict = await verifyFolder(folder.path);
  assert.deepEqual([verdict.ok, verdict.records], [true, 5]);
  assert.equal((await folder.names()).length, 1);
});

test("a failed write that cannot be undone leaves its file", async (context) => {
  const folder = await folderOf(context);
  let broken = false;
  const files: AuditFilePort = {
    ...nodeFiles,
    write: (fd, bytes) => {
      if (!broken) return nodeFiles.write(fd, bytes);
      nodeFiles.write(fd, bytes.subarray(0, 50));
      throw noSpace();
    },
    truncate: (fd, bytes) => {
      if (broken) throw new Error("EIO");
      nodeFiles.truncate(fd, bytes);
    },
  };
  const audit = await folder.open({ files });
  await fill(audit, 3);
  broken = true;
  await assert.rejects(audit.append(eventOf()));
  broken = false;
  await audit.append(eventOf());
  assert.equal((await folder.names()).length, 2);
  const { firstBad, records } = await verifyFolder(folder.path);
  assert.deepEqual([records, firstBad?.line], [3, 4]);
  assert.match(firstBad?.reason ?? "", /partial line/);
});

const STRANGERS: Readonly<Record<string, (path: string) => Promise<void>>> = {
  deleted: (path) => rm(path),
  renamed: (path) => rename(path, `${path}.old`),
  "replaced by an empty file": async (path) => {
    await rm(path);
    await writeFile(path, "");
  },
  emptied: (path) => truncate(path, 0),
  "cut by a byte": async (path) => {
    const bytes = nodeFiles.stat(path)?.bytes ?? 0;
    await truncate(path, bytes - 1);
  },
  "added to": (path) => writeFile(path, "{}\n", { flag: "a" }),
};
for (const [what, change] of Object.entries(STRANGERS)) {
  test(`refusal 62: a file ${what} is left behind, the chain goes on, and verify names the gap`, async (context) => {
    const folder = await folderOf(context);
    const audit = await folder.open();
    await fill(audit, 3);
    const [name = ""] = await folder.names();
    await change(join(folder.path, name));
    await fill(audit, 2);
    assert.equal(audit.blocked, undefined);
    assert.equal(audit.head.seq, 5);
    assert.equal(folder.notices.length, 1);
    const next = (await folder.text("audit-0000000000000004.000.jsonl")).split("\n");
    assert.equal(next.length, 3);
    const verdict = await verifyFolder(folder.path);
    assert.equal(verdict.ok, false);
    assert.notEqual(verdict.firstBad, undefined);
  });
}

test("refusal 62: a folder that is gone blocks, and works again when it is back", async (context) => {
  const folder = await folderOf(context);
  const path = join(folder.path, "audit");
  const audit = await folder.open({ folder: path });
  await fill(audit, 1);
  await rename(path, `${path}-away`);
  await assert.rejects(audit.append(eventOf()), { code: "audit-blocked" });
  assert.match(audit.blocked ?? "", /ENOENT/);
  await rename(`${path}-away`, path);
  await audit.append(eventOf());
  assert.equal(audit.blocked, undefined);
  assert.deepEqual((await verifyFolder(path)).records, 2);
});

test("a failed fsync is told, and later records go to a new file", async (context) => {
  const folder = await folderOf(context);
  let broken = true;
  const files: AuditFilePort = {
    ...nodeFiles,
    sync: (fd) =>
      broken ? Promise.reject(new Error("EIO: i/o error, fsync")) : nodeFiles.sync(fd),
  };
  const audit = await folder.open({ files });
  await audit.append(eventOf());
  await audit.sync();
  assert.match(audit.blocked ?? "", /EIO/);
  broken = false;
  await audit.append(eventOf());
  await audit.sync();
  assert.equal(audit.blocked, undefined);
  assert.equal((await folder.names()).length, 2);
  assert.equal((await verifyFolder(folder.path)).ok, true);
});

test("a file that is left as it is synced is closed after the sync, and once", async (context) => {
  const folder = await folderOf(context);
  const done: string[] = [];
  let finishSync: () => void = () => undefined;
  const files: AuditFilePort = {
    ...nodeFiles,
    sync: async (fd) => {
      if (done.length === 0) await new Promise<void>((resolve) => (finishSync = resolve));
      await nodeFiles.sync(fd);
      done.push(`synced ${fd}`);
    },
    close: (fd) => {
      nodeFiles.close(fd);
      done.push(`closed ${fd}`);
    },
  };
  const audit = await folder.open({ files });
  await audit.append(eventOf());
  const synced = audit.sync();
  await rm(join(folder.path, (await folder.names())[0] ?? ""));
  await audit.append(eventOf());
  assert.deepEqual(done, []);
  finishSync();
  await synced;
  assert.equal(audit.blocked, undefined);
  await audit.close();
  const [first = "", ...rest] = done;
  const fd = first.replace("synced ", "");
  assert.deepEqual(rest[0], `closed ${fd}`);
  assert.equal(done.filter((one) => one === `closed ${fd}`).length, 1, done.join());
});

test("a symbolic link in place of the file is not followed", async (context) => {
  const folder = await folderOf(context);
  const first = await folder.open();
  await fill(first, 2);
  await first.close();
  const [name = ""] = await folder.names();
  const path = join(folder.path, name);
  const { symlink } = await import("node:fs/promises");
  await rename(path, join(folder.path, "elsewhere"));
  await symlink(join(folder.path, "elsewhere"), path);
  const audit = await folder.open();
  await assert.rejects(audit.append(eventOf()), { code: "audit-blocked" });
  await audit.append(eventOf());
  assert.equal((await folder.names()).filter((n) => n.startsWith("audit-")).length, 2);
});
