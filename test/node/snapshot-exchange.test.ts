import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { CofferError } from "../../src/errors.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import {
  SNAPSHOT_CHUNK_BYTES_MAX,
  type SnapshotStreamMessage,
  encodeSnapshotMessage,
} from "../../src/wire/mod.ts";
import { type NetMember, World, addMember, metaOf, stateBytes, wish } from "./snapshot-net.ts";

const CHUNK = SNAPSHOT_CHUNK_BYTES_MAX;
const WINDOW = 8 * CHUNK;
/** Not a multiple of a chunk. */
const SIZE = 40 * CHUNK + 12_345;

interface Pair {
  readonly world: World;
  readonly leader: NetMember;
  readonly follower: NetMember;
}

function pair(size: number = SIZE, seed: number = 1): Pair {
  const world = new World(createPrng(seed));
  const leader = addMember(world, "a", size);
  const follower = addMember(world, "b", 1);
  leader.store.applied = 100;
  return { world, leader, follower };
}

const reports = ({ sent }: NetMember): readonly boolean[] => sent.map((one) => one.delivered);

function chunks(world: World): readonly Extract<SnapshotStreamMessage, { kind: "chunk" }>[] {
  return world.log.flatMap(({ message }) => (message.kind === "chunk" ? [message] : []));
}

function assertArrived(follower: NetMember, index: number, size: number = SIZE): void {
  assert.equal(follower.store.installed?.index, index);
  assert.deepEqual(follower.store.finished, stateBytes(index, size));
}

