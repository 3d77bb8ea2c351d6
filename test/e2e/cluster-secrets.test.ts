import assert from "node:assert/strict";
import {
  type FSWatcher,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  watch,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { type NatsConnection, connect } from "nats";
import { memberDnsName } from "../../src/transport/mod.ts";
import { filesBelow } from "../setup/files-below.ts";
import { ByteSearch } from "./byte-search.ts";
import { type ClusterMember, ClusterProcess } from "./cluster-process.ts";
import {
  KEY_PREFIX,
  addPrivateKeys,
  failWithSecrets,
  getPage,
  issueToken,
  useSecrets,
} from "./secret-requests.ts";

/**
 * Refusal 55 in a cluster: known plaintexts go through the leader and through a follower, and a third
 * member gets them by a snapshot. They are looked for in all that lies on disks and all that NATS
 * carries, as its operator sees it: within TLS.
 */

const SIZES: readonly number[] = [12, 300, 128 * 1024];
/** So many entries that the log is shortened, down to the 1000 that are kept for others. */
const ENTRIES = 1250;
/** Its certificate becomes the broker operator's: it may subscribe to everything. */
const SPY = "m5";
const WAIT_MS_MAX = 30_000;

interface Frame {
  readonly subject: string;
  readonly data: Buffer;
}

let cluster: ClusterProcess;
let nats: NatsConnection;
const frames: Frame[] = [];
const watchers: FSWatcher[] = [];

before(async () => {
  cluster = await ClusterProcess.make({
    nats: ["n1"],
    joiners: [SPY],
    flags: ["--snapshot-entries=50", "--log-level=debug"],
  });
  letSpyHearAll(join(cluster.folder, "pki", "n1", "nats.conf"));
  await cluster.nats[0]?.start();
  nats = await connectSpy();
  nats.subscribe(">", {
    callback: (_, { subject, data }) => void frames.push({ subject, data: Buffer.from(data) }),
  });
  await nats.flush();
});

after(async () => {
  for (const one of watchers) one.close();
  await nats.close();
  await cluster[Symbol.asyncDispose]();
});

function letSpyHearAll(path: string): void {
  const text = readFileSync(path, "utf8");
  const line =
    text.split("\n").find((one) => one.includes(memberDnsName(SPY))) ?? assert.fail(text);
  const all = line.replace(/subscribe: \{ allow: \[[^\]]*\] \}/, 'subscribe: { allow: [">"] }');
  assert.notEqual(all, line);
  writeFileSync(path, text.replace(line, all));
}

