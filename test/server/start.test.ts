import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { ServerConfig } from "../../src/config/mod.ts";
import { CofferError, type ErrorCode } from "../../src/errors.ts";
import { createAuthority } from "../../src/pki/mod.ts";
import { startMember } from "../../src/server/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { type World, bytes, startWorld, worldConfig } from "../edge/world.ts";

/** What a member does with the folder, keys and files that it is started on. */

let world: World;

before(async () => {
  world = await startWorld();
});

after(() => world[Symbol.asyncDispose]());

/** That a member with `changes` does not start: the code, and what the message must hold. */
async function assertNoStart(
  config: ServerConfig,
  changes: Partial<ServerConfig>,
  expected: { readonly code?: ErrorCode; readonly message: RegExp },
): Promise<void> {
  const fatals: unknown[] = [];
  const host = {
    version: "0.0.0",
    log: silentLogger,
    onFatal: (e: unknown) => void fatals.push(e),
  };
  const timers = timersAlive();
  const error: unknown = await startMember({ ...config, ...changes }, host).then(
    async (member) => {
      await member.stop();
      assert.fail("it started");
    },
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof CofferError, String(error));
  assert.equal(error.code, expected.code ?? "invalid-argument");
  assert.match(error.message, expected.message);
  assert.ok(timersAlive() <= timers, "something goes on after a start that failed");
  assert.deepEqual(fatals, []);
}

/** Timers that keep this process going, and servers. */
function timersAlive(): number {
  const kinds = ["Timeout", "TCPServerWrap"];
  return process.getActiveResourcesInfo().filter((kind) => kinds.includes(kind)).length;
}

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

const ignore = (): void => undefined;

