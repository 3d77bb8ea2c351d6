import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { SignJWT } from "jose";
import { watching } from "../edge/streams.ts";
import { bytes, failure } from "../edge/world.ts";
import { ClusterProcess } from "./cluster-process.ts";
import { MAIN } from "./member-process.ts";

/** Credentials in a cluster of three under load: what one member has answered holds on all. */

let cluster: ClusterProcess;
let admin: Client;
/** The leader's name first. */
let names: readonly string[];

const key = bytes("/k");

before(async () => {
  cluster = await ClusterProcess.start();
  const leader = await cluster.leader();
  names = [leader, ...cluster.members.map(({ name }) => name).filter((name) => name !== leader)];
  admin = cluster.client(leader, { timeoutMs: 20_000 });
  const rows = ["alice", "bob", "sa:app/web"].map((name) => {
    return { fields: ["g", name.includes(":") ? name : `user:${name}`, "role:owner"] };
  });
  await admin.policyChange({ add: rows });
});

after(async () => {
  await admin.close();
  await cluster[Symbol.asyncDispose]();
});

/** A client of a member that shows the token and no certificate. */
function holder(name: string, token: string): Client {
  const anonymous = { ca: cluster.credentials.ca, cert: undefined, key: undefined };
  return cluster.client(name, { ...anonymous, token, timeoutMs: 20_000 });
}

async function issue(by: Client, subject: string): Promise<{ token: string; tokenId: string }> {
  return await by.tokenIssue({ subject, tenants: ["default"], ttlSeconds: 600n });
}

/** Puts through every member until the returned function is called, which tells how many there were. */
function load(): () => Promise<number> {
  let isOver = false;
  let puts = 0;
  const writers = names.flatMap((name) =>
    Array.from({ length: 4 }, async (_, at) => {
      await using client = cluster.client(name, { timeoutMs: 20_000 });
      while (!isOver) {
        await client.put({ key: bytes(`/load/${name}/${at}`), value: bytes("v".repeat(500)) });
        puts++;
      }
    }),
  );
  return async () => {
    isOver = true;
    await Promise.all(writers);
    return puts;
  };
}

test("refusal 33: what one member revokes ends on each of them", async () => {
  const endLoad = load();
  const { token, tokenId } = await issue(admin, "user:alice");
  const clients = names.map((name) => holder(name, token));
  // Cached by every member, and in use by a watch on each.
  const watches = clients.map((client) => watching(client));
  for (const watch of watches) watch.create({ key });
  await Promise.all(watches.map((watch) => watch.until(({ created }) => created)));
  await clients[0]?.put({ key });
  const seen = watches.map((watch) => watch.until(({ events }) => events.length > 0));
  await Promise.all(seen);
  await using follower = cluster.client(names[1], { timeoutMs: 20_000 });
  const value = { issuer: "", tokenId };
  await follower.tokenRevoke({ target: { target: { $case: "token", value } } });
  // The member that has answered refuses from the very next request on.
  await failure(clients[1]?.range({ key, serializable: true }) ?? assert.fail(), "invalid-token");
  for (const watch of watches) assert.equal((await watch.ended)?.code, "invalid-token");
  for (const client of clients) {
    await failure(client.range({ key, serializable: true }), "invalid-token");
    await client.close();
  }
  assert.ok((await endLoad()) > 0);
});

test("refusal 33: nothing is written by way of a member that has not heard of the revocation", async () => {
  const [, sleeper = ""] = names;
  // It finds the write and the news of the revocation in its sockets at once, and may well begin with the
  // write: ten times, so that it does.
  for (let i = 0; i < 10; i++) {
    const { token, tokenId } = await issue(admin, "user:alice");
    await using victim = holder(sleeper, token);
    await victim.put({ key, value: bytes("before") });
    const refused = await whileAsleep(sleeper, async () => {
      const value = { issuer: "", tokenId };
      await admin.tokenRevoke({ target: { target: { $case: "token", value } } });
      return () => failure(victim.put({ key, value: bytes("after") }), "invalid-token");
    });
    assert.equal(refused.code, "invalid-token");
    const { kvs } = await admin.range({ key });
    assert.equal(Buffer.from(kvs[0]?.value ?? []).toString(), "before");
  }
});

test("refusal 36: the built-in issuer's key rotates under load without a failure", async () => {
  const endLoad = load();
  let isOver = false;
  let used = 0;
  const users = names.map(async (name, at) => {
    // Issued by one member and used at once at the next, which may not know its key yet.
    await using issuer = cluster.client(name, { timeoutMs: 20_000 });
    while (!isOver) {
      const { token } = await issue(issuer, "user:bob");
      await using client = holder(names[(at + 1) % names.length] ?? "", token);
      await client.range({ key, serializable: true });
      used++;
    }
  });
  const { token } = await issue(admin, "user:bob");
  const keys = new Set<string>();
  for (const name of [...names, ...names]) {
    await using client = cluster.client(name, { timeoutMs: 20_000 });
    keys.add((await client.tokenRotateKey()).keyId);
    const before = used;
    while (used < before + 3) await Promise.race([...users, issue(client, "user:bob")]);
  }
  isOver = true;
  await Promise.all(users);
  assert.equal(keys.size, 6);
  for (const name of names) {
    await using client = holder(name, token);
    await client.put({ key });
  }
  assert.ok((await endLoad()) > 0);
});

