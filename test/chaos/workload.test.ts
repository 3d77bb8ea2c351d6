import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { MemberFolder, type MemberProcess } from "../e2e/member-process.ts";
import { checkHistory } from "./check-history.ts";
import { readHistory } from "./history.ts";
import { report } from "./report.ts";
import { runWorkload } from "./run-workload.ts";
import { type Target, pause } from "./world.ts";

/** The clients and checks on one member, which is killed twice. */

const never = new AbortController().signal;

test("a single member, killed under load, keeps what it promised", async (context) => {
  const path = join(mkdtempSync(join(tmpdir(), "coffer-chaos-")), "history.jsonl");
  context.after(() => rmSync(join(path, ".."), { recursive: true, force: true }));
  using folder = await MemberFolder.make(["--snapshot-entries", "100"]);
  let member: MemberProcess = await folder.start();
  const target: Target = {
    members: ["m1"],
    open: (_, options) => folder.client(options),
    [Symbol.asyncDispose]: async () => undefined,
  };
  const meanwhile = async (): Promise<void> => {
    for (let kills = 0; kills < 2; kills++) {
      await pause(2000, never);
      await member.kill();
      member = await folder.start();
    }
    await pause(2000, never);
  };
  await runWorkload({
    target,
    path,
    seed: 1,
    meanwhile,
    print: (line) => context.diagnostic(line),
  });
  await member[Symbol.asyncDispose]();
  const lines = await readHistory(path);
  const verdicts = checkHistory(lines, 1);
  context.diagnostic(report(lines, verdicts));
  assert.deepEqual(
    verdicts.filter(({ state }) => state !== "ok"),
    [],
  );
  for (const { property, checked } of verdicts) assert.ok(checked > 0, `${property} saw nothing`);
});
