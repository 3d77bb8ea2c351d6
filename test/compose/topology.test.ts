import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join, posix } from "node:path";
import { after, before, test } from "node:test";
import { ClusterProcess, type MemberOptions } from "../e2e/cluster-process.ts";
import { assertNatsHealthy } from "../transport/nats-health.ts";
import { type Service, membersOf, natsOf, optionsOf, readCompose } from "./compose-file.ts";

/**
 * What docker-compose.yml describes, run as plain processes: the same options, with hosts, ports and
 * paths of this machine in place of the containers'.
 */

const file = readCompose();
const members = membersOf(file);
const nats = natsOf(file);
let cluster: ClusterProcess;

before(async () => {
  cluster = await ClusterProcess.start({
    members: [...members.keys()],
    joiners: [],
    nats: [...nats.keys()],
    clusterToken: "coffer",
    optionsOf: (name, own) => hereOptions(serviceOf(name), own),
  });
});
after(() => cluster[Symbol.asyncDispose]());

function serviceOf(name: string): Service {
  return file.services[name] ?? assert.fail(`no service ${name}`);
}

/** The options of the file, each value as it is on this machine. */
function hereOptions(service: Service, own: MemberOptions): MemberOptions {
  const here = (option: string, value: string): string => {
    if (value.startsWith("/certs/")) {
      const path = own[option] ?? "";
      assert.equal(posix.basename(path), posix.basename(value), option);
      return path;
    }
    if (/^(?:data-dir|listen-client-urls|advertise-client-urls|nats-urls)$/.test(option)) {
      return own[option === "advertise-client-urls" ? "listen-client-urls" : option] ?? "";
    }
    return value;
  };
  const options = Object.entries(optionsOf(service));
  return Object.fromEntries(options.map(([option, value]) => [option, here(option, value)]));
}

const key = Buffer.from("/compose/greeting");

async function put(member: string, value: string): Promise<void> {
  await using client = cluster.client(member);
  await client.put({ key, value: Buffer.from(value) });
}

async function get(member: string): Promise<string> {
  await using client = cluster.client(member);
  const { kvs } = await client.range({ key });
  return Buffer.from(kvs[0]?.value ?? []).toString();
}

/** The exit code of a health check's command, its paths and ports those of this machine. */
function health(name: string): number | null {
  const service = serviceOf(name);
  const [kind, , ...args] = service.healthcheck.test;
  assert.equal(kind, "CMD");
  const { endpoint } = cluster.member(name);
  const certs = join(cluster.folder, "pki", name);
  const here = args.map((arg) =>
    arg.replace("https://localhost:2379", endpoint).replace("/certs/", `${certs}/`),
  );
  assert.notDeepEqual(here, args);
  return spawnSync(process.execPath, here, { timeout: 10_000 }).status;
}

test("what one member took, another gives", async () => {
  const [first = "", second = "", third = ""] = members.keys();
  await put(first, "hello");
  assert.equal(await get(third), "hello");
  await put(third, "again");
  assert.equal(await get(second), "again");
});

test("the health checks of members tell the truth", async () => {
  const [first = "", second = ""] = members.keys();
  assert.equal(health(first), 0);
  await cluster.member(second).kill();
  assert.equal(health(second), 1);
  await cluster.member(second).start();
  assert.equal(health(second), 0);
});

test("the health checks of NATS servers ask what they answer", async () => {
  for (const server of cluster.nats) {
    const { test: command, retries } = serviceOf(server.name).healthcheck;
    const { pathname } = new URL(command.at(-1) ?? "");
    await assertNatsHealthy(`http://127.0.0.1:${server.monitorPort}${pathname}`, retries);
  }
});

for (const name of nats.keys()) {
  test(`it goes on without NATS server ${name}`, async () => {
    const server = cluster.nats.find((one) => one.name === name) ?? assert.fail(name);
    await server.kill();
    const [first = "", second = "", third = ""] = members.keys();
    await put(second, `without ${name}`);
    assert.equal(await get(first), `without ${name}`);
    assert.equal(await get(third), `without ${name}`);
    await server.start();
  });
}

test("it goes on without one member, which catches up when it is back", async () => {
  const [first = "", second = "", third = ""] = members.keys();
  await cluster.member(first).kill();
  await put(second, "two are enough");
  assert.equal(await get(third), "two are enough");
  await cluster.member(first).start();
  assert.equal(await get(first), "two are enough");
});

test("a stop of any member is clean", async () => {
  for (const member of cluster.members) assert.equal(await member.stop(), 0, cluster.tails());
});