/** A configuration on a folder that has never been served. */
function freshConfig(context: TestContext): ServerConfig {
  const folder = mkdtempSync(join(tmpdir(), "coffer-start-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return worldConfig(folder, createAuthority({ commonName: "test authority" }));
}

test("files of a new member are for its user alone", () => {
  const { dataDir, rootKeyFile } = world;
  for (const name of ["", "audit"]) assert.equal(modeOf(join(dataDir, name)), "700", name);
  for (const name of ["member.json", "raft.db", "state.db"]) {
    assert.equal(modeOf(join(dataDir, name)), "600", name);
  }
  assert.equal(modeOf(rootKeyFile), "600");
});

test("a second start finds its data, at the same revision, and knows its tokens", async () => {
  const put = await world.admin.put({ key: bytes("/k"), value: bytes("kept") });
  const { ID } = await world.admin.leaseGrant({ TTL: 600n });
  await world.grant(["p", "user:kept", "/k", "read", "allow"]);
  const token = await world.token("user:kept");
  const members = (await world.admin.memberList()).members.map(({ ID: id, name }) => [id, name]);
  await world.restart();
  const { header, kvs } = await world.admin.range({ key: bytes("/k") });
  assert.equal(header?.revision, put.header?.revision);
  assert.equal(header?.clusterId, put.header?.clusterId);
  assert.equal(Buffer.from(kvs[0]?.value ?? []).toString(), "kept");
  assert.deepEqual(
    (await world.admin.leaseLeases()).leases.map((lease) => lease.ID),
    [ID],
  );
  const now = (await world.admin.memberList()).members.map(({ ID: id, name }) => [id, name]);
  assert.deepEqual(now, members);
  const client = world.connect({ token });
  assert.equal((await client.range({ key: bytes("/k") })).kvs.length, 1);
});

test("a key that is not the certificate's, and files that hold neither, are named", async (context) => {
  const config = freshConfig(context);
  const { tlsCert = "", tlsKey = "" } = config;
  const code = "invalid-argument";
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const other = join(config.dataDir, "..", "other.key");
  writeFileSync(other, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  const mismatch = /--tls-key \S+other\.key is not the key of the certificate in --tls-cert \S+/;
  await assertNoStart(config, { tlsKey: other }, { code, message: mismatch });
  const noKey = /--tls-key \S+ holds no private key/;
  await assertNoStart(config, { tlsKey: tlsCert }, { code, message: noKey });
  const noCertificate = /--tls-cert \S+ holds no certificate/;
  await assertNoStart(config, { tlsCert: tlsKey }, { code, message: noCertificate });
  assert.ok(!existsSync(config.dataDir), "nothing was made");
});

test("two members on one folder, in one process and in two", async () => {
  const refused = /the data folder ".*m1" is in use by process \d+, stop it first/;
  await assertNoStart(world.config, {}, { code: "storage-failed", message: refused });
  const { config } = world;
  const flags = {
    name: config.name,
    "data-dir": config.dataDir,
    "listen-client-urls": "https://127.0.0.1:1",
    "tls-cert": config.tlsCert,
    "tls-key": config.tlsKey,
    "client-ca": config.clientCa,
    "root-key-file": config.rootKeyFile,
  };
  const main = fileURLToPath(new URL("../../src/main.js", import.meta.url));
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value ?? ""]);
  const child = spawn(process.execPath, [main, "server", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let told = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => (told += chunk));
  }
  const [code] = (await once(child, "close")) as [number | null];
  assert.notEqual(code, 0);
  assert.match(told, refused);
  assert.ok(told.includes(`process ${process.pid}`));
  // The one that was there goes on.
  await world.admin.put({ key: bytes("/two"), value: bytes("served") });
});

test("another cluster's token, another member's name", async () => {
  await world.stop();
  await assertNoStart(
    world.config,
    { clusterToken: "another" },
    { message: /belongs to another cluster; give the --cluster-token/ },
  );
  await assertNoStart(
    world.config,
    { name: "m2", initialCluster: ["m2"] },
    { message: /is the data of member 'm1', not of 'm2'/ },
  );
  await world.restart();
  assert.equal((await world.admin.range({ key: bytes("/two") })).kvs.length, 1);
});

test("a root key file that is missing or readable by others, with data there", async () => {
  await world.stop();
  const kept = `${world.rootKeyFile}.kept`;
  renameSync(world.rootKeyFile, kept);
  const message = /root\.key' is not there, and .* holds data .*; restore the file from its backup/;
  await assertNoStart(world.config, {}, { code: "sealed", message });
  assert.ok(!existsSync(world.rootKeyFile), "a new root key was made beside old data");
  renameSync(kept, world.rootKeyFile);
  chmodSync(world.rootKeyFile, 0o644);
  await assertNoStart(world.config, {}, { code: "sealed", message: /chmod 600/ });
  chmodSync(world.rootKeyFile, 0o600);
  await world.restart();
});

test("a start that fails late leaves the folder as it was, and nothing running", async (context) => {
  const taken = createServer();
  context.after(() => taken.close());
  taken.listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  await world.stop();
  const listenClientUrls = world.config.listenClientUrls.map((one) => ({ ...one, port }));
  const message = /cannot listen on 127\.0\.0\.1:\d+: EADDRINUSE; stop the process/;
  await assertNoStart(world.config, { listenClientUrls }, { message });
  await world.restart();
  assert.equal((await world.admin.range({ key: bytes("/two") })).kvs.length, 1);
});

test("files that the options name: each error says which", async (context) => {
  const config = freshConfig(context);
  const none = join(config.dataDir, "none");
  await assertNoStart(config, { tlsCert: none }, { message: /--tls-cert .*none.*ENOENT/ });
  await assertNoStart(config, { clientCa: none }, { message: /--client-ca .*none.*ENOENT/ });
  await assertNoStart(config, { clientCrl: none }, { message: /--client-crl .*none.*ENOENT/ });
  const issuersFile = join(config.dataDir, "..", "issuers.json");
  const issuers: readonly (readonly [string, RegExp])[] = [
    ["{", /--issuers-file .* cannot be read as JSON/],
    ["{}", /--issuers-file .* is not a JSON array/],
    ['[{"version": 1}]', /--issuers-file .* record 1: /],
  ];
  for (const [text, message] of issuers) {
    writeFileSync(issuersFile, text);
    await assertNoStart(config, { issuersFile }, { message });
  }
});

test("a data folder that cannot be made is refused at once, by name", async (context) => {
  const config = freshConfig(context);
  const message = /cannot make the folder '\/proc\/x' in '\/proc': ENOENT; name a writable place/;
  await assertNoStart(config, { dataDir: "/proc/x/data" }, { message });
});

test("a member of several makes no root key of its own", async (context) => {
  const config = freshConfig(context);
  const message = /root\.key' is not there, and all members of a cluster have the same one/;
  const initialCluster = ["m1", "m2", "m3"];
  await assertNoStart(config, { initialCluster }, { code: "sealed", message });
  const joins = { initialClusterState: "existing", initialCluster: ["m2"] } as const;
  await assertNoStart(config, joins, { code: "sealed", message });
  assert.equal(existsSync(config.rootKeyFile), false);
});

test("a member file that cannot be read, or of a later form", async (context) => {
  const config = freshConfig(context);
  const first = { version: "0.0.0", log: silentLogger, onFatal: ignore };
  await (await startMember(config, first)).stop();
  const path = join(config.dataDir, "member.json");
  const text = readFileSync(path, "utf8");
  writeFileSync(path, "{");
  await assertNoStart(config, {}, { message: /member\.json cannot be read as JSON; restore it/ });
  writeFileSync(path, text.replace('"version":1', '"version":9'));
  await assertNoStart(config, {}, { message: /has form 9, this version of coffer reads form 1/ });
  writeFileSync(path, text);
  await (await startMember(config, first)).stop();
});

test("stop may be called again, and while it is under way", async (context) => {
  const config = freshConfig(context);
  const host = { version: "0.0.0", log: silentLogger, onFatal: ignore };
  const member = await startMember(config, host);
  await Promise.all([member.stop(), member.stop()]);
  await member.stop();
});
