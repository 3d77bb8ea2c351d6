import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { type rpc, rpc as codecs } from "../../src/proto/mod.ts";
import { createWatch, DENIED_WATCH } from "./streams.ts";
import { type World, assertRefused, bytes, failure, startWorld, stateOf } from "./world.ts";

/** Refusals 1 to 12: what keys and ranges must not give away. */

let world: World;

before(async () => {
  world = await startWorld();
  for (const name of ["/one", "/two", "/a/x", "/ab", "/h/a", "/h/secret", "/h/z"]) {
    await world.admin.put({ key: bytes(name), value: bytes(`value of ${name}`) });
  }
});

after(() => world[Symbol.asyncDispose]());

let subjects = 0;

/** A client of a new subject that may do `actions` to `object`, by one row each. */
async function someone(
  grants: Readonly<Record<string, readonly string[]>>,
): Promise<{ readonly subject: string; readonly client: Client }> {
  const subject = `user:u${++subjects}`;
  const rows = Object.entries(grants).flatMap(([object, actions]) =>
    actions.map((action) => ["p", subject, object, action, "allow"]),
  );
  await world.grant(...rows);
  return { subject, client: await world.as(subject) };
}

const READ = ["read", "list", "watch"];

/** Refused in the stream, which goes on and takes the watch `allowed`; with a record, without effect. */
async function assertWatchRefused(
  who: { readonly subject: string; readonly client: Client },
  request: Parameters<typeof createWatch>[1],
  allowed: Parameters<typeof createWatch>[1],
): Promise<void> {
  const seen = world.audit().at(-1)?.seq ?? 0;
  const state = await stateOf(world);
  const { watch, created } = await createWatch(who.client, request);
  assert.equal(created.canceled, true);
  assert.equal(created.cancelReason, DENIED_WATCH);
  assert.equal(created.watchId, -1n);
  watch.create(allowed);
  const next = await watch.until((response) => response.created && response !== created);
  assert.deepEqual([next.canceled, next.cancelReason], [false, ""]);
  assert.deepEqual([...created.events, ...next.events], []);
  await watch[Symbol.asyncDispose]();
  const records = world
    .audit()
    .filter((record) => record.seq > seen && record.actor.subject === who.subject)
    .map((record) => [record.action, record.outcome]);
  assert.deepEqual(records, [
    ["watch-open", "ok"],
    ["watch", "refused"],
    ["watch", "ok"],
  ]);
  assert.deepEqual(await stateOf(world), state);
}

/** As `assertRefused`, of many requests at once: each has its record, and none changes anything. */
async function assertAllRefused(
  subject: string,
  work: (refuse: (action: string, request: Promise<unknown>) => Promise<void>) => Promise<void>,
): Promise<void> {
  const seen = world.audit().at(-1)?.seq ?? 0;
  const state = await stateOf(world);
  const expected: string[] = [];
  await work(async (action, request) => {
    await failure(request, "permission-denied");
    expected.push(`${action} refused`);
  });
  const records = world
    .audit()
    .filter((record) => record.seq > seen && record.actor.subject === subject)
    .map(({ action, outcome }) => `${action} ${outcome}`);
  assert.deepEqual(records, expected);
  assert.deepEqual(await stateOf(world), state);
}

test("refusal 1: range_end \\0 sent by a reader of one key", async () => {
  const { subject, client } = await someone({ "/one": [...READ, "write", "delete"] });
  assert.equal((await client.range({ key: bytes("/one") })).kvs.length, 1);
  for (const key of ["/one", "\0", "/"]) {
    const all = { key: bytes(key), rangeEnd: bytes("\0") };
    await assertRefused(world, { subject, action: "range" }, () => client.range(all));
    await assertRefused(world, { subject, action: "delete-range" }, () => client.deleteRange(all));
    const success = [{ request: { $case: "requestRange", value: all } as const }];
    await assertRefused(world, { subject, action: "txn" }, () => client.txn({ success }));
  }
});

