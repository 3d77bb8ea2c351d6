import assert from "node:assert/strict";
import { createPrivateKey, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { basename } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { Client, Fields } from "../../src/client/mod.ts";
import { rpc } from "../../src/proto/mod.ts";
import { ByteSearch, filesBelow } from "./byte-search.ts";
import { MemberFolder } from "./member-process.ts";
import { RawClient } from "./raw-grpc.ts";

/**
 * Known plaintexts, tokens and keys go through every kind of request; none is on the disk, in the logs
 * at level debug, in the metrics or in the answer to a request that failed.
 */

const SIZES: readonly number[] = [12, 300, 64 * 1024, 1024 * 1024];

/** A secret that JSON, URLs and shells would each spell in their own way. */
function newSecret(size: number): Buffer {
  const random = randomBytes(size).toString("base64url");
  return Buffer.from(`"\\\n${random}`).subarray(0, size);
}

const key = (name: string): Uint8Array => Buffer.from(name);

const putOp = (put: Fields<rpc.PutRequest>): Fields<rpc.RequestOp> => ({
  request: { $case: "requestPut", value: put },
});

test("refusal 63: no plaintext, token or private key is found where it does not belong", async (context) => {
  using folder = await MemberFolder.make(["--log-level", "debug", "--snapshot-entries", "20"]);
  const search = new ByteSearch();
  const replies: string[] = [];
  const outputs: string[] = [];
  let metrics = "";
  {
    await using member = await folder.start();
    await using client = folder.client();
    const token = await issueToken(client, search);
    await using withToken = folder.client({ token, cert: undefined, key: undefined });
    for (const size of SIZES) {
      await useSecrets(withToken, { search, size });
      replies.push(...(await failWithSecrets(folder, { search, size, token })));
    }
    addPrivateKeys(folder, search);
    metrics = await get(folder, "/metrics");
    // The process is there still: write-ahead logs and shared memory are searched as they are.
    const names = filesBelow(folder.data).map((path) => basename(path));
    for (const name of ["raft.db-wal", "state.db-wal"]) assert.ok(names.includes(name), name);
    assertNowhere(folder, search, "while it runs");
    await member.kill();
    outputs.push(member.output);
  }
  assertNowhere(folder, search, "after kill -9");
  {
    await using member = await folder.start();
    await using client = folder.client();
    const { header } = await client.range({ key: key("k") });
    await client.compact({ revision: header?.revision ?? 0n, physical: true });
    assert.equal(await member.stop(), 0);
    outputs.push(member.output);
  }
  assertNowhere(folder, search, "after a clean stop");
  assert.ok(outputs.every((output) => output.length > 0));
  assert.ok(metrics.includes("etcd_server_has_leader"));
  assert.deepEqual(search.find(outputs.join("\n")), [], "in the logs");
  assert.deepEqual(search.find(metrics), [], "in the metrics");
  assert.ok(replies.length > 20, "Too few requests failed");
  assert.deepEqual(search.find(replies.join("\n")), [], "in answers to failed requests");
  const files = filesBelow(folder.data).map((path) => basename(path));
  context.diagnostic(`${search.size} needles, files ${files.join(" ")}`);
});

test("the search finds what it looks for, in each form", () => {
  const secret = newSecret(300);
  const search = new ByteSearch();
  search.add("secret", secret);
  const latin1 = secret.toString("latin1");
  const spilled: readonly (Buffer | string)[] = [
    secret,
    secret.toString("base64"),
    Buffer.concat([Buffer.from("a"), secret]).toString("base64"),
    Buffer.concat([Buffer.from("ab"), secret]).toString("base64url"),
    secret.toString("hex"),
    secret.toString("hex").toUpperCase(),
    Buffer.from(latin1, "utf16le"),
    JSON.stringify({ latin1 }),
    JSON.stringify(secret),
    encodeURIComponent(latin1),
  ];
  for (const text of spilled) assert.ok(search.find(text).length >= 3);
  assert.deepEqual(search.find(randomBytes(10_000)), []);
});

function assertNowhere(folder: MemberFolder, search: ByteSearch, when: string): void {
  const names = filesBelow(folder.data).map((path) => basename(path));
  for (const name of ["raft.db", "state.db"]) assert.ok(names.includes(name));
  // Keys are kept as they are: what is searched is what the member wrote.
  const control = new ByteSearch();
  control.add("a key", key(KEY_PREFIX));
  assert.ok(control.findInFolder(folder.data, () => false).length > 0);
  const isOwn = (path: string): boolean => path.startsWith("pki/") || path === "pki/root.key";
  assert.deepEqual(search.findInFolder(folder.path, isOwn), [], when);
}

const KEY_PREFIX = "key-that-is-no-secret";

/** Three of them fit into one request. */
const TXN_SECRET_MAX = 400 * 1024;

/** Everything that succeeds. */
async function useSecrets(
  client: Client,
  { search, size }: { readonly search: ByteSearch; readonly size: number },
): Promise<void> {
  const secret = (name: string, sizeMax: number = size): Buffer => {
    const made = newSecret(Math.min(size, sizeMax));
    search.add(`${name} of ${size}`, made);
    return made;
  };
  const name = (end: string): Uint8Array => key(`${KEY_PREFIX}/${size}/${end}`);
  await using watch = client.watch();
  watch.create({ key: name(""), rangeEnd: name("~"), prevKv: true });
  const responses = watch.responses();
  assert.ok((await responses.next()).value?.created);
  const first = secret("put");
  await client.put({ key: name("put"), value: first });
  await client.put({ key: name("put"), value: secret("second put"), prevKv: true });
  const compared = secret("compared", TXN_SECRET_MAX);
  await client.put({ key: name("compared"), value: compared });
  const compare = { key: name("compared"), target: 3, result: 0 } as const;
  const { succeeded } = await client.txn({
    compare: [{ ...compare, targetUnion: { $case: "value", value: compared } }],
    success: [putOp({ key: name("txn"), value: secret("txn", TXN_SECRET_MAX), prevKv: true })],
    failure: [putOp({ key: name("txn"), value: secret("branch not taken", TXN_SECRET_MAX) })],
  });
  assert.equal(succeeded, true);
  const wrong = secret("wrong comparison");
  await client.txn({
    compare: [{ ...compare, targetUnion: { $case: "value", value: wrong } }],
    failure: [{ request: { $case: "requestRange", value: { key: name("compared") } } }],
  });
  const { ID } = await client.leaseGrant({ TTL: 600n });
  await client.put({ key: name("lease"), value: secret("lease"), lease: ID });
  const all = { key: name(""), rangeEnd: name("~") };
  const { kvs } = await client.range({ ...all, sortTarget: 4, sortOrder: 2 });
  assert.equal(kvs.length, 4);
  await client.range({ key: name("put"), revision: 0n, serializable: true });
  await client.history({ key: name("put"), limit: 10n, values: true });
  await client.leaseRevoke({ ID });
  await client.deleteRange({ key: name("txn"), prevKv: true });
  let seen = 0;
  while (seen < 7) {
    const { value } = await responses.next();
    seen += value?.events.length ?? 0;
  }
}

type Secrets = { readonly search: ByteSearch; readonly size: number; readonly token: string };

/** Everything that is refused; answers what was said. */
async function failWithSecrets(
  folder: MemberFolder,
  { search, size, token }: Secrets,
): Promise<readonly string[]> {
  const value = newSecret(size);
  search.add(`refused of ${size}`, value);
  const { port, credentials } = folder;
  await using raw = await RawClient.connect({ port, ...credentials });
  await using stranger = await RawClient.connect({
    port,
    ...credentials,
    token: `${token.slice(0, -6)}AAAAAA`,
  });
  const put = (fields: Fields<rpc.PutRequest>): Uint8Array =>
    rpc.PutRequest.encode(rpc.PutRequest.create(fields)).finish();
  const txn = (fields: Fields<rpc.TxnRequest>): Uint8Array =>
    rpc.TxnRequest.encode(rpc.TxnRequest.create(fields)).finish();
  const kv = (method: string): string => `/etcdserverpb.KV/${method}`;
  const twice = putOp({ key: key("k"), value });
  const failing: readonly (readonly [string, Uint8Array])[] = [
    [kv("Put"), put({ value })],
    [kv("Put"), put({ key: key("k"), value, lease: 12345n })],
    [kv("Put"), put({ key: key("k"), value, ignoreValue: true })],
    [kv("Put"), put({ key: key("k"), value: Buffer.concat([value, Buffer.alloc(1_600_000)]) })],
    [kv("Put"), put({ key: key("k"), value: Buffer.concat([value, Buffer.alloc(2_600_000)]) })],
    [kv("Put"), value],
    [kv("Txn"), txn({ success: [twice, twice] })],
    [kv("Txn"), txn({ success: [twice, {}] })],
    [kv("Txn"), value],
    ["/etcdserverpb.Maintenance/Nothing", value],
  ];
  const replies: string[] = [];
  for (const [path, message] of failing) {
    const { status, message: said, body } = await raw.call(path, message);
    assert.notEqual(status, 0, path);
    replies.push(said, body?.toString("latin1") ?? "");
  }
  const refused = await stranger.call(kv("Put"), put({ key: key("k"), value }));
  assert.equal(refused.status, 16);
  replies.push(refused.message, await get(folder, "/no/such/page"));
  return replies;
}

async function issueToken(client: Client, search: ByteSearch): Promise<string> {
  const { token } = await client.tokenIssue({
    subject: "user:admin",
    tenants: ["default"],
    ttlSeconds: 3600n,
  });
  const [, payload = "", signature = ""] = token.split(".");
  search.add("token payload", Buffer.from(payload));
  search.add("token signature", Buffer.from(signature, "base64url"));
  return token;
}

/** The numbers that make the keys, however they are written. */
function addPrivateKeys(folder: MemberFolder, search: ByteSearch): void {
  for (const path of folder.privateKeyFiles) {
    const bytes = readFileSync(path);
    if (path === folder.rootKeyFile) {
      const [, , hex = ""] = bytes.toString().trim().split(" ");
      search.add("root key", Buffer.from(hex, "hex"));
      continue;
    }
    const { d = "" } = createPrivateKey(bytes).export({ format: "jwk" });
    search.add(basename(path), Buffer.from(d, "base64url"));
  }
}

async function get(folder: MemberFolder, path: string): Promise<string> {
  const request = httpsRequest(`${folder.endpoint}${path}`, { ...folder.credentials });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return text(response);
}
