import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { verifyFolder } from "../../src/audit/mod.ts";
import { eventOf, fill, folderOf } from "./fixtures.ts";

test("refusal 65: a partial last line, cut at any byte, is dropped and reported", async (context) => {
  const folder = await folderOf(context);
  const first = await folder.open();
  await fill(first, 3);
  await first.close();
  const text = await folder.text();
  const lastStart = text.trimEnd().lastIndexOf("\n") + 1;
  for (let cut = lastStart; cut < text.length; cut += 7) {
    await folder.write(text.slice(0, cut));
    const audit = await folder.open();
    assert.equal(audit.droppedBytes, cut - lastStart);
    assert.equal(audit.head.seq, 2);
    await audit.append(eventOf({ action: "after" }));
    await audit.close();
    const verdict = await verifyFolder(folder.path);
    assert.deepEqual([verdict.ok, verdict.records], [true, 3]);
  }
  assert.ok(folder.notices.length > 50);
  assert.ok(folder.notices.some((notice) => notice.includes("partial last line")));
});

test("a whole file of a partial line starts the chain", async (context) => {
  const folder = await folderOf(context);
  const first = await folder.open();
  await fill(first, 1);
  await first.close();
  await folder.write((await folder.text()).slice(0, 100));
  const audit = await folder.open();
  assert.deepEqual([audit.head.seq, audit.droppedBytes], [0, 100]);
  await audit.append(eventOf());
  assert.deepEqual(await verifyFolder(folder.path).then(({ ok, records }) => [ok, records]), [
    true,
    1,
  ]);
});

test("a partial line longer than any chunk is dropped", async (context) => {
  const folder = await folderOf(context);
  const first = await folder.open();
  await fill(first, 2);
  await first.close();
  await folder.write(`${await folder.text()}${"\0".repeat(700_000)}`);
  const audit = await folder.open();
  assert.deepEqual([audit.head.seq, audit.droppedBytes], [2, 700_000]);
});

test("an end that was edited is reported and left; the chain goes on in a new file", async (context) => {
  const folder = await folderOf(context);
  const first = await folder.open();
  await fill(first, 5);
  await first.close();
  const text = await folder.text();
  const edited = text.replace(/alice(?=[^\n]*\n$)/, "mallo");
  assert.notEqual(edited, text);
  await folder.write(edited);
  const audit = await folder.open();
  assert.equal(audit.head.seq, 4);
  assert.match(folder.notices[0] ?? "", /was changed/);
  await audit.append(eventOf());
  assert.equal((await folder.names()).length, 2);
  assert.equal(await folder.text(), edited);
  assert.equal((await verifyFolder(folder.path)).firstBad?.line, 5);
});

test("an empty last file, as a crash right after rotation leaves it, is gone on with", async (context) => {
  const folder = await folderOf(context);
  const first = await folder.open();
  await fill(first, 3);
  await first.close();
  await folder.write("", "audit-0000000000000004.000.jsonl");
  const audit = await folder.open();
  assert.equal(audit.head.seq, 3);
  await audit.append(eventOf());
  assert.equal((await folder.names()).length, 2);
  assert.deepEqual((await verifyFolder(folder.path)).records, 4);
});

test("kill -9 at full speed loses no record that was acknowledged", async (context) => {
  const folder = await folderOf(context);
  const script = fileURLToPath(new URL("./writer-child.js", import.meta.url));
  let acknowledged = 0;
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, [script, folder.path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.setEncoding("latin1");
    for await (const chunk of child.stdout) {
      output += String(chunk);
      if (output.length > 200 * (round + 1)) child.kill("SIGKILL");
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    const told = output.slice(0, output.lastIndexOf("\n")).split("\n").at(-1);
    acknowledged = Math.max(acknowledged, Number(told));
    const audit = await folder.open();
    assert.ok(audit.head.seq >= acknowledged, `${audit.head.seq} of ${acknowledged}`);
    await audit.close();
    const verdict = await verifyFolder(folder.path);
    assert.deepEqual([verdict.ok, verdict.records], [true, audit.head.seq]);
  }
  assert.ok(acknowledged > 20);
});
