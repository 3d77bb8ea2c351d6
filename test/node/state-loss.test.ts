import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { FsmBackend } from "../../src/core/fsm/mod.ts";
import { type WatchCreateRequest, key } from "../../src/core/types/mod.ts";
import { openStateStore } from "../../src/storage/mod.ts";
import { TENANT, range } from "../fsm/fixtures.ts";
import { type Fake, HEARTBEAT_MS, ending, makeTenant, proposePut, startFake } from "./fakes.ts";
import { createDisk, noSpace } from "./fake-disk.ts";
import { TEST_MAC } from "../storage/test-mac.ts";

/** The state is committed some time after the answers; here a full disk takes back what was not. */

/** A node whose disk can be full, with a tenant and three keys in it that are not committed yet. */
async function startOnFillingDisk(
  context: TestContext,
): Promise<{ readonly fake: Fake; fill(isFull: boolean): void }> {
  const folder = mkdtempSync(join(tmpdir(), "coffer-state-loss-"));
  const store = openStateStore({ mac: TEST_MAC, path: join(folder, "state.db"), commit: "later" });
  context.after(() => {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  let isFull = false;
  const backend: FsmBackend = {
    ...store,
    transaction: (work) =>
      store.transaction(() => {
        const result = work();
        if (isFull) throw noSpace();
        return result;
      }),
  };
  const fake = startFake(context, { disk: createDisk(backend) });
  await makeTenant(fake);
  store.flush();
  const early = await Promise.all(["a", "b", "c"].map((name) => proposePut(fake, name)));
  assert.deepEqual(
    early.map((result) => result.kind === "put" && result.revision),
    [2, 3, 4],
  );
  return { fake, fill: (full) => void (isFull = full) };
}

test("what a failed commit of the state takes back is applied again, and not read before", async (context) => {
  const { fake, fill } = await startOnFillingDisk(context);
  fill(true);
  const late = proposePut(fake, "d");
  await fake.advance(HEARTBEAT_MS);
  assert.equal(fake.node.state.tenant(TENANT)?.revision, 1, "the failure took nothing back");
  assert.equal(await ending(fake.node.readIndex()), "no-space", "a stale state was readable");
  assert.equal(await ending(proposePut(fake, "e")), "no-space");
  fill(false);
  await fake.advance(HEARTBEAT_MS);
  const result = await late;
  assert.ok(result.kind === "put" && result.revision === 5, "the put under way was lost");
  assert.equal(fake.node.readIndex(), undefined);
  const all = fake.node.state.range(TENANT, range("\0", "\0"));
  assert.ok(all.ok);
  assert.deepEqual(
    all.value.kvs.map(({ key, modRevision }) => [key, modRevision]),
    [
      ["a", 2],
      ["b", 3],
      ["c", 4],
      ["d", 5],
    ],
  );
  assert.deepEqual(fake.fatals, []);
});

for (const isWatched of [false, true]) {
  const others = isWatched ? "beside others" : "as the first";
  test(`a watch that begins while the state is behind, ${others}, misses nothing`, async (context) => {
    const { fake, fill } = await startOnFillingDisk(context);
    const { node } = fake;
    if (isWatched) node.openWatch(TENANT).create(watchFrom(0));
    fill(true);
    const late = proposePut(fake, "d");
    await fake.advance(HEARTBEAT_MS);
    assert.equal(node.state.tenant(TENANT)?.revision, 1, "the failure took nothing back");
    const stream = node.openWatch(TENANT);
    stream.create(watchFrom(2));
    const seen: string[] = [];
    stream.onReadable = () => {
      for (let one = stream.next(); one !== undefined; one = stream.next()) {
        for (const { kv } of one.events) seen.push(`${kv.key} ${kv.modRevision}`);
      }
    };
    stream.onReadable();
    await fake.advance(HEARTBEAT_MS);
    assert.deepEqual(seen, []);
    fill(false);
    await fake.advance(3 * HEARTBEAT_MS);
    assert.equal(await ending(late), "put");
    assert.deepEqual(seen, ["a 2", "b 3", "c 4", "d 5"]);
    assert.deepEqual(fake.fatals, []);
  });
}

function watchFrom(startRevision: number): WatchCreateRequest {
  return {
    key: key("\0"),
    rangeEnd: key("\0"),
    startRevision,
    progressNotify: false,
    noPut: false,
    noDelete: false,
    prevKv: false,
    watchId: 0,
    fragment: false,
  };
}
