import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { connect } from "nats";
import { HEADER_BYTES } from "../../src/transport/frame.ts";
import { rejected } from "../seal/refused.ts";
import { Member, allLinked, cryptoOf, openMembers, stopAll } from "./member.ts";
import { NatsStand, PLACE } from "./nats-stand.ts";

const CHANNELS = ["raft", "fwd", "snap"] as const;

/** Time that passes so many times as fast: what is due each 5 s is due sooner. */
function fastClock(times: number): { now(): number } {
  const start = Date.now();
  return { now: () => start + (Date.now() - start) * times };
}

function numbers(count: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => `${at}`);
}

describe("members of one NATS server", () => {
  test("hear each other on every channel, in order, and know the round trip", async () => {
    await using stand = await NatsStand.start();
    const members = await openMembers(stand, ["a", "b", "c"]);
    const [a, b, c] = members as [Member, Member, Member];
    for (const text of numbers(300)) {
      for (const channel of CHANNELS) assert.equal(a.send("b", text, channel), true);
      assert.equal(b.send("a", text), true);
      assert.equal(c.send("b", text, "fwd"), true);
    }
    await b.until("all of it", () => b.messages.length === 1200);
    await a.until("all of it", () => a.messages.length === 300);
    for (const channel of CHANNELS) assert.deepEqual(b.texts("a", channel), numbers(300));
    assert.deepEqual(b.texts("c", "fwd"), numbers(300));
    assert.deepEqual(a.texts("b"), numbers(300));
    await a.until("a pong", () => a.roundTrips.length >= 2);
    const [link] = a.transport.peers();
    assert.ok(link?.roundTripMs !== undefined && link.roundTripMs < 5000);
    assert.ok(link.lastHeard !== undefined && Date.now() - link.lastHeard < 10_000);
    assert.ok(a.sentBytes > 900 * 58 && b.receivedBytes > 900 * 58);
    assert.equal(a.send("a", "to itself"), false);
    assert.equal(a.send("d", "to nobody"), false);
    await stopAll(members);
    assert.deepEqual([...a.refused, ...b.refused, ...c.refused], []);
  });

  test("carry messages above max_payload, and small ones between them", async () => {
    await using stand = await NatsStand.start();
    const members = await openMembers(stand, ["a", "b"]);
    const [a, b] = members as [Member, Member];
    const large = Uint8Array.from({ length: 5_000_001 }, (_, at) => at ^ (at >> 8));
    for (const length of [0, 1, 1_048_510, 1_048_511, 1_048_576, large.length]) {
      assert.equal(a.transport.send("b", "snap", large.subarray(0, length)), true);
      assert.equal(a.send("b", `${length}`), true);
    }
    await b.until("all of it", () => b.messages.length === 12);
    assert.deepEqual(
      b.messages.filter(({ channel }) => channel === "snap").map(({ payload }) => payload.length),
      [0, 1, 1_048_510, 1_048_511, 1_048_576, large.length],
    );
    const last = b.messages.findLast(({ channel }) => channel === "snap");
    assert.equal(Buffer.compare(last!.payload, large), 0);
    assert.equal(a.transport.send("b", "snap", new Uint8Array(80 * 1024 * 1024 + 1)), false);
    await stopAll(members);
  });

  test("cut messages to what the server takes, however little that is", async () => {
    await using stand = await NatsStand.start({ maxPayload: "4096" });
    const members = await openMembers(stand, ["a", "b"]);
    const [a, b] = members as [Member, Member];
    const payload = Uint8Array.from({ length: 100_000 }, (_, at) => at ^ (at >> 8));
    assert.equal(a.transport.send("b", "fwd", payload), true);
    await b.until("the message", () => b.messages.length === 1);
    assert.equal(Buffer.compare(b.messages[0]!.payload, payload), 0);
    await stopAll(members);
  });

  test("take more in all than may be unconfirmed at once", async () => {
    await using stand = await NatsStand.start();
    const members = await openMembers(stand, ["a", "b"]);
    const [a, b] = members as [Member, Member];
    const payload = new Uint8Array(1_000_000);
    for (let sent = 0; sent < 50; sent++) {
      assert.equal(a.transport.send("b", "raft", payload), true, `message ${sent}`);
      await b.until("the message", () => b.messages.length > sent);
    }
    await stopAll(members);
  });

  test("refusal 43: hear only those that are set as peers", async () => {
    await using stand = await NatsStand.start();
    const members = await openMembers(stand, ["a", "b", "c"]);
    const [a, b, c] = members as [Member, Member, Member];
    b.transport.setPeers(["a"]);
    assert.equal(b.send("c", "not a peer"), false);
    assert.equal(c.send("b", "from a stranger"), true);
    await b.until("the refusal", () => b.refused.includes("unknown-peer"));
    assert.equal(a.send("b", "from a peer"), true);
    await b.until("the message", () => b.messages.length === 1);
    assert.deepEqual(b.texts("a"), ["from a peer"]);
    b.transport.setPeers(["a", "c"]);
    await b.until("a new session", () => b.linked("c"));
    await c.until("a message through", () => c.send("b", "again") && b.messages.length > 1);
    assert.ok(b.texts("c").every((text) => text === "again"));
    await stopAll(members);
  });

  test("refusal 43: frames that come before the peers are set are refused without a warning", async () => {
    await using stand = await NatsStand.start();
    const a = await new Member("a").open(stand);
    const b = await new Member("b").open(stand);
    a.transport.setPeers(["b"]);
    await b.until("a refused hello", () => b.refused.includes("unknown-peer"));
    assert.ok(b.lines.some((line) => line.startsWith("debug frame from member 'a' refused")));
    assert.deepEqual(
      b.lines.filter((line) => line.startsWith("warn")),
      [],
    );
    b.transport.setPeers([]);
    assert.match(await b.line(/no such member is known/), /^warn frame from member 'a'/);
    await stopAll([a, b]);
  });

  test("a stop hands over what was sent, and ends every call back", async () => {
    await using stand = await NatsStand.start();
    const members = await openMembers(stand, ["a", "b"]);
    const [a, b] = members as [Member, Member];
    for (const text of numbers(2000)) assert.equal(a.send("b", text), true);
    await a.transport.stop();
    assert.equal(a.transport.connected, false);
    assert.equal(a.send("b", "late"), false);
    await b.until("all of it", () => b.messages.length === 2000);
    assert.deepEqual(b.texts("a"), numbers(2000));
    await b.transport.stop();
    await b.transport.stop();
  });

  test("a peer that is gone is said to be unreachable, and heard again when it is back", async () => {
    await using stand = await NatsStand.start();
    const clock = fastClock(10);
    const a = await new Member("a").open(stand, { clock });
    const b = await new Member("b").open(stand);
    a.transport.setPeers(["b"]);
    assert.equal(a.send("b", "too early"), false);
    assert.deepEqual(a.unreachable, [], "Not from within send");
    await a.until("what was dropped", () => a.unreachable.length === 1);
    b.transport.setPeers(["a"]);
    await allLinked([a, b]);
    await b.transport.stop();
    const before = a.unreachable.length;
    await a.line(/a member is not heard any more \{"peer":"b"\}/);
    await a.until("the word", () => a.unreachable.length > before);
    assert.equal(a.linked("b"), false);
    const again = await new Member("b").open(stand);
    again.transport.setPeers(["a"]);
    await a.until("a message through", () => a.send("b", "back") && again.messages.length > 0);
    await stopAll([a, again]);
  });

  test("a second process under one name is refused; the first one goes on", async () => {
    await using stand = await NatsStand.start();
    const members = await openMembers(stand, ["a", "b"]);
    const [a, b] = members as [Member, Member];
    await rejected(
      () => new Member("a").open(stand),
      "invalid-argument",
      /another process runs as member 'a'; stop it, or give this one a name of its own$/,
    );
    await a.line(/warn another process tried to start as member 'a'/);
    assert.equal(a.send("b", "still here"), true);
    await b.until("the message", () => b.messages.length === 1);
    await stopAll(members);
    const next = await new Member("a").open(stand);
    await next.transport.stop();
  });

  test("of two processes that start at once under one name one is refused", async () => {
    await using stand = await NatsStand.start();
    const outcomes = await Promise.allSettled([0, 1].map(() => new Member("a").open(stand)));
    assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") await outcome.value.transport.stop();
    }
  });

  test("a name or URL that is none is refused before anything is tried", async () => {
    await using stand = await NatsStand.start();
    const open = (wish: object): Promise<Member> =>
      new Member("a").open(stand, { tls: stand.member("a"), ...wish });
    await rejected(() => open({ name: "a.b" }), "invalid-argument", /'a.b' cannot name a member/);
    await rejected(() => open({ servers: [] }), "invalid-argument", /no URL/);
    for (const server of ["nats://h:4222", "h:4222", "tls://", "tls://user:secret@h:4222"]) {
      await rejected(() => open({ servers: [server] }), "invalid-argument", /tls:\/\/HOST:4222/);
    }
  });
});

