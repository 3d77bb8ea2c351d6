import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Client, connect } from "../../src/client/mod.ts";
import { parseDevConfig } from "../../src/config/mod.ts";
import { type DevCluster, startDev } from "../../src/dev/mod.ts";
import { ensureDevPki } from "../../src/dev/dev-pki.ts";
import { CofferError } from "../../src/errors.ts";
import { createAuthority, savePem } from "../../src/pki/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { freePort } from "../bench/peers.ts";
import { MAIN } from "../e2e/member-process.ts";

const DAY_MS = 86_400_000;

function tempFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "coffer-dev-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

/** The variables that the env file exports. */
function envOf(folder: string): Readonly<Record<string, string>> {
  const lines = readFileSync(join(folder, "env"), "utf8").trim().split("\n");
  return Object.fromEntries(
    lines.map((line) => {
      const match = /^export ([A-Z_0-9]+)='([^']*)'$/.exec(line);
      assert.ok(match?.[1] !== undefined, line);
      return [match[1], match[2] ?? ""];
    }),
  );
}

interface Running {
  readonly cluster: DevCluster;
  readonly client: Client;
  readonly printed: readonly string[];
  stop(): Promise<void>;
}

async function runDev(
  context: TestContext,
  folder: string,
  flags: readonly string[] = [],
): Promise<Running> {
  const port = await freePort();
  const argv = ["--data-dir", folder, "--client-port", String(port), ...flags];
  const printed: string[] = [];
  const cluster = await startDev(parseDevConfig(argv), {
    version: "0.0.0",
    log: silentLogger,
    print: (line) => void printed.push(line),
    onFatal: (error) => assert.fail(String(error)),
    signal: new AbortController().signal,
    command: [process.execPath, MAIN],
    env: { PATH: process.env["PATH"] },
  });
  const env = envOf(folder);
  const read = (name: string): string => readFileSync(env[name] ?? "", "utf8");
  const client = connect({
    endpoints: [env["COFFER_ENDPOINTS"] ?? ""],
    ca: read("COFFER_CACERT"),
    cert: read("COFFER_CERT"),
    key: read("COFFER_KEY"),
    token: env["COFFER_TOKEN"],
  });
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= client.close().then(() => cluster.stop()));
  context.after(stop);
  return { cluster, client, printed, stop };
}

const key = Buffer.from("greeting");

test("a first start makes everything, for the user alone; a second finds the data", async (context) => {
  const folder = join(tempFolder(context), "data");
  const first = await runDev(context, folder);
  assert.equal(modeOf(folder), "700");
  assert.equal(modeOf(join(folder, "pki")), "700");
  for (const name of ["dev.json", "env", "root.key", "pki/ca.key", "pki/server.key"]) {
    assert.equal(modeOf(join(folder, name)), "600", name);
  }
  assert.equal(modeOf(join(folder, "pki/admin.key")), "600");
  assert.equal(modeOf(join(folder, "m1")), "700");
  assert.match(first.printed.join("\n"), /source .*env[\s\S]*ready https:\/\/127\.0\.0\.1:\d+$/);
  assert.ok(!first.printed.join("\n").includes(envOf(folder)["COFFER_TOKEN"] ?? ""));
  await first.client.put({ key, value: Buffer.from("hello") });
  assert.equal((await first.client.tenantList()).tenants[0]?.name, "default");
  await first.stop();

  const pki = readFileSync(join(folder, "pki/ca.crt"), "utf8");
  const second = await runDev(context, folder);
  const { kvs } = await second.client.range({ key });
  assert.equal(Buffer.from(kvs[0]?.value ?? []).toString(), "hello");
  assert.equal(readFileSync(join(folder, "pki/ca.crt"), "utf8"), pki);
  // By the certificate alone too, as etcdctl comes.
  const env = envOf(folder);
  const etcdctl = connect({
    endpoints: [env["ETCDCTL_ENDPOINTS"] ?? ""],
    ca: readFileSync(env["ETCDCTL_CACERT"] ?? "", "utf8"),
    cert: readFileSync(env["ETCDCTL_CERT"] ?? "", "utf8"),
    key: readFileSync(env["ETCDCTL_KEY"] ?? "", "utf8"),
  });
  assert.equal((await etcdctl.range({ key })).kvs.length, 1);
  await etcdctl.close();
});

test("--reset starts afresh: no data, another authority, another cluster", async (context) => {
  const folder = tempFolder(context);
  const first = await runDev(context, folder);
  const { header } = await first.client.put({ key });
  await first.stop();
  const kept = (name: string): string => readFileSync(join(folder, name), "utf8");
  const before = ["pki/ca.crt", "root.key", "dev.json"].map(kept);
  const second = await runDev(context, folder, ["--reset"]);
  const found = await second.client.range({ key });
  assert.deepEqual(found.kvs, []);
  assert.notEqual(found.header?.clusterId, header?.clusterId);
  const after = ["pki/ca.crt", "root.key", "dev.json"].map(kept);
  for (const [at, text] of after.entries()) assert.notEqual(text, before[at]);
});

test("a folder that is not its own is left alone, with --reset too", async (context) => {
  const folder = tempFolder(context);
  writeFileSync(join(folder, "thesis.txt"), "years of work");
  for (const flags of [[], ["--reset"]]) {
    await assert.rejects(runDev(context, folder, flags), (error) => {
      assert.ok(error instanceof CofferError && error.code === "invalid-argument");
      assert.match(error.message, /is not empty and was not made by coffer dev/);
      return true;
    });
    assert.deepEqual(readdirSync(folder), ["thesis.txt"]);
  }
});

