import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryBackend } from "../fsm/memory-backend.ts";
import { memberId } from "../../src/core/types/mod.ts";
import { createDisk } from "./fake-disk.ts";
import {
  ME,
  REQUEST_TIMEOUT_MS,
  ending,
  makeTenant,
  proposePut,
  silentObserver,
  startFake,
} from "./fakes.ts";

/** What the node tells of itself for metrics. */

test("each applied entry is told once, with its answers and the time that applying took", async (t) => {
  const backend = createMemoryBackend();
  const disk = createDisk({
    ...backend,
    transaction: (work) => {
      disk.now += 150;
      return backend.transaction(work);
    },
  });
  const told: string[] = [];
  const fake = startFake(t, {
    disk,
    observer: {
      ...silentObserver,
      applied: (entries, results, milliseconds) => {
        for (const [i, { proposals }] of entries.entries()) {
          for (const [j, { command }] of proposals.entries()) {
            told.push(`${command.kind}: ${results[i]?.[j]?.kind}, ${milliseconds} ms`);
          }
        }
      },
    },
  });
  await makeTenant(fake);
  await proposePut(fake, "k");
  assert.deepEqual(told, ["tenant-create: done, 150 ms", "put: put, 150 ms"]);
});

test("reads whose time was over are told", async (t) => {
  let failed = 0;
  const observer = { ...silentObserver, readsFailed: (count: number) => void (failed += count) };
  // The other voter is never there, so that nobody leads.
  const fake = startFake(t, { voters: [ME, memberId(99n)], observer });
  const reads = [fake.node.readIndex(), fake.node.readIndex()].map(ending);
  await fake.advance(REQUEST_TIMEOUT_MS / 2);
  assert.equal(failed, 0);
  await fake.advance(REQUEST_TIMEOUT_MS);
  assert.equal(failed, 2);
  for (const code of await Promise.all(reads)) assert.match(code, /^timeout/);
});
