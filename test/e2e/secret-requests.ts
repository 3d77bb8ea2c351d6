import assert from "node:assert/strict";
import { createPrivateKey, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { basename } from "node:path";
import { text } from "node:stream/consumers";
import type { Client, Fields } from "../../src/client/mod.ts";
import { rpc } from "../../src/proto/mod.ts";
import type { ByteSearch } from "./byte-search.ts";
import { RawClient } from "./raw-grpc.ts";

/** Every kind of request with known plaintexts in it, for tests that look for them afterwards. */

/** Where a member answers, and as whom it is asked. */
export interface Asked {
  readonly endpoint: string;
  readonly credentials: { readonly ca: string; readonly cert: string; readonly key: string };
}

/** A secret that JSON, URLs and shells would each spell in their own way. */
export function newSecret(size: number): Buffer {
  const random = randomBytes(size).toString("base64url");
  return Buffer.from(`"\\\n${random}`).subarray(0, size);
}

const key = (name: string): Uint8Array => Buffer.from(name);

const putOp = (put: Fields<rpc.PutRequest>): Fields<rpc.RequestOp> => ({
  request: { $case: "requestPut", value: put },
});

/** Of all keys that `useSecrets` writes. */
export const KEY_PREFIX = "key-that-is-no-secret";

/** Three of them fit into one request. */
const TXN_SECRET_MAX = 400 * 1024;

/** Everything that succeeds, with secrets of `size` bytes. */
export async function useSecrets(
  client: Client,
  {
    search,
    size,
    under = "",
  }: { readonly search: ByteSearch; readonly size: number; readonly under?: string },
): Promise<void> {
  const secret = (name: string, sizeMax: number = size): Buffer => {
    const made = newSecret(Math.min(size, sizeMax));
    search.add(`${name} of ${size}`, made);
    return made;
  };
  const name = (end: string): Uint8Array => key(`${KEY_PREFIX}/${size}/${under}/${end}`);
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
export async function failWithSecrets(
  asked: Asked,
  { search, size, token }: Secrets,
): Promise<readonly string[]> {
  const value = newSecret(size);
  search.add(`refused of ${size}`, value);
  const { credentials } = asked;
  const port = Number(new URL(asked.endpoint).port);
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
  replies.push(refused.message, await getPage(asked, "/no/such/page"));
  return replies;
}

/** A token of the administrator, which from then on is looked for. */
export async function issueToken(client: Client, search: ByteSearch): Promise<string> {
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

/** The numbers that make the keys of these files, however they are written. */
export function addPrivateKeys(search: ByteSearch, paths: readonly string[]): void {
  for (const path of paths) {
    const bytes = readFileSync(path);
    if (basename(path) === "root.key") {
      const [, , hex = ""] = bytes.toString().trim().split(" ");
      search.add("root key", Buffer.from(hex, "hex"));
      continue;
    }
    const { d = "" } = createPrivateKey(bytes).export({ format: "jwk" });
    search.add(basename(path), Buffer.from(d, "base64url"));
  }
}

/** A page of the member, whatever its status. */
export async function getPage({ endpoint, credentials }: Asked, path: string): Promise<string> {
  const request = httpsRequest(`${endpoint}${path}`, { ...credentials });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return text(response);
}