test("refusal 2: range_end before key", async () => {
  const who = await someone({ "/one": [...READ, "delete"] });
  const { subject, client } = who;
  for (const [key, rangeEnd] of [
    ["/one", "/a"],
    ["/zzz", "/one"],
    ["/two", "/two"],
  ] as const) {
    const backwards = { key: bytes(key), rangeEnd: bytes(rangeEnd) };
    await assertRefused(world, { subject, action: "range" }, () => client.range(backwards));
    const count = { ...backwards, countOnly: true };
    await assertRefused(world, { subject, action: "range" }, () => client.range(count));
    const action = "delete-range";
    await assertRefused(world, { subject, action }, () => client.deleteRange(backwards));
    const success = [{ request: { $case: "requestRange", value: backwards } as const }];
    await assertRefused(world, { subject, action: "txn" }, () => client.txn({ success }));
    const compare = [backwards];
    await assertRefused(world, { subject, action: "txn" }, () => client.txn({ compare }));
    await assertWatchRefused(who, backwards, { key: bytes("/one") });
  }
  // Who may read all gets etcd's answer: nothing.
  const nothing = await world.admin.range({ key: bytes("/two"), rangeEnd: bytes("/one") });
  assert.deepEqual([nothing.kvs, nothing.count], [[], 0n]);
  const { deleted } = await world.admin.deleteRange({
    key: bytes("/two"),
    rangeEnd: bytes("/one"),
  });
  assert.equal(deleted, 0n);
});

test("refusal 3: a watch with an open end by a reader of one key", async () => {
  const who = await someone({ "/one": READ });
  const own = { key: bytes("/one") };
  await assertWatchRefused(who, { key: bytes("/one"), rangeEnd: bytes("\0") }, own);
  await assertWatchRefused(who, { key: bytes("\0"), rangeEnd: bytes("\0") }, own);
  await assertWatchRefused(who, { rangeEnd: bytes("\0") }, own);
  await assertWatchRefused(who, { ...own, rangeEnd: bytes("\0"), startRevision: 1n }, own);
});

test("refusal 4: a watch on prefix /a with a grant on /a/*", async () => {
  const who = await someone({ "/a/*": READ });
  const own = { key: bytes("/a/"), rangeEnd: bytes("/a0") };
  const wide = { key: bytes("/a"), rangeEnd: bytes("/b") };
  await assertWatchRefused(who, wide, own);
  await assertWatchRefused(who, { key: bytes("/a/"), rangeEnd: bytes("/a1") }, own);
  await assertWatchRefused(who, { key: bytes("/ab") }, own);
  const { subject, client } = who;
  await assertRefused(world, { subject, action: "range" }, () => client.range(wide));
});

test("refusal 5: a list over a denied hole does not name the hole", async () => {
  const { subject, client } = await someone({ "/h/*": READ });
  await world.grant(["p", subject, "/h/secret", "*", "deny"]);
  const range = { key: bytes("/h/"), rangeEnd: bytes("/h0") };
  const action = "range";
  const mark = world.logs.length;
  for (const form of [{}, { keysOnly: true }, { countOnly: true }, { limit: 1 }]) {
    await assertRefused(world, { subject, action }, () => client.range({ ...range, ...form }));
  }
  // What is refused reads the same where there is no hole, but no right either.
  const other = await failure(client.range({ key: bytes("/none") }), "permission-denied");
  const hole = await failure(client.range(range), "permission-denied");
  assert.equal(hole.message, other.message);
  assert.ok(!world.logs.slice(mark).join("").includes("/h/secret"));
  const left = await client.range({ key: bytes("/h/t"), rangeEnd: bytes("/h0") });
  assert.deepEqual(
    left.kvs.map(({ key }) => Buffer.from(key).toString()),
    ["/h/z"],
  );
});