describe("a snapshot", () => {
  test("comes over in a window, each byte once, and is told of once", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run();
    assertArrived(follower, 100);
    assert.deepEqual(reports(leader), [true]);
    assert.deepEqual(
      follower.arrived.map(({ from, term, meta }) => [from, term, meta.index]),
      [["a", 1, 100]],
    );
    assert.equal(chunks(world).length, 41);
    assert.ok(world.flightBytesMax <= WINDOW + 1024, `${world.flightBytesMax} bytes at once`);
    assert.ok(world.flightBytesMax > WINDOW / 2, "the window is not used");
    assert.equal(leader.store.readBytesMax, CHUNK);
    assert.equal(leader.store.held, 0);
    assert.equal(leader.exchange.isSending, false);
  });

  test("is shared by the peers that need it", async () => {
    const { world, leader, follower } = pair();
    const other = addMember(world, "c", 1);
    leader.exchange.start("b", wish(100));
    leader.exchange.start("c", wish(100));
    assert.equal(leader.exchange.isSending, true);
    assert.equal(leader.exchange.oldestOutgoing, undefined);
    await world.run(() => chunks(world).length > 4);
    assert.equal(leader.exchange.oldestOutgoing, 100);
    await world.run();
    assertArrived(follower, 100);
    assertArrived(other, 100);
    assert.equal(leader.store.copies, 1);
    assert.deepEqual(leader.sent.map(({ to }) => to).toSorted(), ["b", "c"]);
    assert.equal(leader.exchange.oldestOutgoing, undefined);
  });

  test("goes on after the network was away for some seconds, from where it was", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => follower.store.partialBytes >= 20 * CHUNK);
    world.cut = () => true;
    await world.pass(30_000);
    world.cut = () => false;
    const had = follower.store.partialBytes;
    const before = chunks(world).length;
    await world.run();
    assertArrived(follower, 100);
    assert.deepEqual(reports(leader), [true]);
    const again = chunks(world).slice(before);
    assert.equal(Math.min(...again.map(({ offset }) => offset)), had);
    // A window may be on its way when the first loss is noticed.
    assert.ok(again.length <= Math.ceil((SIZE - had) / CHUNK) + 8, `${again.length} chunks`);
  });

  test("is given up after a minute without progress, and goes on at the next wish", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => follower.store.partialBytes >= 20 * CHUNK);
    world.cut = () => true;
    const from = world.now;
    await world.run(() => leader.sent.length > 0);
    assert.deepEqual(reports(leader), [false]);
    assert.ok(world.now - from >= 60_000 && world.now - from < 62_000, `${world.now - from} ms`);
    assert.equal(leader.store.held, 0);
    await world.run();
    world.cut = () => false;
    const before = chunks(world).length;
    leader.exchange.start("b", wish(100));
    await world.run();
    assert.deepEqual(reports(leader), [false, true]);
    assertArrived(follower, 100);
    assert.ok(chunks(world).length - before < 22, "it began from the front");
  });

  test("one lost chunk costs no timeout", async () => {
    const { world, leader, follower } = pair();
    let lost = 0;
    world.cut = (_from, _to, message) =>
      message.kind === "chunk" && message.offset === 10 * CHUNK && lost++ === 0;
    const from = world.now;
    leader.exchange.start("b", wish(100));
    await world.run(() => leader.sent.length > 0);
    assertArrived(follower, 100);
    assert.equal(lost, 2);
    assert.ok(world.now - from < 1000, `${world.now - from} ms`);
  });

  test("goes on when the receiver has restarted", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => follower.store.partialBytes >= 20 * CHUNK);
    follower.restart();
    await world.run();
    assertArrived(follower, 100);
    assert.deepEqual(reports(leader), [true]);
    assert.ok(chunks(world).length <= 41 + 2 * 8, "it began from the front");
  });

  test("goes on when the sender has restarted and leads again", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => follower.store.partialBytes >= 20 * CHUNK);
    leader.restart();
    leader.exchange.start("b", wish(100, 2));
    await world.run();
    assertArrived(follower, 100);
    assert.deepEqual(reports(leader), [true]);
    assert.equal(follower.arrived[0]?.term, 2);
    assert.ok(chunks(world).length <= 41 + 8, "it began from the front");
  });

  test("whose last message was lost is told of again", async () => {
    const { world, leader, follower } = pair();
    let lost = 0;
    world.cut = (_from, _to, { kind }) => kind === "end" && lost++ < 3;
    leader.exchange.start("b", wish(100));
    await world.run();
    assert.equal(lost, 4);
    assert.deepEqual(reports(leader), [true]);
    assert.equal(follower.arrived.length, 1);
  });

  test("that the receiver has no need of is not sent, and raft is asked all the same", async () => {
    const { world, leader, follower } = pair();
    follower.store.applied = 120;
    leader.exchange.start("b", wish(100));
    await world.run();
    assert.deepEqual(reports(leader), [true]);
    assert.equal(follower.arrived[0]?.meta.index, 100);
    assert.equal(chunks(world).length, 0);
  });

  test("waits for a full queue without giving up its place", async () => {
    const { world, leader, follower } = pair();
    let sends = 0;
    world.refuse = (from, { kind }) => from === "a" && kind === "chunk" && ++sends % 3 === 0;
    leader.exchange.start("b", wish(100));
    await world.run();
    assertArrived(follower, 100);
    assert.equal(chunks(world).length, 41);
  });

  test("may be checked for minutes", async () => {
    const { world, leader, follower } = pair();
    follower.store.beforeFinish = () =>
      new Promise((resolve) => world.scheduler.after(9 * 60_000, resolve));
    leader.exchange.start("b", wish(100));
    await world.run();
    assertArrived(follower, 100);
    assert.deepEqual(reports(leader), [true]);
  });

  test("whose check does not end is given up", async () => {
    const { world, leader, follower } = pair();
    follower.store.beforeFinish = () => new Promise(() => undefined);
    const from = world.now;
    leader.exchange.start("b", wish(100));
    await world.run(() => leader.sent.length > 0);
    assert.deepEqual(reports(leader), [false]);
    assert.ok(world.now - from < 12 * 60_000);
  });
});