describe("what a broker or another client may send", () => {
  test("refusal 43: replayed, altered, moved and newer frames, each counted and said once", async () => {
    await using stand = await NatsStand.start();
    const members = await openMembers(stand, ["a", "b"]);
    const [a, b] = members as [Member, Member];
    const subject = `coffer.${PLACE.cluster}.${PLACE.group}.raft.b.a`;
    const dial = (name: string) => {
      const files = stand.member(name);
      const tls = { caFile: files.ca, certFile: files.cert, keyFile: files.key };
      return connect({ servers: stand.urls[0]!, tls, reconnect: false });
    };
    // A broker sees every frame: here one that has b's certificate, and one that has a's.
    const [tap, injector] = [await dial("b"), await dial("a")];
    const seen = tap.subscribe(`coffer.${PLACE.cluster}.${PLACE.group}.raft.b.*`);
    await tap.flush();
    assert.equal(a.send("b", "once"), true);
    let captured: Uint8Array | undefined;
    for await (const { data } of seen) {
      if (data[1] !== 2) continue; // Pings go there too.
      captured = Uint8Array.from(data);
      break;
    }
    assert.ok(captured !== undefined);
    assert.equal(Buffer.from(captured).includes("once"), false, "Anybody can read it");
    await b.until("the message", () => b.messages.length === 1);
    const altered = (at: number, value: number): Uint8Array => {
      const copy = Uint8Array.from(captured!);
      copy[at] = value;
      return copy;
    };
    const refusals = async (frame: Uint8Array, reason: string, to = subject): Promise<void> => {
      const before = b.refused.length;
      injector.publish(to, frame);
      await b.until(reason, () => b.refused.slice(before).includes(reason as never));
    };
    await refusals(captured, "counter");
    await refusals(captured, "counter");
    // With a counter that is due, so that it gets as far as its seal.
    await refusals(altered(37, 1), "not-authentic");
    await refusals(altered(3, captured[3]! ^ 1), "life");
    await refusals(altered(0, 2), "wire-version");
    await refusals(new Uint8Array(3), "malformed");
    // A hello of nobody, with a counter that can be.
    const helloOf = (length: number): Uint8Array =>
      Uint8Array.from({ length }, (_, at) => (at >= 34 && at < 37 ? 0 : 1));
    await refusals(helloOf(HEADER_BYTES + 33 + 16), "not-authentic");
    await refusals(helloOf(100_000), "malformed");
    const due = altered(37, 2);
    await refusals(due, "not-authentic", subject.replace(".raft.", ".snap."));
    await refusals(captured, "unknown-peer", subject.replace("raft.b.a", "c.b.a"));
    const newer = await b.line(/wire version/);
    assert.match(
      newer,
      /^warn frame from member 'a' refused: it is of wire version 2 and this build reads 1/,
    );
    const said = b.lines.filter((line) => /does not open/.test(line));
    assert.equal(said.length, 1, "Said again and again");
    assert.deepEqual(b.texts("a"), ["once"]);
    assert.equal(a.send("b", "and on"), true);
    await b.until("what is real", () => b.messages.length === 2);
    await tap.close();
    await injector.close();
    await stopAll(members);
  });

  test("refusal 43: a member with another root key is not heard, and it is said why", async () => {
    await using stand = await NatsStand.start();
    const a = await new Member("a").open(stand);
    const b = await new Member("b").open(stand, { crypto: await cryptoOf("another root") });
    a.transport.setPeers(["b"]);
    b.transport.setPeers(["a"]);
    await a.until("the refusal", () => a.refused.includes("not-authentic"));
    await b.until("the refusal", () => b.refused.includes("not-authentic"));
    assert.match(await a.line(/refused/), /another root key file or cluster token/);
    assert.equal(a.linked("b"), false);
    assert.equal(b.send("a", "forged"), false);
    await stopAll([a, b]);
  });
});
