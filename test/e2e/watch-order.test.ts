import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Client, connect, type rpc, type WatchStream } from "../../src/client/mod.ts";
import { residentBytes, startCoffer } from "../bench/peers.ts";

/** Watches under many writers: order, wholeness, progress, and a reader that does not read. */

const WRITERS = 16;
const WRITES_MIN = 2000;
const PROGRESS_MIN = 200;
/** Watches that begin in the middle catch up, and progress must wait for them too. */
const LATE_WATCHES = 3;

let coffer: Awaited<ReturnType<typeof startCoffer>>;

before(async () => {
  coffer = await startCoffer();
});

after(() => coffer.stop());

function open(): Client {
  const { port, ca, cert, key } = coffer.target;
  return connect({ endpoints: [`https://127.0.0.1:${port}`], ca, cert, key });
}

/** What one watch was told, checked as it comes. */
interface Told {
  /** The revision of its last event. */
  last: number;
  /** The highest revision that a progress message has vouched for since it was created. */
  promised: number;
  /** Keys by revision. */
  readonly revisions: Map<number, readonly string[]>;
}

/** The order of one stream: each response is checked against all that came before it. */
class StreamCheck {
  readonly watches = new Map<string, Told>();
  /** The revision of the last progress message. */
  promised = 0;
  progressMessages = 0;

  /** What progress has vouched for to every watch. */
  lowestPromise(): number {
    return Math.min(...[...this.watches.values()].map(({ promised }) => promised));
  }

  take({ header, watchId, events, created, canceled }: rpc.WatchResponse): void {
    assert.equal(canceled, false);
    if (created) {
      this.watches.set(String(watchId), { last: 0, promised: 0, revisions: new Map() });
      return;
    }
    const revision = Number(header?.revision ?? 0n);
    if (watchId === -1n) {
      assert.ok(revision >= this.promised, `Progress went back to ${revision}`);
      this.promised = revision;
      for (const told of this.watches.values()) told.promised = revision;
      this.progressMessages++;
      return;
    }
    const told = this.watches.get(String(watchId));
    assert.ok(told !== undefined, `Watch ${watchId} was not created`);
    for (const [at, keys] of byRevision(events)) {
      assert.ok(at > told.promised, `Event of ${at} after progress at ${told.promised}`);
      assert.ok(at > told.last, `Watch ${watchId}: revision ${at} after ${told.last}`);
      told.last = at;
      told.revisions.set(at, keys);
    }
  }
}

function byRevision(events: readonly rpc.WatchResponse["events"][number][]): Map<number, string[]> {
  const found = new Map<number, string[]>();
  for (const { kv } of events) {
    const at = Number(kv?.modRevision ?? 0n);
    const keys = found.get(at) ?? [];
    if (keys.length === 0) found.set(at, keys);
    keys.push(Buffer.from(kv?.key ?? "").toString());
  }
  return found;
}

test("no event comes after the progress that covers it, each once, whole and in order", async () => {
  await using watcher = open();
  await using stream = watcher.watch();
  const responses = stream.responses();
  const check = await createWatches(stream, responses);
  await using writer = open();
  const written = new Map<number, readonly string[]>();
  const stop = new AbortController();
  const lanes = Array.from({ length: WRITERS }, (_, w) =>
    writeUntil(stop.signal, { client: writer, key: `order/${w % 2}/${w}`, written }),
  );
  let end = Number.POSITIVE_INFINITY;
  const asking = setInterval(() => stream.requestProgress(), 1);
  let created = PREFIXES.length;
  const goOn = (): void => {
    const late = created - PREFIXES.length;
    if (late < LATE_WATCHES && written.size > ((late + 1) * WRITES_MIN) / (LATE_WATCHES + 1)) {
      createLate(stream);
      created++;
    }
    const isEnough = written.size >= WRITES_MIN && check.progressMessages >= PROGRESS_MIN;
    if (isEnough && late === LATE_WATCHES) stop.abort();
  };
  const writing = Promise.all(lanes).then(() => (end = Math.max(...written.keys())));
  try {
    // Once progress covers the end, every event has come, or never will.
    while (check.watches.size < created || check.lowestPromise() < end) {
      const { value } = await responses.next();
      assert.ok(value !== undefined, "The stream ended");
      check.take(value);
      goOn();
    }
  } finally {
    clearInterval(asking);
    stop.abort();
    await writing;
  }
  assert.equal(check.watches.size, PREFIXES.length + LATE_WATCHES);
  for (const [id, { revisions }] of check.watches) {
    const wanted = changesBelow(PREFIXES[Number(id)] ?? LATE, written);
    assert.deepEqual([...revisions], wanted, `Watch ${id}`);
  }
});

