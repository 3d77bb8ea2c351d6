import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type World, bytes, failure, startWorld, stateOf } from "./world.ts";

/** A store over its quota: nothing more goes in, everything can be read and taken out. */

let world: World;

before(async () => {
  world = await startWorld({ config: () => ({ quotaBytes: 512 * 1024 }) });
});

after(() => world[Symbol.asyncDispose]());

test("over the quota puts are refused with etcd's text, reads and deletes go on", async () => {
  const { admin } = world;
  const value = Buffer.alloc(64 * 1024, 1);
  let refused: unknown;
  for (let n = 0; refused === undefined && n < 1000; n++) {
    await admin.put({ key: bytes(`/k${n}`), value }).catch((error: unknown) => (refused = error));
  }
  assert.match(String(refused), /etcdserver: mvcc: database space exceeded/);
  const state = await stateOf(world);
  await failure(admin.put({ key: bytes("/more"), value: bytes("v") }), "no-space");
  await failure(admin.leaseGrant({ TTL: 60 }), "no-space");
  const put = { $case: "requestPut", value: { key: bytes("/more") } } as const;
  const inside = [{ request: put }];
  const nested = { $case: "requestTxn" as const, value: { success: inside } };
  await failure(admin.txn({ success: [{ request: nested }] }), "no-space");
  assert.deepEqual(await stateOf(world), state);
  assert.equal((await admin.range({ key: bytes("/k0") })).kvs.length, 1);
  const { alarms } = await admin.alarm({});
  assert.equal(alarms.length, 1);
  assert.equal((await admin.deleteRange({ key: bytes("/k0") })).deleted, 1n);
});
