import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Leash, isAlive } from "../../src/dev/leash.ts";

const LEASH = new URL("../../src/dev/leash.js", import.meta.url).href;
const GONE_MS_MAX = 10_000;

/** A process that holds one that sleeps, tells its id, and waits to be killed. */
const HOLDER = `
  import { spawn } from "node:child_process";
  import { Leash, isAlive } from ${JSON.stringify(LEASH)};
  const sleeper = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
  const leash = new Leash();
  leash.hold(sleeper);
  console.log(sleeper.pid, leash.pid);
  if (process.argv[1] === "end") process.exit(0);
  setInterval(() => undefined, 1000);
`;

async function holder(
  context: TestContext,
  how: "stay" | "end",
): Promise<{ readonly process: ChildProcess; readonly held: number; readonly leash: number }> {
  const args = ["--input-type=module", "--eval", HOLDER, how];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
  const [held = 0, leash = 0] = line.split(" ").map(Number);
  context.after(() => {
    child.kill("SIGKILL");
    if (isAlive(held)) process.kill(held, "SIGKILL");
  });
  return { process: child, held, leash };
}

async function untilGone(pid: number): Promise<void> {
  // The kernel tells of the end of another's child by nothing that could be awaited.
  for (const end = Date.now() + GONE_MS_MAX; isAlive(pid); await delay(20)) {
    assert.ok(Date.now() < end, `process ${pid} outlived its holder`);
  }
}

test("what is held ends with a holder that was killed", async (context) => {
  const { process: child, held, leash } = await holder(context, "stay");
  assert.ok(isAlive(held) && isAlive(leash));
  child.kill("SIGKILL");
  await untilGone(held);
  // It stays no longer than those it held.
  await untilGone(leash);
});

test("what is held ends with a holder that left it", async (context) => {
  const { held } = await holder(context, "end");
  await untilGone(held);
});

test("a closed leash ends nobody and is gone", async () => {
  const leash = new Leash();
  const sleeper = spawn("sleep", ["600"], { stdio: "ignore" });
  leash.hold(sleeper);
  const { pid = 0 } = leash;
  await leash.close();
  assert.ok(!isAlive(pid));
  assert.ok(isAlive(sleeper.pid ?? 0));
  sleeper.kill();
  await once(sleeper, "exit");
});