describe("a failure", () => {
  test("of the check is told to the sender, and to raft later each time", async () => {
    const { world, leader, follower } = pair();
    follower.store.finishFailure = new CofferError("corrupt");
    const waits: number[] = [];
    for (let round = 0; round < 5; round++) {
      const from = world.now;
      leader.exchange.start("b", wish(100 + round));
      await world.run(() => leader.sent.length > round);
      waits.push(Math.round((world.now - from) / 1000));
      assert.equal(leader.exchange.isSending, false);
    }
    assert.deepEqual(waits, [5, 10, 20, 40, 60]);
    assert.deepEqual(reports(leader), [false, false, false, false, false]);
    assert.equal(follower.arrived.length, 0);
    follower.store.finishFailure = undefined;
    leader.exchange.start("b", wish(200));
    await world.run();
    assert.equal(follower.arrived.length, 1);
    assert.equal(leader.store.held, 0);
  });

  test("of the copy is told to raft later", async () => {
    const { world, leader } = pair();
    leader.store.createFailure = new CofferError("no-space");
    const from = world.now;
    leader.exchange.start("b", wish(100));
    await world.run(() => leader.sent.length > 0);
    assert.deepEqual(reports(leader), [false]);
    assert.equal(world.now - from, 5000);
    await world.run();
  });

  test("of a full disk at the receiver frees what it took", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => follower.store.partialBytes >= 20 * CHUNK);
    follower.store.writeFailure = new CofferError("no-space");
    await world.run(() => leader.sent.length > 0);
    assert.deepEqual(reports(leader), [false]);
    assert.equal(follower.store.partialBytes, 0);
    const ends = world.log.flatMap(({ message }) => (message.kind === "end" ? [message] : []));
    assert.match(ends[0]?.reason ?? "", /database space exceeded/);
  });
});

describe("wishes and ends", () => {
  test("every start is answered once, also those that join a stream under way", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => chunks(world).length > 10);
    leader.exchange.start("b", wish(100));
    leader.exchange.start("b", wish(90));
    await world.run();
    assert.deepEqual(reports(leader), [true, true, true]);
    assert.equal(chunks(world).length, 41);
    assertArrived(follower, 100);
  });

  test("a wish for a later index takes the place of the one under way", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => chunks(world).length > 10);
    leader.store.applied = 150;
    leader.exchange.start("b", wish(150, 3));
    await world.run();
    assert.deepEqual(reports(leader), [true, true]);
    assertArrived(follower, 150);
    assert.deepEqual(
      follower.arrived.map(({ term, meta }) => [term, meta.index]),
      [[3, 150]],
    );
    assert.equal(leader.store.held, 0);
  });

  test("while the copy is made, the later wish counts", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    leader.exchange.start("b", wish(130, 2));
    await world.run();
    assert.deepEqual(reports(leader), [true, true]);
    assertArrived(follower, 130);
    assert.equal(follower.arrived[0]?.term, 2);
    assert.equal(leader.store.held, 0);
  });

  test("a member that leads no more ends what it sends, at both sides", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => chunks(world).length > 10);
    leader.exchange.endOutgoing();
    assert.deepEqual(reports(leader), [false]);
    const { now } = world;
    await world.run();
    assert.ok(world.now - now < 1000, "the receiver waits on");
    assert.equal(follower.arrived.length, 0);
    assert.ok(follower.store.partialBytes > 0, "what had come is gone");
  });

  test("a stop answers every start and leaves no timer", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => chunks(world).length > 10);
    leader.exchange.start("c", wish(100));
    leader.exchange.stop();
    follower.exchange.stop();
    leader.exchange.start("b", wish(100));
    assert.deepEqual(reports(leader), [false, false, false]);
    const { now } = world;
    await world.run();
    assert.ok(world.now - now < 100, "a timer was left");
    assert.equal(leader.store.held, 0);
  });

  test("the leader of a later term takes the place of an earlier one, and not the other way", async () => {
    const { world, leader, follower } = pair();
    const next = addMember(world, "c", SIZE);
    next.store.applied = 110;
    leader.exchange.start("b", wish(100, 1));
    await world.run(() => chunks(world).length > 10);
    next.exchange.start("b", wish(110, 2));
    await world.run();
    assertArrived(follower, 110);
    assert.deepEqual(reports(next), [true]);
    assert.deepEqual(reports(leader), [false]);
    assert.equal(follower.arrived.length, 1);
  });

  test("all that was ever said, said again, changes nothing", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run();
    const said = world.log.map((one) => ({ ...one, payload: encodeSnapshotMessage(one.message) }));
    for (const { from, to, payload } of said) world.nodes.get(to)?.exchange.receive(from, payload);
    for (const { to, payload } of said) world.nodes.get(to)?.exchange.receive("x", payload);
    await world.run();
    assert.deepEqual(reports(leader), [true]);
    assert.equal(follower.arrived.length, 1);
    assertArrived(follower, 100);
  });

  test("garbage and messages out of place change nothing", async () => {
    const { world, leader, follower } = pair();
    leader.exchange.start("b", wish(100));
    await world.run(() => chunks(world).length > 10);
    const stream = chunks(world)[0]?.stream ?? 0;
    const sha256 = new Uint8Array(32);
    const data = new Uint8Array(CHUNK);
    const odd: SnapshotStreamMessage[] = [
      { kind: "want", stream, offset: SIZE + 1 },
      { kind: "want", stream: stream + 1, offset: 0 },
      { kind: "chunk", stream, offset: SIZE - 5, data },
      { kind: "chunk", stream, offset: 0, data },
      { kind: "chunk", stream, offset: 11 * CHUNK, data: new Uint8Array() },
      { kind: "offer", stream: 1, term: 1, meta: metaOf(500), bytes: 0, sha256 },
      { kind: "offer", stream: 1, term: 0, meta: metaOf(500), bytes: 9, sha256 },
      { kind: "end", stream: stream + 7, delivered: true, reason: "" },
    ];
    for (const member of [leader, follower]) {
      for (const from of ["a", "b", "nobody"]) {
        for (const message of odd) {
          if (from === "a" && message.kind === "chunk" && message.stream === stream) continue;
          member.exchange.receive(from, encodeSnapshotMessage(message));
        }
        for (const bytes of [[], [9], [1, 77], [1, 0, 1]]) {
          member.exchange.receive(from, Uint8Array.from(bytes));
        }
      }
    }
    await world.run();
    assertArrived(follower, 100);
    assert.deepEqual(reports(leader), [true]);
  });
});