test("refusal 6: a limit that is negative or 2^63-1 widens nothing", async () => {
  const { client, subject } = await someone({ "/h/*": READ });
  const range = { key: bytes("/h/"), rangeEnd: bytes("/h0") };
  const plain = await client.range(range);
  assert.equal(plain.kvs.length, 3);
  for (const limit of [-1n, -(2n ** 63n), 2n ** 63n - 1n]) {
    const limited = await client.range({ ...range, limit });
    assert.deepEqual([limited.kvs, limited.more, limited.count], [plain.kvs, false, 3n]);
    const wide = { key: bytes("/h"), rangeEnd: bytes("\0"), limit };
    await assertRefused(world, { subject, action: "range" }, () => client.range(wide));
    const { items } = await client.history({ key: bytes("/h/a"), limit });
    assert.equal(items.length, 1);
    await assertRefused(world, { subject, action: "history" }, () =>
      client.history({ key: bytes("/one"), limit }),
    );
  }
});

test("refusal 7: prev_kv in put, delete or watch without read", async () => {
  const who = await someone({ "/one": ["write", "delete", "watch"] });
  const { subject, client } = who;
  const key = bytes("/one");
  const put = { key, value: bytes("new"), prevKv: true };
  await assertRefused(world, { subject, action: "put" }, () => client.put(put));
  const del = { key, prevKv: true };
  await assertRefused(world, { subject, action: "delete-range" }, () => client.deleteRange(del));
  for (const request of [
    { $case: "requestPut", value: put } as const,
    { $case: "requestDeleteRange", value: del } as const,
  ]) {
    const success = [{ request }];
    await assertRefused(world, { subject, action: "txn" }, () => client.txn({ success }));
  }
  await assertWatchRefused(who, { key, prevKv: true }, { key });
  // All of it is allowed but for the former value.
  assert.equal((await client.put({ ...put, prevKv: false })).prevKv, undefined);
  assert.deepEqual((await client.deleteRange({ key })).prevKvs, []);
  await client.put({ ...put, prevKv: false });
});

type Op = NonNullable<Parameters<Client["txn"]>[0]>["success"];

function nested(depth: number, branch: "success" | "failure", ops: Op): NonNullable<Op> {
  if (depth === 0) return ops ?? [];
  const value = { [branch]: nested(depth - 1, branch, ops) };
  return [{ request: { $case: "requestTxn", value } }];
}

test("refusal 8: denied operations deep in a transaction, in the branch not taken, as a target", async () => {
  const { subject, client } = await someone({ "/one": [...READ, "write"] });
  const allowed: rpc.PutRequest = codecs.PutRequest.create({ key: bytes("/one") });
  const denied: NonNullable<Op>[] = [
    [{ request: { $case: "requestPut", value: { key: bytes("/two") } } }],
    [{ request: { $case: "requestRange", value: { key: bytes("/two") } } }],
    [{ request: { $case: "requestDeleteRange", value: { key: bytes("/two") } } }],
    [{ request: { $case: "requestDeleteRange", value: { key: bytes("/one") } } }],
  ];
  const action = "txn";
  for (const ops of denied) {
    for (const branch of ["success", "failure"] as const) {
      for (const depth of [0, 1, 3]) {
        const request = {
          // Holds, so `failure` is the branch that is not taken.
          compare: [],
          success: [{ request: { $case: "requestPut", value: allowed } as const }],
          failure: [],
          [branch]: nested(depth, branch, ops),
        };
        await assertRefused(world, { subject, action }, () => client.txn(request));
      }
    }
  }
  const compare = [{ key: bytes("/two"), targetUnion: { $case: "version", value: 0n } as const }];
  await assertRefused(world, { subject, action }, () => client.txn({ compare }));
  const inside = [{ request: { $case: "requestTxn", value: { compare } } as const }];
  await assertRefused(world, { subject, action }, () => client.txn({ failure: inside }));
  const wide = [{ key: bytes("/one"), rangeEnd: bytes("\0") }];
  await assertRefused(world, { subject, action }, () => client.txn({ compare: wide }));
});

