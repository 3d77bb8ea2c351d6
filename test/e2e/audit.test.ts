import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
} from "node:fs";
import { writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { verifyFolder } from "../../src/audit/mod.ts";
import type { Client } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { MemberFolder } from "./member-process.ts";

/** The audit log of a real process: on a full disk, under kill -9, and in the hands of a tenant. */

const MAIN = fileURLToPath(new URL("../../src/main.js", import.meta.url));
const bytes = (value: string): Buffer => Buffer.from(value);

interface Line {
  readonly action: string;
  readonly outcome: string;
  readonly revision: number;
  readonly key: string;
  readonly reason: string;
}

function linesOf(folder: MemberFolder): readonly Line[] {
  const path = join(folder.data, "audit");
  return readdirSync(path)
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .flatMap((name) => readFileSync(join(path, name), "latin1").split("\n"))
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
}

async function get(folder: MemberFolder, path: string): Promise<readonly [number, string]> {
  const request = httpsRequest(`${folder.endpoint}${path}`, { ...folder.credentials });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return [response.statusCode ?? 0, await text(response)];
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof CofferError ? error.code : String(error);
}

/** Requests are refused, health and metrics say why, and nothing was written. */
async function assertBlocked(folder: MemberFolder, client: Client): Promise<void> {
  const key = bytes("/blocked");
  assert.equal(await codeOf(client.put({ key, value: bytes("x") })), "audit-blocked");
  assert.equal(await codeOf(client.range({ key })), "audit-blocked");
  assert.equal(await codeOf(client.deleteRange({ key })), "audit-blocked");
  const [status, body] = await get(folder, "/readyz");
  assert.equal(status, 503);
  assert.match(body, /audit-blocked/);
  assert.match((await get(folder, "/metrics"))[1], /^coffer_audit_blocked 1$/m);
}

async function assertServes(folder: MemberFolder, client: Client): Promise<void> {
  const key = bytes("/served");
  await client.put({ key, value: bytes("x") });
  assert.equal((await client.range({ key })).kvs.length, 1);
  assert.deepEqual(await get(folder, "/readyz"), [200, "ok\n"]);
  assert.match((await get(folder, "/metrics"))[1], /^coffer_audit_blocked 0$/m);
}

/** A file system of its own on a folder, which takes the right to mount. */
class SmallDisk implements Disposable {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const options = ["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", folder];
    const { status, stderr } = spawnSync("mount", options);
    const why = "This test fills a disk, for which it mounts a tmpfs: run it as root.";
    assert.equal(status, 0, `${why} ${String(stderr)}`);
  }

  [Symbol.dispose](): void {
    spawnSync("umount", ["-l", this.#folder]);
  }
}

/** Takes what is left, to the last byte. */
function fill(folder: string, ballast: string): void {
  const { bavail, bsize } = statfsSync(folder);
  for (let bytesLeft = (bavail + 1) * bsize; bytesLeft > 0; bytesLeft -= bsize) {
    try {
      writeFileSync(ballast, Buffer.alloc(bytesLeft));
      return;
    } catch {
      // A page less, then.
    }
  }
}

test("refusal 62: a full disk under the audit log stops requests, and room starts them again", async () => {
  using folder = await MemberFolder.make();
  const audit = join(folder.data, "audit");
  using _disk = new SmallDisk(audit);
  await using member = await folder.start();
  await using client = folder.client();
  await assertServes(folder, client);
  const before = await client.range({ key: bytes("/blocked") });
  const ballast = join(audit, "ballast");
  fill(audit, ballast);
  // The file's last page may have room for a few records.
  while ((await codeOf(client.range({ key: bytes("/x") }))) !== "audit-blocked");
  await assertBlocked(folder, client);
  rmSync(ballast);
  await assertServes(folder, client);
  const { kvs, header } = await client.range({ key: bytes("/blocked") });
  assert.deepEqual([kvs.length, before.kvs.length], [0, 0]);
  // Of the requests while it was full, none took effect.
  assert.equal(header?.revision, (before.header?.revision ?? 0n) + 1n);
  const verdict = await verifyFolder(audit);
  assert.equal(verdict.ok, true, JSON.stringify(verdict.firstBad));
  assert.equal(await member.stop(), 0);
});

test("refusal 62: the audit folder gone stops requests; the file deleted or replaced is told of, and named", async () => {
  using folder = await MemberFolder.make();
  await using member = await folder.start();
  await using client = folder.client();
  const audit = join(folder.data, "audit");
  await assertServes(folder, client);
  renameSync(audit, `${audit}.away`);
  await assertBlocked(folder, client);
  renameSync(`${audit}.away`, audit);
  await assertServes(folder, client);
  const file = (): string => join(audit, filesOf(audit).at(-1) ?? "");
  rmSync(file());
  await assertServes(folder, client);
  const told = (): number =>
    member.output.match(/audit file was deleted, replaced or changed/g)?.length ?? 0;
  let before = told();
  assert.ok(before > 0);
  const { firstBad } = await verifyFolder(audit);
  assert.match(firstBad?.reason ?? "", /records \d+ to \d+ before it are missing/);
  // Another file under its name: one that is shorter, and one of the same lines but for a subject.
  for (const change of [
    (text: string) => text.slice(0, text.indexOf("\n") + 1),
    (text: string) => text.replace("cert:admin", "cert:mallo"),
  ]) {
    const path = file();
    const text = readFileSync(path, "latin1");
    renameSync(path, `${path}.away`);
    writeFileSync(path, change(text), { mode: 0o600 });
    const { length } = filesOf(audit);
    await assertServes(folder, client);
    assert.equal(told(), ++before);
    assert.equal(filesOf(audit).length, length + 1, "it wrote on into the strange file");
    assert.equal((await verifyFolder(audit)).ok, false);
  }
  assert.equal(await member.stop(), 0);
});

function filesOf(audit: string): readonly string[] {
  return readdirSync(audit)
    .filter((one) => one.endsWith(".jsonl"))
    .toSorted();
}

test("refusal 62: after kill -9 every write that is in the history has its record", async () => {
  using folder = await MemberFolder.make();
  for (let round = 0; round < 3; round++) {
    await using member = await folder.start();
    await using client = folder.client();
    let puts = 0;
    const put = async (): Promise<void> => {
      for (;;) {
        await client.put({ key: bytes(`/k/${puts % 50}`), value: bytes("v") });
        if (++puts === 300 * (round + 1)) void member.kill();
      }
    };
    await Promise.allSettled(Array.from({ length: 50 }, put));
    await member.gone;
  }
  await using member = await folder.start();
  await using client = folder.client();
  const { header } = await client.range({ key: bytes("/k/0") });
  const lines = linesOf(folder).filter(({ action }) => action === "put");
  const recorded = new Set(lines.map(({ revision }) => revision));
  const last = Number(header?.revision);
  assert.ok(last > 1800);
  for (let at = 2; at <= last; at++) assert.ok(recorded.has(at), `Revision ${at} has no record`);
  const verdict = await verifyFolder(join(folder.data, "audit"));
  assert.equal(verdict.ok, true, JSON.stringify(verdict.firstBad));
  assert.equal(await member.stop(), 0);
});

function coffer(
  folder: MemberFolder,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const env = { ...folder.environment(), ...more };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

test("refusal 65: a tenant exports its trail, and whoever has the file proves it without a server", async () => {
  using folder = await MemberFolder.make();
  const trail = join(folder.path, "trail.jsonl");
  const all = join(folder.path, "all.jsonl");
  {
    await using member = await folder.start();
    await using client = folder.client({ tenant: "system" });
    await client.tenantCreate({ name: "blue", owner: "user:blue" });
    const order = { subject: "user:blue", tenants: ["blue"], ttlSeconds: 600n };
    const { token } = await client.tokenIssue(order);
    const { ca } = folder.credentials;
    {
      const own = { ca, cert: undefined, key: undefined, token };
      await using blue = folder.client(own);
      for (let i = 0; i < 5; i++) await blue.put({ key: bytes(`/b/${i}`) });
      await using other = folder.client();
      await other.put({ key: bytes("/not-blue's") });
    }
    assert.equal(await member.stop(), 0);
    await using again = await folder.start();
    const asBlue = { COFFER_TOKEN: token, COFFER_CERT: "", COFFER_KEY: "" };
    const exported = await coffer(folder, ["audit", "export", "--out", trail], asBlue);
    assert.deepEqual([exported.code, exported.stderr], [0, ""]);
    const found = await coffer(folder, ["audit", "search", "--key-prefix", "/b/"], asBlue);
    assert.equal(found.stdout.match(/"action":"put"/g)?.length, 5);
    const system = ["--tenant", "system"];
    const wholeExport = ["audit", "export", ...system, "--out", all];
    const operator = await coffer(folder, wholeExport);
    assert.deepEqual([operator.code, operator.stderr], [0, ""]);
    const ofBlue = ["audit", "search", ...system, "--of-tenant", "blue", "--action", "put"];
    assert.equal((await coffer(folder, ofBlue)).stdout.match(/\/b\//g)?.length, 5);
    assert.equal(await again.stop(), 0);
  }
  const content = readFileSync(trail, "latin1");
  assert.equal(content.includes("not-blue"), false);
  assert.doesNotMatch(content, /"prevHash"/);
  const verify = (path: string): ReturnType<typeof coffer> =>
    coffer(folder, ["audit", "verify", path]);
  const good = await verify(trail);
  assert.equal(good.code, 0, good.stdout + good.stderr);
  assert.match(
    good.stdout,
    /^ok up to record \d+ \(checkpoint of .*Z\)\n\d+ later .*not yet signed/,
  );
  assert.match(good.stdout, /: member [0-9a-f]+, tenant [0-9a-f-]{36}: \d+ records, /);
  const [, keyId] =
    /checkpoints of the export itself, signed by ([0-9a-f]{32})/.exec(good.stdout) ?? [];
  assert.ok(keyId !== undefined, good.stdout);
  assert.equal((await verify(all)).code, 0, (await verify(all)).stdout);
  const required = await coffer(folder, ["audit", "verify", trail, "--require-checkpoint"]);
  assert.equal(required.code, 3, required.stdout);
  const young = ["audit", "verify", trail, "--require-checkpoint", "--allow-unsigned", "1h"];
  assert.equal((await coffer(folder, [...young, "--key-id", keyId])).code, 0);
  // By a key that came with the export, who wrote the one could have written the other.
  assert.equal((await coffer(folder, young)).code, 3);
  // Stopped, all of it is signed.
  const whole = ["audit", "verify", "--data-dir", folder.data, "--require-checkpoint"];
  const stopped = await coffer(folder, [...whole, "--key-id", keyId]);
  assert.equal(stopped.code, 0, stopped.stdout + stopped.stderr);
  assert.match(
    stopped.stdout,
    /^ok: all \d+ records are proven, up to record \d+ \(checkpoint of /,
  );
  const lines = content.split("\n");
  writeFileSync(trail, lines.toSpliced(2, 1).join("\n"));
  const bad = await verify(trail);
  assert.equal(bad.code, 1);
  assert.ok(bad.stdout.includes(`${trail}:3: `), bad.stdout);
  assert.ok(existsSync(all));
});