describe("in any weather", () => {
  const weather = fc.record({
    loss: fc.constantFrom(0, 0.02, 0.1, 0.4),
    duplication: fc.constantFrom(0, 0.1, 0.5),
    jitterMs: fc.constantFrom(0, 3, 50),
  });
  const event = fc.record({
    afterMs: fc.integer({ min: 1, max: 4000 }),
    kind: fc.constantFrom(
      "restart-b",
      "start",
      "start-later",
      "cut",
      "mend",
      "end",
      "full",
      "room",
    ),
  });

  function happen({ world, leader, follower }: Pair, kind: string): number {
    const { exchange, store } = leader;
    switch (kind) {
      case "restart-b":
        follower.restart();
        return 0;
      case "start-later":
        store.applied += 1;
        exchange.start("b", wish(store.applied, store.applied));
        return 1;
      case "start":
        exchange.start("b", wish(store.applied, store.applied));
        return 1;
      case "cut":
        world.cut = () => true;
        return 0;
      case "mend":
        world.cut = () => false;
        return 0;
      case "end":
        exchange.endOutgoing();
        return 0;
      case "full":
        follower.store.writeFailure = new CofferError("no-space");
        return 0;
      default:
        follower.store.writeFailure = undefined;
        return 0;
    }
  }

  test("every start is answered once, what arrives is right, and in the end it does", async () => {
    await fc.assert(
      fc.asyncProperty(
        weather,
        fc.array(event, { maxLength: 8 }),
        fc.nat(),
        async (weather, events, seed) => {
          const size = 11 * CHUNK + 77;
          const { world, leader, follower } = pair(size, seed);
          world.weather = weather;
          let starts = 1;
          leader.exchange.start("b", wish(100, 100));
          for (const { afterMs, kind } of events) {
            await world.pass(afterMs);
            starts += happen({ world, leader, follower }, kind);
          }
          await world.run();
          assert.equal(leader.sent.length, starts);
          world.cut = () => false;
          follower.store.writeFailure = undefined;
          world.weather = { loss: 0.02, duplication: 0.1, jitterMs: 3 };
          for (let tries = 0; follower.store.applied < leader.store.applied; tries++) {
            assert.ok(tries < 5, "it never arrives");
            starts += 1;
            leader.exchange.start("b", wish(leader.store.applied, 1000 + tries));
            await world.run();
          }
          assert.equal(leader.sent.length, starts);
          assertArrived(follower, leader.store.applied, size);
          assert.equal(leader.store.held, 0);
          assert.ok(leader.store.readBytesMax <= CHUNK);
        },
      ),
      { numRuns: 60 },
    );
  });
});
