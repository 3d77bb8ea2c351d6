import assert from "node:assert/strict";
import { test } from "node:test";
import { CofferError } from "../../src/errors.ts";
import { READS_MAX, ReadQueue } from "../../src/node/read-queue.ts";

test("reads that wait are bounded; those that are answered make room", async () => {
  const reads = new ReadQueue(() => ({ kind: "refused", code: "no-leader", reason: "none" }), 1);
  const times = { since: 0, deadline: 100 };
  const timeout = new CofferError("timeout");
  const waiting = Array.from({ length: READS_MAX }, () =>
    assert.rejects(reads.add(times), timeout),
  );
  await assert.rejects(reads.add(times), new CofferError("too-many-requests"));
  reads.ask(1);
  reads.expire(100, () => timeout);
  await Promise.all(waiting);
  const next = reads.add({ since: 100, deadline: 200 });
  reads.failAll(timeout);
  await assert.rejects(next, timeout);
});