test("refusal 36: a member that lags takes a token of a key that it has not heard of", async () => {
  const [leader = "", sleeper = ""] = names;
  let { token } = await issue(admin, "user:bob");
  const { ca } = cluster.credentials;
  const shown = { ca, cert: undefined, key: undefined, token: () => token, timeoutMs: 20_000 };
  await using late = cluster.client(sleeper, shown);
  await late.range({ key });
  // It finds the request and the news of the key in its sockets at once, and may well begin with the
  // request: five times, so that it does.
  for (let i = 0; i < 5; i++) {
    await whileAsleep(sleeper, async () => {
      await admin.tokenRotateKey();
      ({ token } = await issue(admin, "user:bob"));
      return () => late.range({ key, serializable: true });
    });
  }
  await using other = holder(leader, token);
  await other.range({ key });
});

/** Does `work` while the member does nothing, and then what it returns, which the member finds waking up. */
async function whileAsleep<T>(name: string, work: () => Promise<() => Promise<T>>): Promise<T> {
  const member = cluster.member(name);
  member.pause();
  try {
    const asked = (await work())();
    // Else the request would still be on its way when the member goes on.
    await new Promise((resolve) => setImmediate(resolve));
    member.resume();
    return await asked;
  } finally {
    member.resume();
  }
}

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function coffer(...args: readonly string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: cluster.environment() });
  child.stdin.end();
  const [stdout, stderr, [code]] = await Promise.all([
    buffer(child.stdout),
    text(child.stderr),
    once(child, "close") as Promise<[number]>,
  ]);
  return { code, stdout: stdout.toString("utf8"), stderr };
}

test("service accounts of Kubernetes, by namespace and uid, from an issuer that a command adds", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const kid = "s_2Xm0cW1vQ7";
  const jwks = {
    keys: [{ ...publicKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" }],
  };
  const file = join(cluster.folder, "jwks.json");
  writeFileSync(file, JSON.stringify(jwks));
  const issuer = "https://kubernetes.default.svc.cluster.local";
  const uid = "5a3c9f5e-1b8d-4f0e-9a51-8f2f8a1f6b77";
  const flags = ["--audience", "coffer", "--algorithms", "RS256", "--tenants", "default"];
  const account = ["--kubernetes-account", `app/web/${uid}`, "--max-age", "2h"];
  const added = await coffer("issuer", "add", issuer, "--jwks-file", file, ...flags, ...account);
  assert.deepEqual([added.code, added.stderr], [0, ""]);
  const listed = await coffer("issuer", "list");
  assert.match(listed.stdout, /cluster\.local +added +1 +-/);

  /** As the API server signs a projected token for a pod. */
  const projected = (changes: { readonly uid?: string; readonly aud?: string } = {}) => {
    const iat = Math.floor(Date.now() / 1000);
    return new SignJWT({
      "kubernetes.io": {
        namespace: "app",
        node: { name: "node-1", uid: "0f0c53a1-5b5c-4b8e-8f7e-0d9b8f1e2a3c" },
        pod: { name: "web-0", uid: "b1f0f9a6-61ce-4c6e-9d0b-2f7f5f3e4d5c" },
        serviceaccount: { name: "web", uid: changes.uid ?? uid },
      },
    })
      .setProtectedHeader({ alg: "RS256", kid })
      .setIssuer(issuer)
      .setSubject("system:serviceaccount:app:web")
      .setAudience(changes.aud ?? "coffer")
      .setJti("9d8e7f6a-5b4c-4d3e-8f2a-1b0c9d8e7f6a")
      .setIssuedAt(iat)
      .setNotBefore(iat)
      .setExpirationTime(iat + 3607)
      .sign(privateKey);
  };
  for (const name of names) {
    await using web = holder(name, await projected());
    assert.equal((await web.whoAmI()).actor?.subject, "sa:app/web");
    await web.put({ key });
    // Deleted and made anew under its name, it is another.
    await using impostor = holder(
      name,
      await projected({ uid: "00000000-0000-4000-8000-000000000000" }),
    );
    await failure(impostor.put({ key }), "invalid-token");
    await using elsewhere = holder(
      name,
      await projected({ aud: "https://kubernetes.default.svc" }),
    );
    await failure(elsewhere.put({ key }), "invalid-token");
  }
  assert.equal((await coffer("issuer", "remove", issuer)).code, 0);
  for (const name of names) {
    await using web = holder(name, await projected());
    await failure(web.put({ key }), "invalid-token");
  }
});

test("an issuer that one member has answered for is taken by one that lags", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "k1", use: "sig" };
  const issuer = "https://id.example";
  const record = {
    version: 1,
    issuer,
    keys: { kind: "inline", keys: [jwk] },
    algorithms: ["ES256"],
    audience: ["coffer"],
    maxAgeSeconds: 3600,
    tenants: { kind: "fixed", tenants: ["default"] },
  };
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: "ES256", kid: "k1" })
    .setIssuer(issuer)
    .setSubject("alice")
    .setAudience("coffer")
    .setIssuedAt()
    .setExpirationTime("10m")
    .sign(privateKey);
  let credentials = (await issue(admin, "user:bob")).token;
  const { ca } = cluster.credentials;
  const shown = { ca, cert: undefined, key: undefined, token: () => credentials };
  await using late = cluster.client(names[2], { ...shown, timeoutMs: 20_000 });
  await late.range({ key });
  for (let i = 0; i < 5; i++) {
    await whileAsleep(names[2] ?? "", async () => {
      await admin.issuerAdd({ record: Buffer.from(JSON.stringify(record)) });
      credentials = token;
      return () => late.range({ key, serializable: true });
    });
    await admin.issuerRemove({ issuer });
  }
});
