import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { after, before, test } from "node:test";

import { type Client, type ClientOptions, connect } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { createCa } from "../api/certificates.ts";
import { type TestServer, ca, startServer } from "../api/harness.ts";

let server: TestServer;
let client: Client;

before(async () => {
  server = await startServer();
  client = clientOf(server.port);
});
after(async () => {
  await client.close();
  await server[Symbol.asyncDispose]();
});

function clientOf(port: number, options: Partial<ClientOptions> = {}): Client {
  return connect({ endpoints: [`https://127.0.0.1:${String(port)}`], ca: ca.pem, ...options });
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

test("keys, transactions and errors by their texts", async () => {
  const put = await client.put({ key: bytes("a"), value: bytes("1"), lease: -5 });
  assert.equal(put.header?.clusterId, 0xcdf818194e3a8c32n);
  const { kvs, count } = await client.range({ key: bytes("a") });
  assert.equal(count, 1n);
  assert.equal(kvs[0]?.lease, -5n);
  assert.deepEqual(Buffer.from(kvs[0]?.value ?? []), Buffer.from("1"));
  const txn = await client.txn({
    success: [{ request: { $case: "requestPut", value: { key: bytes("b") } } }],
  });
  assert.equal(txn.succeeded, true);
  assert.equal(txn.responses[0]?.response?.$case, "responsePut");
  assert.equal((await client.deleteRange({ key: bytes("a") })).deleted, 1n);
  await assert.rejects(client.range({}), new CofferError("key-empty"));
  await assert.rejects(client.leaseRevoke({ ID: 9 }), { code: "lease-not-found" });
});

test("the services of coffer.v1", async () => {
  const { tenant } = await client.tenantCreate({ name: "team-a", owner: "user:alice" });
  assert.equal(tenant?.name, "team-a");
  assert.equal((await client.tenantList()).tenants.length, 1);
  assert.equal((await client.tenantShow({ name: "default" })).tenant?.policyRevision, 2n);
  await assert.rejects(client.tenantShow({ name: "nope" }), {
    code: "not-found",
    message: 'coffer: not found: tenant "nope"',
  });
  await client.tenantDelete({ name: "team-a" });
  assert.deepEqual((await client.policyList()).rows[0]?.fields.at(-1), "allow");
  const change = { add: [{ fields: ["g", "user:alice", "role:reader"] }], remove: [] };
  assert.equal((await client.policyChange(change)).policyRevision, 3n);
  assert.equal((await client.policyAsk({ action: "read" })).allowed, true);
  assert.equal((await client.policyAsk({ action: "write" })).row, undefined);
  const who = await client.policyWhoCan({ action: "read", key: bytes("/a") });
  assert.deepEqual(
    [who.holders[0]?.row?.fields.at(-1), who.more, who.next],
    ["allow", true, "user:alice"],
  );
  const asked = { subject: "user:b", groups: ["dev"], action: "read", key: bytes("/a\xff") };
  const told = await client.policyExplain(asked);
  assert.deepEqual(Buffer.from(told.missingKey), Buffer.from(asked.key));
  assert.equal(told.missingRangeEnd.length, 0);
  assert.deepEqual([told.groups, told.grounds[0]?.via], [["dev"], ["user:b", "role:r"]]);
  const open = await client.policyExplain({ ...asked, rangeEnd: bytes("\0") });
  assert.deepEqual(Buffer.from(open.missingRangeEnd), Buffer.of(0));
  const tried = await client.policyTry({ ...change, last: 9n });
  assert.deepEqual(tried.problems, ["g,user:alice,role:reader"]);
  assert.deepEqual([tried.records, tried.judged, tried.moved, tried.cut], [9n, 0n, 1n, 2n]);
  assert.deepEqual(Buffer.from(tried.changes[0]?.key ?? []), Buffer.of(0x2f, 0x61, 0xff));
  const issued = await client.tokenIssue({ ttlSeconds: 60 });
  assert.deepEqual([issued.expires, issued.tokenId], [60_000n, "jti-1"]);
  assert.equal((await client.tokenRotateKey({ dropFormer: true })).keyId, "only");
  await client.put({ key: bytes("h"), value: bytes("x") });
  const { items, valuesWithheld } = await client.history({ key: bytes("h") });
  assert.deepEqual([items[0]?.kv?.value.length, items[0]?.valueBytes], [0, 1n]);
  assert.equal(valuesWithheld, true);
  const opened = await client.history({ key: bytes("h"), values: true });
  assert.deepEqual([opened.items[0]?.kv?.value, opened.more], [bytes("x"), true]);
  assert.equal(items[0]?.actor?.subject, "user:alice");
  assert.equal(items[0]?.time, 1_700_000_000_123n);
  const found = await client.auditSearch({ limit: 2n, action: "put" });
  assert.deepEqual([found.lines, found.next, found.done], [['{"seq":1}', '{"seq":2}'], "n", true]);
  assert.deepEqual((await client.auditCheckpoints()).checkpoints, ["{}"]);
  assert.equal((await client.healthCheck()).status, 1);
});

test("token and tenant go with every call, and a token may change", async () => {
  let drawn = 0;
  await using other = clientOf(server.port, { token: () => `t${++drawn}\n`, tenant: "team-a" });
  assert.equal((await other.whoAmI()).tenant, "team-a");
  assert.equal(server.edge.caller?.authorization, "Bearer t1");
  await other.whoAmI();
  assert.equal(server.edge.caller?.authorization, "Bearer t2");
  await using broken = clientOf(server.port, { token: "secret\nsecret" });
  await assert.rejects(broken.whoAmI(), (error) => {
    assert.ok(error instanceof CofferError);
    assert.equal(error.code, "invalid-argument");
    assert.equal(`${error.message} ${String(error.cause)}`.includes("secret"), false);
    return true;
  });
});

test("a deadline and an abort end a call, and the client goes on", async () => {
  let release = (): void => undefined;
  server.edge.hold = new Promise((resolve) => {
    release = resolve;
  });
  await assert.rejects(client.put({ key: bytes("d") }, { timeoutMs: 30 }), {
    code: "deadline-exceeded",
  });
  const controller = new AbortController();
  const aborted = client.put({ key: bytes("d") }, { signal: controller.signal });
  server.edge.onPut = () => controller.abort();
  await assert.rejects(aborted, { code: "canceled" });
  await assert.rejects(client.put({ key: bytes("d") }, { signal: controller.signal }), {
    code: "canceled",
  });
  server.edge.hold = undefined;
  server.edge.onPut = () => undefined;
  release();
  await client.put({ key: bytes("d") });
});

async function reasonOf(target: Client): Promise<string> {
  await using client = target;
  const error: unknown = await client.status().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof CofferError, "the call must fail with CofferError");
  assert.equal(error.code, "unreachable");
  return error.message;
}