test("a folder that cannot be made is refused at once, by name", async (context) => {
  const message = /cannot make the folder '\/proc\/x' in '\/proc': ENOENT; name a writable place/;
  await assert.rejects(runDev(context, "/proc/x/dev"), message);
});

test("a mark of another version is refused", async (context) => {
  const folder = tempFolder(context);
  writeFileSync(join(folder, "dev.json"), '{"version":9,"clusterToken":"x"}');
  await assert.rejects(runDev(context, folder), /start afresh with --reset/);
  writeFileSync(join(folder, "dev.json"), "{");
  await assert.rejects(runDev(context, folder), /start afresh with --reset/);
});

test("a folder of another number of members is refused, and made anew with --reset", async (context) => {
  const folder = tempFolder(context);
  const mark = join(folder, "dev.json");
  writeFileSync(mark, '{"version":2,"clusterToken":"x","members":3}');
  const message = /holds a cluster of 3 members, not of 1; give --members 3, name another/;
  await assert.rejects(runDev(context, folder), message);
  assert.deepEqual(readdirSync(folder), ["dev.json"]);
  await runDev(context, folder, ["--reset"]);
  assert.match(readFileSync(mark, "utf8"), /"members":1/);
});

test("the env file is replaced as a whole, and keeps its mode", async (context) => {
  const folder = tempFolder(context);
  const first = await runDev(context, folder);
  const { COFFER_TOKEN: token } = envOf(folder);
  await first.stop();
  writeFileSync(join(folder, "env"), "export OLD='x'\n", { mode: 0o644 });
  await runDev(context, folder);
  assert.equal(modeOf(join(folder, "env")), "600");
  const env = envOf(folder);
  assert.ok(!("OLD" in env));
  assert.notEqual(env["COFFER_TOKEN"], token);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith(".new")),
    [],
  );
});

const NAMES = ["ca.crt", "ca.key", "server.crt", "server.key", "admin.crt", "admin.key"];

function filesOf(folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(NAMES.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

/** That all pairs match and are signed by the authority that is there now. */
function assertSound(folder: string): void {
  const files = filesOf(folder);
  const ca = new X509Certificate(files["ca.crt"] ?? "");
  for (const name of ["server", "admin"]) {
    const leaf = new X509Certificate(files[`${name}.crt`] ?? "");
    assert.ok(leaf.verify(ca.publicKey), `${name} is of another authority`);
  }
  for (const name of NAMES)
    if (name.endsWith(".key")) assert.equal(modeOf(join(folder, name)), "600");
}

/** The files that a second run with `now` makes anew, after `damage`. */
function renewed(folder: string, damage: () => void, now: number = Date.now()): readonly string[] {
  ensureDevPki(folder, Date.now());
  const before = filesOf(folder);
  damage();
  ensureDevPki(folder, now);
  assertSound(folder);
  const after = filesOf(folder);
  const changed = NAMES.filter((name) => after[name] !== before[name]);
  const settled = filesOf(folder);
  if (now <= Date.now()) {
    ensureDevPki(folder, Date.now());
    assert.deepEqual(filesOf(folder), settled, "it does not settle");
  }
  return changed;
}

const LEAVES = NAMES.slice(2);

test("certificates are kept as long as they are good", (context) => {
  assert.deepEqual(
    renewed(tempFolder(context), () => undefined),
    [],
  );
});

test("leaves that end soon are made anew under the same authority", (context) => {
  const folder = tempFolder(context);
  assert.deepEqual(
    renewed(folder, () => undefined, Date.now() + 340 * DAY_MS),
    LEAVES,
  );
});

test("an authority that ends soon is made anew, and its leaves with it", (context) => {
  const folder = tempFolder(context);
  const damage = (): void => {
    const old = createAuthority({
      commonName: "coffer dev authority",
      notAfter: Date.now() + 10 * DAY_MS,
    });
    savePem(join(folder, "ca.crt"), old.certificate);
    savePem(
      join(folder, "ca.key"),
      old.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    );
  };
  assert.deepEqual(renewed(folder, damage), NAMES);
});

test("leaves of an earlier authority of the same name are made anew", (context) => {
  const folder = tempFolder(context);
  const other = tempFolder(context);
  ensureDevPki(other, Date.now());
  const damage = (): void => {
    for (const name of ["ca.crt", "ca.key"]) cpSync(join(other, name), join(folder, name));
  };
  assert.deepEqual(renewed(folder, damage), ["ca.crt", "ca.key", ...LEAVES]);
});

test("a crash between the two writes of a pair is mended", (context) => {
  for (const name of ["ca.key", "server.key", "admin.key"]) {
    const folder = tempFolder(context);
    const other = tempFolder(context);
    ensureDevPki(other, Date.now());
    // The key is written first: a new key beside the old certificate.
    const changed = renewed(folder, () => cpSync(join(other, name), join(folder, name)));
    const pair = [name.replace(".key", ".crt"), name];
    assert.deepEqual(changed, name === "ca.key" ? NAMES : pair);
  }
});

test("missing and unreadable files are made anew", (context) => {
  for (const name of NAMES) {
    for (const damage of [
      (path: string) => rmSync(path),
      (path: string) => writeFileSync(path, "garbage"),
    ]) {
      const folder = tempFolder(context);
      mkdirSync(folder, { recursive: true });
      const changed = renewed(folder, () => damage(join(folder, name)));
      const pair = NAMES.filter((one) => one.startsWith(name.slice(0, name.indexOf("."))));
      assert.deepEqual(changed, name.startsWith("ca.") ? NAMES : pair, name);
    }
  }
});