test("a transaction that names no key takes some right in the tenant, and no more", async () => {
  const inner = [{ request: { $case: "requestTxn", value: {} } as const }];
  const subject = "user:without-a-row";
  const nobody = await world.as(subject);
  const reader = await someone({ "/one": ["read"] });
  for (const success of [[], inner]) {
    await assertRefused(world, { subject, action: "txn" }, () => nobody.txn({ success }));
    for (const allowed of [reader.client, world.admin]) {
      assert.equal((await allowed.txn({ success })).succeeded, true);
    }
  }
});

test("a watch of the empty key is one of the lowest key, for who may watch that", async () => {
  const { client } = await someone({ "/one": READ });
  const denied = await createWatch(client, { key: bytes("") });
  assert.equal(denied.created.cancelReason, DENIED_WATCH);
  await denied.watch[Symbol.asyncDispose]();
  const { watch, created } = await createWatch(world.admin, { key: bytes("") });
  assert.equal(created.canceled, false);
  await watch[Symbol.asyncDispose]();
});

test("refusal 9: a lease with a foreign key: attach, revoke, renew, look", async () => {
  const owner = await someone({ "/two": ["write"], "*": ["lease"] });
  const { ID } = await owner.client.leaseGrant({ TTL: 600n });
  await owner.client.put({ key: bytes("/two"), value: bytes("leased"), lease: ID });
  const { subject, client } = await someone({ "/one": ["write", "delete"], "*": ["lease"] });
  const put = { key: bytes("/one"), lease: ID };
  await assertRefused(world, { subject, action: "put" }, () => client.put(put));
  const attach = [{ request: { $case: "requestPut", value: put } as const }];
  for (const txn of [{ success: attach }, { failure: attach }]) {
    await assertRefused(world, { subject, action: "txn" }, () => client.txn(txn));
  }
  await assertRefused(world, { subject, action: "lease-revoke" }, () => client.leaseRevoke({ ID }));
  const look = { ID, keys: true };
  const action = "lease-time-to-live";
  await assertRefused(world, { subject, action }, () => client.leaseTimeToLive(look));
  await assertRefused(world, { subject, action: "lease-keep-alive" }, async () => {
    await using stream = client.keepAlive();
    stream.renew(ID);
    for await (const _ of stream.replies()) return;
  });
  // A lease that nothing hangs on, and no right to leases at all.
  const { ID: bare } = await owner.client.leaseGrant({ TTL: 600n });
  const none = await someone({ "/one": ["write", "delete"] });
  await assertRefused(world, { subject: none.subject, action: "lease-revoke" }, () =>
    none.client.leaseRevoke({ ID: bare }),
  );
  await assertRefused(world, { subject: none.subject, action: "lease-grant" }, () =>
    none.client.leaseGrant({ TTL: 600n }),
  );
});

test("refusal 10: count-only or keys-only without list", async () => {
  const { subject, client } = await someone({ "/h/*": ["read"] });
  const action = "range";
  for (const rangeEnd of ["", "/h0"]) {
    for (const form of [{ countOnly: true }, { keysOnly: true }]) {
      const request = { key: bytes("/h/"), rangeEnd: bytes(rangeEnd), ...form };
      await assertRefused(world, { subject, action }, () => client.range(request));
      const success = [{ request: { $case: "requestRange", value: request } as const }];
      await assertRefused(world, { subject, action: "txn" }, () => client.txn({ success }));
    }
  }
  assert.equal((await client.range({ key: bytes("/h/a") })).kvs.length, 1);
});

