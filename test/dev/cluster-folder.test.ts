import assert from "node:assert/strict";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { type Socket, connect as connectTo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { type ClusterOrder, type InitOutcome, initCluster } from "../../src/dev/mod.ts";
import { inspectCertificate } from "../../src/pki/mod.ts";
import { ClusterProcess } from "../e2e/cluster-process.ts";

type Wish = Partial<ClusterOrder>;

/** `coffer pki init` in a new folder, again and again. */
function initIn(context: TestContext): {
  readonly folder: string;
  readonly init: (wish?: Wish) => InitOutcome;
  readonly read: (path: string) => string;
} {
  const parent = mkdtempSync(join(tmpdir(), "coffer-init-"));
  context.after(() => rmSync(parent, { recursive: true, force: true }));
  const folder = join(parent, "certs");
  const nothing = { members: undefined, nats: undefined, hosts: undefined };
  return {
    folder,
    init: (wish = {}) =>
      initCluster({ folder, ...nothing, clusterToken: undefined, force: false, ...wish }),
    read: (path) => readFileSync(join(folder, path), "utf8"),
  };
}

function changed(outcome: InitOutcome): readonly string[] {
  return outcome.files
    .filter((file) => file.outcome !== "kept")
    .map((file) => `${file.outcome} ${file.path}`);
}

test("a place that takes no folders is refused at once, by name", (context) => {
  const { folder, init } = initIn(context);
  const file = `${folder}-file`;
  writeFileSync(file, "");
  // Node's recursive mkdir never comes back from /proc.
  for (const out of ["/proc/x", "/proc/x/y", join(file, "x"), file]) {
    assert.throws(() => init({ folder: out }), {
      code: "invalid-argument",
      message: /cannot make the folder '[^']+' in '[^']+': (ENOENT|ENOTDIR|EEXIST|EACCES|EPERM)/,
    });
  }
});

test("a folder for each machine holds all that it needs, and no authority's key", (context) => {
  const { folder, init, read } = initIn(context);
  const { members, nats } = init();
  assert.deepEqual(
    [members, nats],
    [
      ["m1", "m2", "m3"],
      ["n1", "n2", "n3"],
    ],
  );
  for (const name of members) {
    assert.deepEqual(readdirSync(join(folder, name)).toSorted(), [
      "ca.crt",
      "nats-ca.crt",
      "nats.crt",
      "nats.key",
      "root.key",
      "server.crt",
      "server.key",
    ]);
    assert.equal(read(`${name}/root.key`), read("root.key"));
  }
  for (const name of nats) {
    const files = ["nats-ca.crt", "nats.conf", "server.crt", "server.key"];
    assert.deepEqual(readdirSync(join(folder, name)).toSorted(), files);
  }
  const all = readdirSync(folder, { recursive: true, encoding: "utf8" });
  for (const key of all.filter((path) => path.endsWith(".key"))) {
    assert.equal(statSync(join(folder, key)).mode & 0o777, 0o600, key);
  }
});

test("certificates for clients and for NATS are of different authorities", (context) => {
  const { init, read } = initIn(context);
  init();
  const issuerOf = (path: string): string => inspectCertificate(read(path)).issuer;
  assert.notEqual(read("ca.crt"), read("nats-ca.crt"));
  for (const path of ["admin.crt", "m1/server.crt"])
    assert.match(issuerOf(path), /=coffer authority/);
  for (const path of ["m1/nats.crt", "n1/server.crt"])
    assert.match(issuerOf(path), /NATS authority/);
  assert.deepEqual(inspectCertificate(read("m1/server.crt")).usages, ["server"]);
  assert.deepEqual(inspectCertificate(read("m1/nats.crt")).usages, ["client"]);
});

test("again: nothing changes; with a new member: its files, its place on NATS, and no more", (context) => {
  const { init, read } = initIn(context);
  init({ hosts: { m1: ["10.0.0.5", "m1.example.com"], n1: ["nats.example.com"] } });
  const { dns, ips } = inspectCertificate(read("m1/server.crt"));
  assert.deepEqual(dns, ["m1", "localhost", "m1.example.com"]);
  assert.deepEqual(ips, ["127.0.0.1", "::1", "10.0.0.5"]);
  assert.match(read("n2/nats.conf"), /"tls:\/\/nats\.example\.com:6222"/);
  assert.deepEqual(changed(init()), []);
  assert.deepEqual(changed(init({ members: ["m1", "m2", "m3", "m4"] })), [
    "made m4/server.crt",
    "made m4/ca.crt",
    "made m4/nats.crt",
    "made m4/nats-ca.crt",
    "made m4/root.key",
    "renewed n1/nats.conf",
    "renewed n2/nats.conf",
    "renewed n3/nats.conf",
  ]);
  assert.match(read("n1/nats.conf"), /m4\.members\.coffer/);
  assert.deepEqual(changed(init()), [], "it remembers what it was told");
});

test("hosts are remembered for each name", (context) => {
  const { init, read } = initIn(context);
  init({ hosts: { m1: ["10.0.0.5"], m2: ["10.0.0.6"] } });
  const wish = { members: ["m1", "m2", "m3", "m4"], hosts: { m2: ["10.0.0.7"], m4: ["10.0.0.8"] } };
  assert.deepEqual(changed(init(wish)).slice(0, 2), [
    "renewed m2/server.crt",
    "made m4/server.crt",
  ]);
  const addressOf = (name: string): string | undefined =>
    inspectCertificate(read(`${name}/server.crt`)).ips.at(-1);
  assert.deepEqual(["m1", "m2", "m4"].map(addressOf), ["10.0.0.5", "10.0.0.7", "10.0.0.8"]);
  init({ members: ["m2", "m3", "m4"] });
});

test("what it has not made is not overwritten, and no root key ever", (context) => {
  const { folder, init, read } = initIn(context);
  init();
  const path = (name: string): string => join(folder, name);
  appendFileSync(path("n1/nats.conf"), "debug: true\n");
  assert.deepEqual(changed(init()), ["edited n1/nats.conf"]);
  assert.match(read("n1/nats.conf"), /debug: true/);
  writeFileSync(path("m1/nats.crt"), "mine");
  assert.throws(() => init(), /m1\/nats\.crt' holds no certificate; .*--force/);
  const [authority, rootKey] = [read("ca.crt"), read("root.key")];
  const forced = changed(init({ force: true }));
  assert.ok(forced.includes("made m1/nats.crt") && forced.includes("renewed n1/nats.conf"));
  assert.ok(!forced.some((line) => /root\.key|ca\.crt/.test(line)), forced.join("\n"));
  assert.deepEqual([read("ca.crt"), read("root.key")], [authority, rootKey]);
  writeFileSync(path("m2/root.key"), "another");
  assert.throws(() => init({ force: true }), /is another key than/);
  writeFileSync(path("m2/root.key"), rootKey);
  rmSync(path("root.key"));
  assert.throws(() => init({ force: true }), /root\.key' is missing; copy/);
  assert.ok(!existsSync(path("root.key")));
});

test("a plan that cannot be is refused, and nothing is made", (context) => {
  const { folder, init } = initIn(context);
  const bad: readonly (readonly [Wish, RegExp])[] = [
    [{ members: ["m1", "m1"] }, /'m1' is named twice/],
    [{ members: ["m1", "m2"], nats: ["m1"] }, /'m1' is named twice/],
    [{ members: ["M1"] }, /name 'M1' is not made of/],
    [{ members: ["../m1"] }, /is not made of/],
    [{ hosts: { m9: ["10.0.0.5"] } }, /a host is given for 'm9'/],
    [{ nats: [] }, /several members need a NATS server/],
    [{ hosts: { m1: ["two words"] } }, /is not a DNS name/],
  ];
  for (const [wish, message] of bad.slice(0, -1)) {
    assert.throws(() => init(wish), message);
    assert.ok(!existsSync(folder), message.source);
  }
  const [wish, message] = bad.at(-1) ?? assert.fail();
  assert.throws(() => init(wish), message);
  init();
  assert.throws(() => init({ clusterToken: "other" }), /was made with --cluster-token coffer/);
});

test("a cluster of one needs no NATS", (context) => {
  const { init, folder } = initIn(context);
  const { nats } = init({ members: ["solo"] });
  assert.deepEqual(nats, []);
  assert.ok(!existsSync(join(folder, "nats-ca.crt")));
});

/** What nats-server answers to whoever shows this certificate: PONG, or the end of the connection. */
async function knock(
  port: number,
  tls: { readonly ca: string; readonly cert: string; readonly key: string },
): Promise<string> {
  const read = (path: string): string => readFileSync(path, "utf8");
  const plain: Socket = connectTo(port, "127.0.0.1");
  await once(plain, "data"); // INFO, which NATS sends before TLS begins.
  const socket = connectTls({
    socket: plain,
    servername: "localhost",
    ca: read(tls.ca),
    cert: read(tls.cert),
    key: read(tls.key),
  });
  socket.on("secureConnect", () => {
    socket.write('CONNECT {"verbose":false,"tls_required":true}\r\nPING\r\n');
  });
  let heard = "";
  socket.on("error", (error) => (heard += error.message));
  socket.setEncoding("latin1").on("data", (text: string) => {
    heard += text;
    if (/PONG|-ERR/.test(heard)) socket.destroy();
  });
  await new Promise((resolve) => socket.once("close", resolve));
  return heard;
}

test("on NATS a member is known, and a tenant's client or a NATS server is nobody", async () => {
  await using cluster = await ClusterProcess.make({ joiners: [] });
  const [server] = cluster.nats;
  assert.ok(server !== undefined);
  await server.start();
  const pki = (name: string): string => join(cluster.folder, "pki", name);
  const ca = pki("nats-ca.crt");
  const pair = (stem: string): { readonly cert: string; readonly key: string } => ({
    cert: pki(`${stem}.crt`),
    key: pki(`${stem}.key`),
  });
  const { port } = server.address;
  assert.match(await knock(port, { ca, ...pair("m1/nats") }), /PONG/);
  assert.doesNotMatch(await knock(port, { ca, ...pair("admin") }), /PONG/);
  assert.doesNotMatch(await knock(port, { ca, ...pair("m1/server") }), /PONG/);
  assert.match(await knock(port, { ca, ...pair("n2/server") }), /Authorization Violation/);
});
