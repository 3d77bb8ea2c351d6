import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { type TestServer, ca, startServer } from "./harness.ts";

/** Debian's etcdctl as the judge of the wire. It must be installed: `apt-get install etcd-client`. */

const run = promisify(execFile);
let server: TestServer;
let folder: string;

before(async () => {
  server = await startServer();
  folder = mkdtempSync(join(tmpdir(), "coffer-etcdctl-"));
  writeFileSync(join(folder, "ca.pem"), ca.pem);
});
after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await server[Symbol.asyncDispose]();
});

const env = { ...process.env, ETCDCTL_API: "3" };

function connectionFlags(): readonly string[] {
  return [
    `--endpoints=https://127.0.0.1:${String(server.port)}`,
    `--cacert=${join(folder, "ca.pem")}`,
  ];
}

async function etcdctl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run("etcdctl", [...connectionFlags(), ...args], { env });
  return stdout;
}

test("put, get, del, and an error's text", async () => {
  assert.equal(await etcdctl("put", "greeting", "hello"), "OK\n");
  assert.equal(await etcdctl("get", "greeting"), "greeting\nhello\n");
  const json = JSON.parse(await etcdctl("get", "greeting", "-w", "json")) as {
    readonly header: { readonly revision: number };
    readonly kvs: readonly { readonly version: number }[];
  };
  assert.equal(json.header.revision, 2);
  assert.equal(json.kvs[0]?.version, 1);
  assert.equal(await etcdctl("del", "greeting"), "1\n");
  await assert.rejects(etcdctl("put", "", "x"), /etcdserver: key is not provided/);
});

test("lease, status, members, health", async () => {
  assert.match(await etcdctl("lease", "grant", "30"), /granted with TTL\(30s\)/);
  assert.match(await etcdctl("lease", "timetolive", "694d8e9e05c50001"), /remaining\(29s\)/);
  assert.match(await etcdctl("lease", "timetolive", "1234"), /already expired/);
  assert.match(await etcdctl("endpoint", "status"), /8e9e05c52164694d, 3\.6\.14, 20 kB, true/);
  assert.match(await etcdctl("member", "list"), /started, m1, nats:\/\/m1/);
  await etcdctl("endpoint", "health");
  await assert.rejects(etcdctl("user", "list"), /unknown service etcdserverpb.Auth/);
});

test("watch prints what a put makes", async () => {
  const created = new Promise<void>((resolve) => {
    server.edge.onWatch = resolve;
  });
  const child = spawn("etcdctl", [...connectionFlags(), "watch", "live"], { env });
  child.stdout.setEncoding("utf8");
  const printed = new Promise<string>((resolve) => {
    let text = "";
    child.stdout.on("data", (chunk: string) => {
      text += chunk;
      if (text.endsWith("v1\n")) resolve(text);
    });
  });
  await created;
  await etcdctl("put", "live", "v1");
  assert.equal(await printed, "PUT\nlive\nv1\n");
  child.kill();
  await once(child, "exit");
});