test("refusal 11: a key over 10 KiB", async () => {
  const { subject, client } = await someone({ "*": ["*"] });
  const longest = bytes("k".repeat(10 * 1024));
  const key = bytes("k".repeat(10 * 1024 + 1));
  const refused = {
    subject,
    code: "key-too-long",
    detail: /key is longer than the limit/,
  } as const;
  await assertRefused(world, { ...refused, action: "put" }, () => client.put({ key }));
  await assertRefused(world, { ...refused, action: "range" }, () => client.range({ key }));
  await assertRefused(world, { ...refused, action: "delete-range" }, () =>
    client.deleteRange({ key }),
  );
  const success = [{ request: { $case: "requestPut", value: { key } } as const }];
  await assertRefused(world, { ...refused, action: "txn" }, () => client.txn({ success }));
  const compare = [{ key }];
  await assertRefused(world, { ...refused, action: "txn" }, () => client.txn({ compare }));
  await assertRefused(world, { ...refused, action: "history" }, () => client.history({ key }));
  const failure = [{ request: { $case: "requestDeleteRange", value: { key } } as const }];
  await assertRefused(world, { ...refused, action: "txn" }, () => client.txn({ failure }));
  await client.put({ key: longest });
  await client.deleteRange({ key: longest });
});

test("refusal 12: another spelling is another key", async () => {
  const name = "/Dir/Kéy".normalize("NFC");
  const own = Buffer.from(name);
  const who = await someone({ [name]: [...READ, "write", "delete"] });
  const { subject, client } = who;
  const others = [
    "/dir/Kéy",
    "/Dir/KÉY",
    "/DIR/Kéy",
    "/Dir//Kéy",
    "//Dir/Kéy",
    "Dir/Kéy",
    "/Dir/./Kéy",
    "/Dir/x/../Kéy",
    "/../Dir/Kéy",
    "/Dir%2FKéy",
    "/Dir%2fKéy",
    "%2FDir/Kéy",
    "/Dir/K%C3%A9y",
    "/Dir/Kéy/",
    "/Dir/Kéy ",
    "/Dir/Kéy\0",
    "/Dir\\Kéy",
    name.normalize("NFD"),
    // Alike only in Unicode's compatibility form: a full-width K.
    "/Dir/\uff2béy",
  ].map((text) => Buffer.from(text));
  assert.equal(new Set([own, ...others].map((key) => key.toString("hex"))).size, others.length + 1);
  await client.put({ key: own, value: bytes("mine") });
  await assertAllRefused(subject, async (refuse) => {
    for (const key of others) {
      await refuse("range", client.range({ key }));
      await refuse("put", client.put({ key }));
      await refuse("delete-range", client.deleteRange({ key }));
      await refuse("txn", client.txn({ compare: [{ key }] }));
    }
  });
  await assertWatchRefused(who, { key: others[0] ?? own }, { key: own });
  await assertWatchRefused(who, { key: others.at(-1) ?? own }, { key: own });
  for (const key of others) await world.admin.put({ key, value: key });
  for (const key of others) {
    const { kvs } = await world.admin.range({ key });
    assert.deepEqual(
      kvs.map((kv) => [Buffer.from(kv.key), Buffer.from(kv.value)]),
      [[key, key]],
    );
  }
  const mine = await client.range({ key: own });
  assert.deepEqual([mine.kvs.length, mine.kvs[0]?.version], [1, 1n]);
  assert.equal(Buffer.from(mine.kvs[0]?.value ?? []).toString(), "mine");
});

test("refusal 12: nothing leads out of a prefix, nor into it", async () => {
  const { subject, client } = await someone({ "/in/*": [...READ, "write", "delete"] });
  // A key like any other below /in/: it does not become /out.
  const key = bytes("/in/../out");
  await client.put({ key, value: bytes("inside") });
  assert.equal((await world.admin.range({ key: bytes("/out") })).kvs.length, 0);
  await assertAllRefused(subject, async (refuse) => {
    for (const name of ["/IN/a", "//in/a", "/x/../in/a", "/in%2Fa", "%2Fin/a", "in/a", "/./in/a"]) {
      const outside = { key: bytes(name) };
      await refuse("put", client.put(outside));
      await refuse("range", client.range(outside));
    }
  });
  assert.equal((await client.deleteRange({ key })).deleted, 1n);
});
