import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { bytes } from "../edge/world.ts";
import { ClusterProcess } from "./cluster-process.ts";

/** A leader that stops, dies or is paused while all members are written to. */

let cluster: ClusterProcess;

before(async () => {
  cluster = await ClusterProcess.start();
});

beforeEach(() => cluster.startAll());

after(() => cluster[Symbol.asyncDispose]());

/** A write is tried twice: a client takes another member when its own does not answer. */
const TRIES = 2;
const WRITERS = 6;

interface Load {
  /** Keys of the writes that were answered. */
  readonly acknowledged: readonly string[];
  /** What failed although it was tried again. */
  readonly failed: readonly string[];
  /** Waits for that many more answers. */
  more(count: number): Promise<void>;
  /** Milliseconds of the longest time without any answer since the last call of `mark`. */
  readonly longestGapMs: number;
  mark(): void;
  stop(): Promise<void>;
}

/** Writers that begin at different members, each with keys of its own under `prefix`. */
function load(prefix: string): Load {
  const names = cluster.members.map(({ name }) => name);
  const acknowledged: string[] = [];
  const failed: string[] = [];
  let last = performance.now();
  let longest = 0;
  let stopped = false;
  let heard: () => void = () => undefined;
  const answered = (key: string): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    acknowledged.push(key);
    heard();
  };
  const write = async (writer: number): Promise<void> => {
    const clients = names.map((name) => cluster.client(name));
    let at = writer % clients.length;
    for (let n = 0; !stopped; n++) {
      const key = `${prefix}/${writer}/${n}`;
      const errors: string[] = [];
      while (errors.length < TRIES && acknowledged.at(-1) !== key) {
        const done = await put(clients[at], key);
        if (done === undefined) {
          answered(key);
          break;
        }
        errors.push(`${names[at]}: ${done.message}`);
        at = (at + 1) % clients.length;
      }
      if (errors.length === TRIES) failed.push(`${key}: ${errors.join("; then ")}`);
    }
    for (const client of clients) await client.close();
  };
  const writers = Array.from({ length: WRITERS }, (_, i) => write(i));
  return {
    acknowledged,
    failed,
    more: async (count) => {
      const wanted = acknowledged.length + count;
      while (acknowledged.length < wanted) {
        await new Promise<void>((resolve) => {
          heard = resolve;
        });
      }
    },
    get longestGapMs() {
      return longest;
    },
    mark: () => {
      longest = 0;
      last = performance.now();
    },
    stop: async () => {
      stopped = true;
      await Promise.all(writers);
    },
  };
}

async function put(client: Client | undefined, key: string): Promise<CofferError | undefined> {
  try {
    await client?.put({ key: bytes(key), value: bytes("x") });
    return undefined;
  } catch (error) {
    if (error instanceof CofferError) return error;
    throw error;
  }
}

/** That each member has all that was answered. */
async function assertKept(prefix: string, acknowledged: readonly string[]): Promise<void> {
  const range = { key: bytes(`${prefix}/`), rangeEnd: bytes(`${prefix}0`), keysOnly: true };
  for (const { name } of cluster.members) {
    await using client = cluster.client(name);
    const { kvs } = await client.range(range);
    const kept = new Set(kvs.map(({ key }) => Buffer.from(key).toString()));
    const lost = acknowledged.filter((key) => !kept.has(key));
    assert.deepEqual(lost, [], name);
  }
}

test("a leader that is stopped hands over: nothing fails twice, and the gap is short", async () => {
  const leader = await cluster.leader();
  const writes = load("/stop");
  await writes.more(200);
  writes.mark();
  assert.equal(await cluster.member(leader).stop(), 0);
  await writes.more(200);
  await writes.stop();
  assert.deepEqual(writes.failed, []);
  // The aim is 200 ms, and what is measured shares two cores with all else; an election takes 1 s.
  assert.ok(writes.longestGapMs < 500, `${writes.longestGapMs} ms without an answer`);
  assert.notEqual(await cluster.leader(), leader);
  await cluster.startAll();
  await assertKept("/stop", writes.acknowledged);
});

test("a leader that is killed loses nothing that was answered", async () => {
  const leader = await cluster.leader();
  const writes = load("/kill");
  await writes.more(200);
  await cluster.member(leader).kill();
  await writes.more(200);
  await writes.stop();
  assert.notEqual(await cluster.leader(), leader);
  await cluster.startAll();
  await assertKept("/kill", writes.acknowledged);
});

test("a leader that was paused answers no read with what is over", async () => {
  const leader = await cluster.leader();
  const [other = ""] = cluster.members.map(({ name }) => name).filter((name) => name !== leader);
  await using old = cluster.client(leader);
  await using client = cluster.client(other, { timeoutMs: 20_000 });
  const key = bytes("/paused");
  await client.put({ key, value: bytes("before") });
  assert.equal((await old.range({ key })).kvs.length, 1);
  cluster.member(leader).pause();
  // While it is away the others elect one of them; reads to it wait in its socket.
  const late = Array.from({ length: 20 }, () => old.range({ key }, { timeoutMs: 20_000 }));
  await client.put({ key, value: bytes("after") });
  cluster.member(leader).resume();
  for (const answer of await Promise.allSettled(late)) {
    if (answer.status === "rejected") assert.ok(answer.reason instanceof CofferError);
    else assert.equal(Buffer.from(answer.value.kvs[0]?.value ?? []).toString(), "after");
  }
});
