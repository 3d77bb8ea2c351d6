import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { connect } from "../../src/client/mod.ts";
import { type Peer, startCoffer, startEtcd } from "../bench/peers.ts";
import { Etcdctl } from "./etcdctl.ts";

/** What etcd's own client makes of large answers, large values and progress, beside etcd. */

let coffer: Awaited<ReturnType<typeof startCoffer>>;
let etcd: Peer;

before(async () => {
  coffer = await startCoffer();
  etcd = await startEtcd(coffer);
});

after(async () => {
  await etcd.stop();
  await coffer.stop();
});

const KEYS = 5000;

async function putMany({ target }: Peer): Promise<void> {
  const { port, ca, cert, key } = target;
  await using client = connect({ endpoints: [`https://127.0.0.1:${port}`], ca, cert, key });
  const perTxn = 100;
  for (let from = 0; from < KEYS; from += perTxn) {
    const success = Array.from({ length: perTxn }, (_, i) => ({
      request: {
        $case: "requestPut" as const,
        value: { key: Buffer.from(`many/${from + i}`), value: Buffer.from(`value ${from + i}`) },
      },
    }));
    await client.txn({ success });
  }
}

test(`get --prefix of ${KEYS} keys prints what it prints of etcd`, async () => {
  await Promise.all([putMany(coffer), putMany(etcd)]);
  using ours = new Etcdctl(coffer);
  using theirs = new Etcdctl(etcd);
  for (const more of [[], ["--keys-only"], ["--order=DESCEND", "--sort-by=VALUE"]]) {
    const args = ["get", "many/", "--prefix", ...more];
    const [actual, expected] = await Promise.all([ours.bytes(args), theirs.bytes(args)]);
    assert.ok(expected.toString().split("\n").length > KEYS);
    assert.ok(actual.equals(expected), args.join(" "));
  }
});

const MIB = 1024 * 1024;

test("values up to 1.4 MiB come back", async () => {
  using ours = new Etcdctl(coffer);
  for (const size of [MIB / 2, MIB, Math.floor(1.4 * MIB)]) {
    const value = Buffer.alloc(size, `${size} bytes `);
    await ours.bytes(["put", `large/${size}`], value);
    const got = await ours.bytes(["get", `large/${size}`, "--print-value-only"]);
    assert.ok(got.subarray(0, -1).equals(value), `${size} bytes`);
  }
});

test("a request that is too large is refused in etcd's words", async () => {
  using ours = new Etcdctl(coffer);
  using theirs = new Etcdctl(etcd);
  for (const size of [1.5 * MIB, 1.6 * MIB, 2.5 * MIB]) {
    const step = { args: ["put", "too/large"], stdin: "x".repeat(size) };
    const [actual, expected] = await Promise.all([ours.run(step), theirs.run(step)]);
    assert.deepEqual(actual, expected);
    assert.equal(actual.code, 1);
    assert.match(actual.stderr, /too large|larger than max/);
  }
});

/** For the whole test; a client that is not told what it waits for would wait for ever. */
const TIMEOUT_MS = 60_000;

test("an interactive watch asks for progress and goes on", { timeout: TIMEOUT_MS }, async () => {
  using ours = new Etcdctl(coffer);
  const child = spawn("etcdctl", ["watch", "-i"], { env: ours.environment() });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => String((await lines.next()).value);
  try {
    child.stdin.write("watch progress/ --prefix --rev=1\n");
    // From the past, as nothing tells when the watch has begun.
    for (let round = 1; round <= 5; round++) {
      await ours.bytes(["put", `progress/${round}`, `value ${round}`]);
      const told = [await next(), await next(), await next()];
      assert.deepEqual(told, ["PUT", `progress/${round}`, `value ${round}`]);
      child.stdin.write("progress\n");
      assert.match(await next(), /^progress notify: \d+$/);
    }
  } finally {
    child.kill("SIGKILL");
    await once(child, "close");
  }
});
