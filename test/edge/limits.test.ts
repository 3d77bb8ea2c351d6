import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { rpc } from "../../src/proto/mod.ts";
import { rawCall, rawSession } from "./raw.ts";
import { type World, bytes, failure, startWorld, stateOf } from "./world.ts";

/** Refusals 60 and 61: requests that are too much. */

let world: World;

before(async () => {
  world = await startWorld();
});

after(() => world[Symbol.asyncDispose]());

/** etcd's --max-request-bytes. */
const REQUEST_BYTES_MAX = 1_572_864;
const key = bytes("/big");

test("refusal 60: a request over 1.5 MiB", async () => {
  const fits = Buffer.alloc(REQUEST_BYTES_MAX - key.length, 1);
  await world.admin.put({ key, value: fits });
  const { kvs } = await world.admin.range({ key });
  assert.deepEqual(Buffer.from(kvs[0]?.value ?? []), fits);
  const state = await stateOf(world);
  const value = Buffer.alloc(fits.length + 1, 1);
  const code = "request-too-large";
  const alone = await failure(world.admin.put({ key, value }), code);
  assert.equal(alone.message, "etcdserver: request is too large");
  assert.equal(world.audit().findLast(({ action }) => action === "put")?.outcome, "failed");
  // Measured as a whole: each put for itself would do.
  const half = Buffer.alloc(REQUEST_BYTES_MAX / 2, 1);
  const puts = ["a", "b"].map((name) => ({
    request: { $case: "requestPut", value: { key: bytes(name), value: half } } as const,
  }));
  await failure(world.admin.txn({ success: puts }), code);
  const inside = [{ request: { $case: "requestTxn", value: { failure: puts } } as const }];
  await failure(world.admin.txn({ success: inside }), code);
  const operand = { $case: "value", value } as const;
  const compare = [{ key, target: rpc.Compare_CompareTarget.VALUE, targetUnion: operand }];
  await failure(world.admin.txn({ compare }), code);
  assert.deepEqual(await stateOf(world), state);
});

test("refusal 60: a message far over the limit is refused by its length, and the member goes on", async () => {
  const session = await rawSession(world.endpoint, world.authority.certificate);
  const authorization = `Bearer ${await world.token("user:admin")}`;
  const message = Buffer.alloc(8 * 1024 * 1024);
  const reply = await rawCall(session, "/etcdserverpb.KV/Put", message, { authorization });
  assert.equal(reply.status, "8");
  assert.match(reply.message, /^grpc: received message larger than max/);
  const again = await rawCall(session, "/etcdserverpb.KV/Put", Buffer.from([0x0a, 1, 0x61]), {
    authorization,
  });
  session.destroy();
  assert.equal(again.status, "0");
});

test("refusal 61: 130 operations in a transaction", async () => {
  const puts = Array.from({ length: 130 }, (_, n) => ({
    request: { $case: "requestPut", value: { key: bytes(`/n/${n}`) } } as const,
  }));
  const compare = Array.from({ length: 130 }, (_, n) => ({ key: bytes(`/n/${n}`) }));
  const { revision } = (await stateOf(world)) as { readonly revision: bigint };
  const nested = [{ request: { $case: "requestTxn", value: { success: puts } } as const }];
  const requests = [{ success: puts }, { failure: puts }, { compare }, { success: nested }];
  for (const request of requests) {
    const error = await failure(world.admin.txn(request), "too-many-ops");
    assert.equal(error.message, "etcdserver: too many operations in txn request");
  }
  const records = world.audit().filter(({ action }) => action === "txn");
  assert.deepEqual(
    [...new Set(records.map(({ reason }) => reason))].includes("too-many-ops"),
    true,
  );
  const range = { key: bytes("/n/"), rangeEnd: bytes("/n0") };
  const { header, count } = await world.admin.range(range);
  assert.deepEqual([header?.revision, count], [revision, 0n]);
  await world.admin.txn({ success: puts.slice(0, 128) });
  assert.equal((await world.admin.range(range)).count, 128n);
});
