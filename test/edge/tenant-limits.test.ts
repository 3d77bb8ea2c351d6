import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { createWatch, watching } from "./streams.ts";
import { type World, bytes, failure, startWorld } from "./world.ts";

/** What a tenant may hold and do, each limit to the letter; suspension; and what is shown of it all. */

let world: World;
let operator: Client;

before(async () => {
  world = await startWorld();
  operator = await world.as("user:admin", { tenants: ["system"] });
});

after(() => world[Symbol.asyncDispose]());

type Limits = NonNullable<NonNullable<Parameters<Client["tenantCreate"]>[0]>["limits"]>;

/** Makes a tenant with limits, and a client of its owner. */
async function limited(name: string, limits: Limits): Promise<Client> {
  const owner = `user:${name}-owner`;
  await operator.tenantCreate({ name, owner, limits });
  return await world.as(owner, { tenants: [name] });
}

const value = (size: number): Buffer => Buffer.alloc(size, 1);
const put = (key: string, size: number) =>
  ({ request: { $case: "requestPut", value: { key: bytes(key), value: value(size) } } }) as const;

async function exceeded(work: Promise<unknown>, limit: string): Promise<void> {
  const { message } = await failure(work, "quota-exceeded");
  assert.equal(message, `coffer: tenant quota exceeded: ${limit}`);
}

test("a key or value over the tenant's size is refused, at any depth, and what was there stays usable", async () => {
  const owner = await limited("sized", { keyBytes: 8n, valueBytes: 100n });
  await owner.put({ key: bytes("12345678"), value: value(100) });
  const { header } = await owner.range({ key: bytes("a") });
  await exceeded(owner.put({ key: bytes("123456789") }), "key-bytes: 8");
  await exceeded(owner.put({ key: bytes("k"), value: value(101) }), "value-bytes: 100");
  await exceeded(owner.txn({ failure: [put("123456789", 1)] }), "key-bytes: 8");
  const nested = { $case: "requestTxn" as const, value: { success: [put("k", 101)] } };
  await exceeded(owner.txn({ success: [{ request: nested }] }), "value-bytes: 100");
  assert.equal((await owner.range({ key: bytes("a") })).header?.revision, header?.revision);
  const record = world.audit().findLast(({ action }) => action === "put");
  assert.deepEqual([record?.outcome, record?.reason], ["refused", "quota-exceeded"]);
  // A limit that is lowered below what is there takes nothing away.
  await operator.tenantUpdate({ name: "sized", limits: { keyBytes: 4n } });
  assert.equal((await owner.range({ key: bytes("12345678") })).kvs.length, 1);
  assert.equal((await owner.deleteRange({ key: bytes("12345678") })).deleted, 1n);
  await operator.tenantUpdate({ name: "sized", limits: { keyBytes: -1n, valueBytes: -1n } });
  await owner.put({ key: bytes("123456789"), value: value(101) });
});

test("keys, leases and bytes are held to the limit when applied, and deletes always go", async () => {
  const owner = await limited("held", { keys: 2n, leases: 1n });
  await owner.put({ key: bytes("/a") });
  await owner.put({ key: bytes("/b") });
  await exceeded(owner.put({ key: bytes("/c") }), "keys: 2");
  await owner.put({ key: bytes("/b"), value: value(10) });
  await owner.leaseGrant({ TTL: 600n });
  await exceeded(owner.leaseGrant({ TTL: 600n }), "leases: 1");
  await owner.deleteRange({ key: bytes("/a") });
  await owner.put({ key: bytes("/c") });
  const { tenant } = await operator.tenantShow({ name: "held" });
  assert.deepEqual([tenant?.usage?.keys, tenant?.usage?.leases], [2n, 1n]);
  await operator.tenantUpdate({ name: "held", limits: { bytes: tenant?.usage?.bytes } });
  const full = await failure(owner.put({ key: bytes("/c"), value: value(50) }), "no-space");
  assert.equal(full.message, "etcdserver: mvcc: database space exceeded");
  assert.equal((await owner.deleteRange({ key: bytes("/c") })).deleted, 1n);
});