test("a connection that cannot be made says why, and what to do", async () => {
  const free = net.createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  const { port } = free.address() as AddressInfo;
  await new Promise((resolve) => free.close(resolve));
  assert.match(await reasonOf(clientOf(port)), /nothing listens there \(ECONNREFUSED\)/);

  const other = createCa("other");
  assert.match(
    await reasonOf(clientOf(server.port, { ca: other.pem })),
    /give the file of the server/,
  );
  assert.match(await reasonOf(clientOf(server.plainPort)), /does not speak TLS/);
  const plain = { endpoints: [`http://127.0.0.1:${String(server.port)}`] };
  assert.match(await reasonOf(clientOf(0, plain)), /expects TLS/);

  const leaf = ca.issue({ name: "server", use: "serverAuth", from: -3, to: -1 });
  await using expired = await startServer({ tls: leaf });
  assert.match(await reasonOf(clientOf(expired.port)), /its certificate has expired; renew it/);
  assert.throws(() => connect({ endpoints: ["ftp://x"] }), { code: "invalid-argument" });
});

test("a port that never answers is given up after the dial time", async () => {
  const mute = net.createServer().listen(0, "127.0.0.1");
  await once(mute, "listening");
  const { port } = mute.address() as AddressInfo;
  const open: net.Socket[] = [];
  mute.on("connection", (socket) => open.push(socket));
  const reason = await reasonOf(clientOf(port, { dialTimeoutMs: 50 }));
  assert.match(reason, /ETIMEDOUT/);
  for (const socket of open) socket.destroy();
  await new Promise((resolve) => mute.close(resolve));
});

test("the next endpoint is tried, and a restarted server is found again", async () => {
  const first = await startServer();
  const { port } = first;
  await using both = clientOf(0, {
    endpoints: ["https://127.0.0.1:1", `https://127.0.0.1:${String(port)}`],
  });
  await both.put({ key: bytes("x") });
  await first.server.close();
  await assert.rejects(both.status(), { code: "unreachable" });
  await using again = await startServer({
    listen: [{ scheme: "https", host: "127.0.0.1", port }],
  });
  await both.put({ key: bytes("y") });
  assert.equal(again.edge.store.has("y"), true);
});

test("plaintext to a loopback listener works", async () => {
  await using plain = connect({ endpoints: [`http://127.0.0.1:${String(server.plainPort)}`] });
  assert.equal((await plain.status()).cofferVersion, "0.1.0");
});

test("a closed client refuses calls", async () => {
  const done = clientOf(server.port);
  await done.status();
  await done.close();
  await done.close();
  await assert.rejects(done.status(), { code: "unreachable" });
});