function connectSpy(): Promise<NatsConnection> {
  const file = (name: string): string => join(cluster.folder, "pki", SPY, name);
  const { host, port } = cluster.nats[0]?.address ?? assert.fail();
  const tls = {
    caFile: file("nats-ca.crt"),
    certFile: file("nats.crt"),
    keyFile: file("nats.key"),
  };
  return connect({ servers: `tls://${host}:${port}`, tls, reconnect: false });
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const end = Date.now() + WAIT_MS_MAX;
  while (!isTrue()) {
    if (Date.now() > end) assert.fail(`${what} did not happen:\n${cluster.tails()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Keeps a second name of each snapshot that lies in the member's folder, however short. */
function keepSnapshots({ name, data }: ClusterMember): void {
  const [folder, kept] = [join(data, "snapshots"), join(cluster.folder, "kept", name)];
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  mkdirSync(kept, { recursive: true });
  const one = watch(folder, (_, file) => {
    const path = join(folder, file ?? "");
    if (file === null || !existsSync(path)) return;
    try {
      linkSync(path, join(kept, `${file}.${statSync(path).ino}`));
    } catch {
      // Kept before, or gone between the question and now.
    }
  });
  watchers.push(one);
}

function bytesOf(subject: RegExp): number {
  return frames
    .filter((one) => subject.test(one.subject))
    .reduce((sum, { data }) => sum + data.length, 0);
}

test("refusal 55: known plaintexts are nowhere on NATS, in snapshots and on the disks of a cluster", async (context) => {
  const secrets = new ByteSearch();
  const replies: string[] = [];
  const [m1, m2, m3] = cluster.members;
  assert.ok(m1 !== undefined && m2 !== undefined && m3 !== undefined);
  const paths = filesBelow(join(cluster.folder, "pki")).filter((path) => path.endsWith(".key"));
  addPrivateKeys(secrets, paths);
  await Promise.all([m1.spawn().ready, m2.spawn().ready]);
  const tokens: string[] = [];
  for (const { name, endpoint } of [m1, m2]) {
    await using client = cluster.client(name, { timeoutMs: 20_000 });
    const token = await issueToken(client, secrets);
    tokens.push(token);
    const { credentials } = cluster;
    const { ca } = credentials;
    await using withToken = cluster.client(name, {
      ca,
      cert: undefined,
      key: undefined,
      token,
      timeoutMs: 20_000,
    });
    for (const size of SIZES) {
      await useSecrets(withToken, { search: secrets, size, under: name });
      replies.push(
        ...(await failWithSecrets({ endpoint, credentials }, { search: secrets, size, token })),
      );
    }
  }
  await using client = cluster.client("m1", { timeoutMs: 20_000 });
  for (let i = 0; i < ENTRIES; i++) {
    await client.put({ key: Buffer.from(`${KEY_PREFIX}/fill`), value: Buffer.from(`${i}`) });
  }
  // A restart forgets the entries that are in memory beside the log, so that the third needs a snapshot.
  await Promise.all([m1.stop(), m2.stop()]);
  for (const member of cluster.members) keepSnapshots(member);
  await Promise.all([m1.spawn().ready, m2.spawn().ready]);
  m3.spawn();
  await until("the install", () => m3.process?.tail.includes("Snapshot installed") === true);
  await m3.process?.ready;
  const pages = await Promise.all(
    cluster.members.map(({ endpoint }) =>
      getPage({ endpoint, credentials: cluster.credentials }, "/metrics"),
    ),
  );
  await using third = cluster.client("m3", { timeoutMs: 20_000 });
  const all = { key: Buffer.from(KEY_PREFIX), rangeEnd: Buffer.from(`${KEY_PREFIX}~`) };
  const { kvs } = await third.range({ ...all, serializable: true });
  assert.ok(
    kvs.some(({ value }) => value.length === SIZES.at(-1)),
    "the third has the plaintexts",
  );
  await nats.flush();
  assertNotOnNats(secrets, tokens);
  const kept = filesBelow(join(cluster.folder, "kept"));
  assert.ok(
    kept.some((path) => statSync(path).size > 2 ** 20),
    kept.join(" "),
  );
  const logs = filesBelow(join(cluster.folder, "logs"));
  assert.ok(logs.length === 4 && logs.every((path) => statSync(path).size > 0), logs.join(" "));
  const isOwn = (path: string): boolean => path.startsWith("pki/");
  assert.deepEqual(secrets.findInFolder(cluster.folder, isOwn), [], "while all run");
  const codes = await Promise.all(cluster.members.map((member) => member.stop()));
  assert.deepEqual(codes, [0, 0, 0]);
  assert.deepEqual(secrets.findInFolder(cluster.folder, isOwn), [], "after a clean stop");
  assert.deepEqual(secrets.find(pages.join("\n")), [], "in the metrics");
  assert.ok(replies.length > 40, "Too few requests failed");
  assert.deepEqual(secrets.find(replies.join("\n")), [], "in answers to failed requests");
  // What is searched is what the members wrote: keys are kept as they are, in snapshots too.
  const control = new ByteSearch();
  control.add("a key", Buffer.from(KEY_PREFIX));
  for (const folder of ["kept", "data/m1", "data/m2", "data/m3"]) {
    const found = control.findInFolder(join(cluster.folder, folder), () => false);
    assert.ok(found.length > 0, `no key is in ${folder}`);
  }
  const files = filesBelow(cluster.folder).filter((path) => !path.includes("/pki/"));
  context.diagnostic(
    `${secrets.size} needles, ${frames.length} frames, ${files.map((path) => basename(path)).join(" ")}`,
  );
});

/** Whoever runs the broker sees sealed frames: no value, no token, and no name either. */
function assertNotOnNats(secrets: ByteSearch, tokens: readonly string[]): void {
  // Each secret went to the other member, those of the follower to the leader before, all to the third.
  const sent = SIZES.reduce((sum, size) => sum + size, 0);
  assert.ok(bytesOf(/\.raft\.m[12]\./) > 2 * 3 * sent, `${bytesOf(/\.raft\./)} bytes of entries`);
  assert.ok(bytesOf(/\.fwd\.m[12]\./) > 3 * sent, `${bytesOf(/\.fwd\./)} bytes of requests`);
  assert.ok(bytesOf(/\.snap\.m3\./) > 3 * sent, `${bytesOf(/\.snap\./)} bytes of snapshots`);
  const names = new ByteSearch();
  names.add("a key", Buffer.from(KEY_PREFIX));
  names.add("a subject", Buffer.from("user:admin"));
  names.add("a member's address", Buffer.from(new URL(cluster.members[0]?.endpoint ?? "").host));
  for (const token of tokens) names.add("a token", Buffer.from(token));
  for (const { subject, data } of frames) {
    assert.deepEqual([...secrets.find(data), ...names.find(data)], [], subject);
  }
}