test("operators who change limits at the same time each keep what they set", async () => {
  await operator.tenantCreate({ name: "shared" });
  const limits = { keys: 5n, leases: 6n, bytes: 70_000n, watches: 8n };
  const changes = Object.entries(limits).map(([name, limit]) =>
    operator.tenantUpdate({ name: "shared", limits: { [name]: limit } }),
  );
  await Promise.all(changes);
  const shown = async () => (await operator.tenantShow({ name: "shared" })).tenant?.limits;
  assert.deepEqual({ ...(await shown()), ...limits }, await shown());
  const rate = { requestsPerSecond: 10n, requestBurst: 20n };
  await operator.tenantUpdate({ name: "shared", limits: rate });
  const burst = operator.tenantUpdate({ name: "shared", limits: { requestBurst: 30n } });
  await Promise.all([burst, operator.tenantUpdate({ name: "shared", limits: { keys: -1n } })]);
  await operator.tenantUpdate({ name: "shared", limits: { requestsPerSecond: -1n } });
  const { keys, requestBurst, leases } = (await shown()) ?? assert.fail("No limits");
  // A burst goes with its rate.
  assert.deepEqual([keys, requestBurst, leases], [undefined, undefined, 6n]);
  const alone = operator.tenantUpdate({ name: "shared", limits: { requestBurst: 1n } });
  const { message } = await failure(alone, "invalid-argument");
  assert.match(message, /request-burst needs requests-per-second too/);
});

test("watches are counted as they come and go, on all streams of the tenant", async () => {
  const owner = await limited("watched", { watches: 2n });
  const now = async (): Promise<bigint | undefined> =>
    (await operator.tenantShow({ name: "watched" })).tenant?.usage?.watches;
  const { watch } = await createWatch(owner, { key: bytes("/a"), watchId: 1n });
  const { watch: other } = await createWatch(owner, { key: bytes("/b") });
  assert.equal(await now(), 2n);
  // One too many ends alone; its stream goes on.
  watch.create({ key: bytes("/c"), watchId: 2n });
  const refused = await watch.until(({ created, canceled }) => created && canceled);
  assert.equal(
    refused.cancelReason,
    "rpc error: code = ResourceExhausted desc = coffer: tenant quota exceeded: watches: 2",
  );
  const third = watching(owner);
  third.create({ key: bytes("/d") });
  assert.equal((await third.ended)?.message, "coffer: tenant quota exceeded: watches: 2");
  watch.cancel(1n);
  await watch.until(({ canceled, watchId }) => canceled && watchId === 1n);
  assert.equal(await now(), 1n);
  watch.create({ key: bytes("/c"), watchId: 3n });
  await watch.until(({ created, watchId }) => created && watchId === 3n);
  assert.equal(await now(), 2n);
  await Promise.all([watch, other].map((stream) => stream[Symbol.asyncDispose]()));
  // The member hears of the end of a stream in its own time; a stream has its place until then.
  for (;;) {
    if ((await now()) === 0n) break;
  }
  const { watch: again } = await createWatch(owner, { key: bytes("/a") });
  await again[Symbol.asyncDispose]();
});

test("a watch that compaction ends gives its place back", async () => {
  const owner = await limited("compacted", { watches: 1n });
  await owner.put({ key: bytes("/a") });
  const { header } = await owner.put({ key: bytes("/a") });
  await owner.compact({ revision: header?.revision ?? 0n });
  const { watch } = await createWatch(owner, { key: bytes("/a"), startRevision: 1n });
  await watch.until(({ canceled }) => canceled);
  watch.create({ key: bytes("/a"), watchId: 8n });
  await watch.until(({ created, canceled, watchId }) => created && !canceled && watchId === 8n);
  await watch[Symbol.asyncDispose]();
});

