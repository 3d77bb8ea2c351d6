import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { runChaos } from "./run-chaos.ts";

/**
 * A short run of `npm run chaos` on three members and three NATS servers. COFFER_CHAOS_SECONDS makes it
 * longer, COFFER_SEED repeats one.
 */

const SECONDS = Number(process.env["COFFER_CHAOS_SECONDS"] ?? 24);
const KINDS = [
  "kill-leader",
  "pause-leader",
  "isolate",
  "nats-kill",
  "move-leader",
  "one-way",
  "restart-leader",
];
const PACE = { faultMs: 2000, restMs: 1500 };

test("three members keep what they promised under faults", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "coffer-chaos-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const seed = Number(process.env["COFFER_SEED"] ?? Date.now() % 2 ** 31);
  const { verdicts, report } = await runChaos({
    seconds: SECONDS,
    path: join(folder, "history.jsonl"),
    seed,
    kinds: KINDS,
    pace: PACE,
    print: (line) => context.diagnostic(line),
  });
  context.diagnostic(report);
  const wrong = verdicts.filter(({ state }) => state !== "ok");
  assert.deepEqual(wrong, [], `Repeat it with COFFER_SEED=${seed}`);
  for (const { property, checked } of verdicts) {
    assert.ok(checked > 0, `${property} looked at nothing`);
  }
});
