import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import { test } from "node:test";
import { filesBelow } from "../setup/files-below.ts";
import { ByteSearch } from "./byte-search.ts";
import { MemberFolder } from "./member-process.ts";
import {
  KEY_PREFIX,
  addPrivateKeys,
  failWithSecrets,
  getPage,
  issueToken,
  newSecret,
  useSecrets,
} from "./secret-requests.ts";

/**
 * Known plaintexts, tokens and keys go through every kind of request; none is on the disk, in the logs
 * at level debug, in the metrics or in the answer to a request that failed.
 */

const SIZES: readonly number[] = [12, 300, 64 * 1024, 1024 * 1024];

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
    addPrivateKeys(search, folder.privateKeyFiles);
    metrics = await getPage(folder, "/metrics");
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
    const { header } = await client.range({ key: Buffer.from("k") });
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
  control.add("a key", Buffer.from(KEY_PREFIX));
  assert.ok(control.findInFolder(folder.data, () => false).length > 0);
  const isOwn = (path: string): boolean => path.startsWith("pki/") || path === "pki/root.key";
  assert.deepEqual(search.findInFolder(folder.path, isOwn), [], when);
}