test("requests over the rate are refused in etcd's words, and counted instead of recorded", async () => {
  const owner = await limited("paced", { requestsPerSecond: 1n, requestBurst: 3n });
  const seen = world.audit().at(-1)?.seq ?? 0;
  const began = performance.now();
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      owner.put({ key: bytes(`/${n}`) }).then(
        () => "ok",
        (error: unknown) => (error instanceof CofferError ? error.message : String(error)),
      ),
    ),
  );
  const seconds = (performance.now() - began) / 1000;
  const refused = answers.filter((text) => text === "etcdserver: too many requests").length;
  const taken = answers.filter((text) => text === "ok").length;
  assert.equal(refused + taken, answers.length, answers.join());
  assert.ok(taken >= 3 && taken <= 3 + Math.ceil(seconds), `${taken} were taken`);
  const { tenant } = await operator.tenantShow({ name: "paced" });
  assert.equal(tenant?.usage?.keys, BigInt(taken));
  assert.equal(tenant?.usage?.requestsRefused, BigInt(refused));
  // The others go on meanwhile.
  await world.admin.put({ key: bytes("/k") });
  await world.restart();
  operator = await world.as("user:admin", { tenants: ["system"] });
  const records = world
    .audit()
    .filter(({ seq, actor }) => seq > seen && actor.subject === "user:paced-owner")
    .filter(({ outcome }) => outcome === "refused");
  const [first, ...later] = records;
  assert.deepEqual(
    [first?.action, first?.reason],
    ["put", "too-many-requests: over 1 requests per second"],
  );
  const told = later.map(({ action, reason }) => {
    assert.equal(action, "requests-refused");
    return Number(/: (\d+) more since the record before$/.exec(reason)?.[1]);
  });
  assert.equal(1 + told.reduce((sum, count) => sum + count, 0), refused);
  assert.ok(later.length <= Math.ceil(seconds) + 2, `${later.length} records`);
});

test("another rate counts at once, and none is none", async () => {
  const owner = await limited("repaced", { requestsPerSecond: 1n, requestBurst: 1n });
  const many = async (): Promise<readonly PromiseSettledResult<unknown>[]> =>
    await Promise.allSettled(Array.from({ length: 20 }, () => owner.range({ key: bytes("/k") })));
  assert.ok((await many()).some(({ status }) => status === "rejected"));
  const gone = { requestsPerSecond: -1n };
  const { tenant } = await operator.tenantUpdate({ name: "repaced", limits: gone });
  // A burst goes with its rate.
  assert.deepEqual(Object.values(tenant?.limits ?? {}).filter(Boolean), []);
  assert.ok((await many()).every(({ status }) => status === "fulfilled"));
});

test("limits that mean nothing are refused", async () => {
  const set = async (limits: Limits): Promise<string> =>
    (await failure(operator.tenantUpdate({ name: "default", limits }), "invalid-argument")).message;
  assert.match(await set({ requestBurst: 5n }), /request-burst needs requests-per-second/);
  assert.match(await set({ requestsPerSecond: 0n }), /from 1/);
  assert.match(await set({ keys: -2n }), /-2 is not a count/);
  assert.match(await set({ bytes: 2n ** 60n }), /is not a count/);
  const compaction = { policy: { $case: "ageSeconds" as const, value: 0n } };
  const update = operator.tenantUpdate({ name: "default", compaction });
  assert.match((await failure(update, "invalid-argument")).message, /at least 1 second/);
  await failure(operator.tenantUpdate({ name: "nobody", suspended: true }), "not-found");
});