/** What the first watches look at: two of everything, one of each half, one of one writer. */
const PREFIXES: readonly string[] = ["order/", "order/", "order/0/", "order/1/", "order/1/1"];

const LATE = "order/";

async function createWatches(
  stream: WatchStream,
  responses: AsyncGenerator<rpc.WatchResponse, void>,
): Promise<StreamCheck> {
  const check = new StreamCheck();
  for (const prefix of PREFIXES) {
    stream.create({ key: Buffer.from(prefix), rangeEnd: endOf(prefix), prevKv: true });
    const { value } = await responses.next();
    assert.ok(value !== undefined);
    check.take(value);
  }
  return check;
}

function createLate(stream: WatchStream): void {
  stream.create({ key: Buffer.from(LATE), rangeEnd: endOf(LATE), startRevision: 2n });
}

function changesBelow(
  prefix: string,
  written: ReadonlyMap<number, readonly string[]>,
): [number, readonly string[]][] {
  return [...written]
    .map(([at, keys]): [number, readonly string[]] => [
      at,
      keys.filter((key) => key.startsWith(prefix)),
    ])
    .filter(([, keys]) => keys.length > 0)
    .sort(([a], [b]) => a - b);
}

function endOf(prefix: string): Uint8Array {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}

/** Writes one or several keys at a time, and notes which at which revision. */
async function writeUntil(
  stop: AbortSignal,
  to: {
    readonly client: Client;
    readonly key: string;
    readonly written: Map<number, readonly string[]>;
  },
): Promise<void> {
  for (let n = 0; !stop.aborted; n++) {
    const keys = Array.from({ length: 1 + (n % 3) }, (_, i) => `${to.key}/${(n + i) % 7}`);
    const success = keys.map((key) => ({
      request: {
        $case: "requestPut" as const,
        value: { key: Buffer.from(key), value: Buffer.from(`value ${n}`) },
      },
    }));
    const { header } = await to.client.txn({ success });
    to.written.set(Number(header?.revision ?? 0n), keys);
  }
}

test("a reader that does not read costs the server bounded memory, and misses nothing", async (context) => {
  const readers = await Promise.all(Array.from({ length: SLOW_READERS }, openSlow));
  await using writer = open();
  const value = Buffer.alloc(SLOW_VALUE_BYTES, "slow");
  const write = async (count: number): Promise<void> => {
    const lane = async (): Promise<void> => {
      for (let i = 0; i < count / 10; i++)
        await writer.put({ key: Buffer.from("slow/key"), value });
    };
    await Promise.all(Array.from({ length: 10 }, lane));
  };
  await write(SLOW_WRITES / 10);
  const before = residentBytes(coffer.pid);
  await write(SLOW_WRITES);
  const grown = residentBytes(coffer.pid) - before;
  context.diagnostic(`${SLOW_READERS} readers took ${grown >> 20} MiB`);
  assert.ok(grown < SLOW_GROWTH_MAX, `${SLOW_READERS} readers took ${grown >> 20} MiB`);
  const [first, ...others] = readers;
  assert.ok(first !== undefined);
  // One wakes up, the others go away unread.
  for (const { client, stream } of others) {
    stream.close();
    await client.close();
  }
  let version = 0n;
  for await (const { events } of first.stream.responses()) {
    for (const { kv } of events) {
      assert.equal(kv?.version, ++version);
      assert.equal(kv.value.length, SLOW_VALUE_BYTES);
    }
    if (version === BigInt(SLOW_WRITES + SLOW_WRITES / 10)) break;
  }
  first.stream.close();
  await first.client.close();
});

const SLOW_READERS = 10;
const SLOW_WRITES = 1500;
const SLOW_VALUE_BYTES = 64 * 1024;
/** What was written is far more, and for every reader once more. */
const SLOW_GROWTH_MAX = 80 * 1024 * 1024;

/** A watch whose responses nobody reads: the windows of its connection fill up. */
async function openSlow(): Promise<{ readonly client: Client; readonly stream: WatchStream }> {
  const client = open();
  const stream = client.watch();
  stream.create({ key: Buffer.from("slow/key") });
  // Made once the answer to a later request of the same connection is there.
  await client.range({ key: Buffer.from("slow/key") });
  return { client, stream };
}