test("a suspended tenant is refused to all, its watches end, and it goes on where it was", async () => {
  const owner = await limited("paused", {});
  await owner.put({ key: bytes("/k"), value: bytes("v") });
  const { watch } = await createWatch(owner, { key: bytes("/k") });
  await operator.tenantUpdate({ name: "paused", suspended: true });
  assert.equal((await watch.ended)?.message, "coffer: tenant is suspended");
  const requests = [
    () => owner.put({ key: bytes("/k") }),
    () => owner.range({ key: bytes("/k") }),
    () => owner.range({ key: bytes("/k"), serializable: true }),
    () => owner.deleteRange({ key: bytes("/k") }),
    () => owner.leaseGrant({ TTL: 60n }),
    () => owner.policyList(),
    () => owner.tenantShow({ name: "paused" }),
    () => owner.whoAmI(),
  ];
  for (const request of requests) await failure(request(), "tenant-suspended");
  const stream = watching(owner);
  stream.create({ key: bytes("/k") });
  assert.equal((await stream.ended)?.code, "tenant-suspended");
  const record = world.audit().findLast(({ action }) => action === "put");
  assert.deepEqual([record?.outcome, record?.reason], ["refused", "tenant-suspended"]);
  const shown = (await operator.tenantShow({ name: "paused" })).tenant;
  assert.deepEqual([shown?.suspended, shown?.usage?.watches], [true, 0n]);
  await operator.tenantUpdate({ name: "paused", suspended: false });
  const { kvs } = await owner.range({ key: bytes("/k") });
  assert.equal(Buffer.from(kvs[0]?.value ?? []).toString(), "v");
});

test("what was changed of a tenant is in the operators' trail", async () => {
  await limited("noted", {});
  const limits = { keys: 5n };
  const compaction = { policy: { $case: "revisions" as const, value: 100n } };
  await operator.tenantUpdate({ name: "noted", limits, compaction });
  const records = world.audit().filter(({ action }) => action.startsWith("tenant-update"));
  const told = records.slice(-2).map(({ action, key, tenant }) => [action, key, tenant]);
  const changes = '{"limits":{"keysMax":5},"compaction":{"kind":"count","revisions":100}}';
  assert.deepEqual(told, [
    ["tenant-updated", changes, "cluster"],
    ["tenant-update", "noted", "cluster"],
  ]);
  const { tenant } = await operator.tenantShow({ name: "noted" });
  assert.deepEqual(tenant?.compaction?.policy, compaction.policy);
});

async function scrape(
  headers: object,
): Promise<{ readonly status: number; readonly body: string }> {
  const options = { ca: world.authority.certificate, headers: { ...headers }, agent: false };
  const sent = httpsRequest(`${world.endpoint}/metrics`, options).end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: await text(response) };
}

test("metrics name tenants to operators alone", async () => {
  const owner = await limited("metered", { keys: 7n, requestsPerSecond: 1000n });
  await owner.put({ key: bytes("/a"), value: value(10) });
  const bearer = async (subject: string, tenants: readonly string[]): Promise<object> => {
    return { authorization: `Bearer ${await world.token(subject, { tenants })}` };
  };
  const shown = await scrape(await bearer("user:admin", ["system"]));
  assert.match(shown.body, /^coffer_tenant_keys\{coffer_tenant="metered"\} 1$/m);
  assert.match(shown.body, /^coffer_tenant_keys_limit\{coffer_tenant="metered"\} 7$/m);
  assert.match(shown.body, /^coffer_tenant_bytes\{coffer_tenant="metered"\} [1-9]\d+$/m);
  assert.match(shown.body, /^etcd_server_has_leader 1$/m);
  const others = [
    {},
    await bearer("user:metered-owner", ["metered"]),
    await bearer("user:admin", ["default"]),
    await bearer("user:nobody", ["default"]),
  ];
  for (const headers of others) {
    const { status, body } = await scrape(headers);
    assert.equal(status, 200);
    assert.match(body, /^etcd_server_has_leader 1$/m);
    assert.doesNotMatch(body, /metered|coffer_tenant_|coffer_tenant=/);
  }
  const bad = await scrape({ authorization: "Bearer no.such.token" });
  assert.deepEqual([bad.status, bad.body], [401, "etcdserver: invalid auth token\n"]);
});
