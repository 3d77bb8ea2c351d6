import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test, { describe } from "node:test";
import fc from "fast-check";
import { NameClaim } from "../../src/transport/name-claim.ts";
import type { Channel, FrameCrypto } from "../../src/transport/mod.ts";
import { PeerSession, type Opened } from "../../src/transport/session.ts";
import { flipped, utf8 } from "../seal/cluster-fixture.ts";
import { cryptoOf } from "./member.ts";
import { PLACE } from "./nats-stand.ts";

const crypto = await cryptoOf("root");

/** Lives and challenges that are all different and the same in each run. */
let drawn = 0;
function random(bytes: number): Uint8Array {
  const digest = createHash("sha256").update(`${drawn++}`).digest();
  return Uint8Array.from(digest.subarray(0, bytes));
}

function session(
  own: string,
  peer: string,
  options: { readonly crypto?: FrameCrypto; readonly place?: typeof PLACE } = {},
): PeerSession {
  return new PeerSession(peer, { place: PLACE, own, crypto, random, ...options });
}

/** Both sessions after their handshake, begun by the first. */
function pair(options: { readonly crypto?: FrameCrypto } = {}): {
  readonly a: PeerSession;
  readonly b: PeerSession;
} {
  const [a, b] = [session("a", "b"), session("b", "a", options)];
  shakeHands(a, b);
  return { a, b };
}

/** Carries a hello and every answer until nobody answers. */
function shakeHands(from: PeerSession, to: PeerSession): void {
  let sides = [from, to];
  let frame: Uint8Array | undefined = from.hello();
  for (let turns = 0; frame !== undefined; turns++) {
    assert.ok(turns < 6, "Hellos do not end");
    const opened: Opened = sides[1]!.open("raft", frame);
    frame = opened.kind === "hello" ? opened.reply : undefined;
    sides = sides.toReversed();
  }
}

const TEXT = utf8("append");

function message(from: PeerSession, channel: Channel = "raft"): Uint8Array {
  return from.seal(channel, "message", TEXT);
}

/** "ok" and what came, or the reason of the refusal. */
function outcome(opened: Opened): string {
  if (opened.kind === "refused") return opened.reason;
  return opened.kind === "body" ? Buffer.from(opened.body).toString() : opened.kind;
}

test("three hellos make a session of both", () => {
  const [a, b] = [session("a", "b"), session("b", "a")];
  const first = b.open("raft", a.hello());
  assert.ok(first.kind === "hello" && first.reply !== undefined && !first.began);
  const second = a.open("raft", first.reply);
  assert.ok(second.kind === "hello" && second.reply !== undefined && second.began);
  assert.equal(a.ready, true);
  assert.equal(b.ready, false);
  const third = b.open("raft", second.reply);
  assert.ok(third.kind === "hello" && third.reply === undefined && third.began);
  assert.equal(outcome(b.open("raft", message(a))), "append");
  assert.equal(outcome(a.open("snap", message(b, "snap"))), "append");
});

test("hellos that cross make one session too", () => {
  const [a, b] = [session("a", "b"), session("b", "a")];
  let toA = [b.hello()];
  let toB = [a.hello()];
  for (let turns = 0; toA.length + toB.length > 0; turns++) {
    assert.ok(turns < 6, "Hellos do not end");
    const answers = (at: PeerSession, frames: readonly Uint8Array[]): Uint8Array[] =>
      frames.flatMap((frame) => {
        const opened = at.open("raft", frame);
        return opened.kind === "hello" && opened.reply !== undefined ? [opened.reply] : [];
      });
    [toA, toB] = [answers(b, toB), answers(a, toA)];
  }
  assert.equal(outcome(b.open("raft", message(a))), "append");
  assert.equal(outcome(a.open("raft", message(b))), "append");
});

test("a member that started anew is taken again, and asks for it by a frame of an unknown life", () => {
  const { a, b } = pair();
  const restarted = session("b", "a");
  assert.equal(outcome(restarted.open("raft", message(a))), "life");
  shakeHands(restarted, a);
  assert.equal(outcome(restarted.open("raft", message(a))), "append");
  assert.equal(outcome(a.open("raft", message(restarted))), "append");
  assert.equal(outcome(a.open("raft", message(b))), "life");
});

test("a hello within a session leaves it as it is", () => {
  const { a, b } = pair();
  const before = message(a);
  shakeHands(b, a);
  shakeHands(a, b);
  assert.equal(outcome(b.open("raft", before)), "append");
  assert.equal(outcome(b.open("raft", message(a))), "append");
});

test("a peer may start any number of times; what is remembered of it is bounded", () => {
  const b = session("b", "a");
  for (let start = 0; start < 1100; start++) {
    const a = session("a", "b");
    shakeHands(a, b);
    // The one with which b begins a new life of its own needs a second try, as it would get.
    if (!b.ready || b.open("raft", message(a)).kind !== "body") {
      shakeHands(b, a);
      assert.equal(outcome(b.open("raft", message(a))), "append", `start ${start}`);
    }
    assert.equal(outcome(a.open("raft", message(b))), "append", `start ${start}`);
    a.close();
  }
});

test("a part carries where it belongs, authenticated", () => {
  const { a, b } = pair();
  const frame = a.seal("snap", "part", TEXT, { total: 100, offset: 94 });
  const forged = flipped(frame, 49); // The offset.
  assert.equal(outcome(b.open("snap", forged)), "not-authentic");
  const opened = b.open("snap", frame);
  assert.ok(opened.kind === "body");
  assert.deepEqual([opened.header.total, opened.header.offset], [100, 94]);
});

describe("refusals", () => {
  test("refusal 43: a frame that comes twice", () => {
    const { a, b } = pair();
    const frame = message(a);
    assert.equal(outcome(b.open("raft", frame)), "append");
    assert.equal(outcome(b.open("raft", frame)), "counter");
  });

  test("refusal 43: a frame that was overtaken, on its own or another channel", () => {
    const { a, b } = pair();
    const [first, second, third] = [message(a), message(a, "snap"), message(a)];
    assert.equal(outcome(b.open("raft", third)), "append");
    assert.equal(outcome(b.open("raft", first)), "counter");
    assert.equal(outcome(b.open("snap", second)), "counter");
    assert.equal(outcome(b.open("raft", message(a))), "append");
  });

  test("refusal 43: one changed bit anywhere in a frame", () => {
    const { a, b } = pair();
    const frame = message(a);
    for (let at = 0; at < frame.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        assert.equal(b.open("raft", flipped(frame, at, 1 << bit)).kind, "refused", `${at}.${bit}`);
      }
    }
    assert.equal(outcome(b.open("raft", frame)), "append", "What was refused counted for nothing");
  });

  test("refusal 43: a frame moved to another channel, sender, receiver, group or cluster", async () => {
    const { a, b } = pair();
    const frame = message(a);
    assert.equal(outcome(b.open("fwd", frame)), "not-authentic");
    assert.equal(outcome(b.open("snap", frame)), "not-authentic");
    const fromC = session("b", "c");
    shakeHands(session("c", "b"), fromC);
    assert.equal(fromC.open("raft", frame).kind, "refused");
    const toC = session("c", "a");
    shakeHands(session("a", "c"), toC);
    assert.equal(toC.open("raft", frame).kind, "refused");
    assert.equal(a.open("raft", frame).kind, "refused", "Sent back");
    for (const place of [
      { ...PLACE, group: "g1" },
      { ...PLACE, cluster: "00c0ffee00c0ffef" },
    ]) {
      const elsewhere = { place, crypto: await cryptoOf("root", place) };
      const there = session("b", "a", elsewhere);
      assert.equal(outcome(there.open("raft", session("a", "b").hello())), "not-authentic");
    }
    assert.equal(outcome(b.open("raft", frame)), "append");
  });

  test("refusal 43: a hello and a frame under another root key", async () => {
    const foreign = { crypto: await cryptoOf("another root") };
    const [a, b] = [session("a", "b"), session("b", "a", foreign)];
    assert.equal(outcome(b.open("raft", a.hello())), "not-authentic");
    const { b: forger } = pair(foreign);
    assert.equal(forger.ready, false);
  });

  test("refusal 43: a frame of a newer wire version, with the version", () => {
    const { a, b } = pair();
    const frame = Uint8Array.from(message(a));
    frame[0] = 2;
    assert.deepEqual(b.open("raft", frame), {
      kind: "refused",
      reason: "wire-version",
      version: 2,
    });
  });

  test("refusal 43: a hello of an earlier life, kept back by the broker, changes nothing", () => {
    const { a: former, b } = pair();
    const kept = [former.hello(), former.hello()];
    const restarted = session("a", "b");
    shakeHands(restarted, b);
    assert.equal(outcome(b.open("raft", kept[0]!)), "life");
    // One that this start of b has never heard of asks for a proof, and has none.
    const [never, fresh] = [session("a", "b"), session("b", "a")];
    const old = never.hello();
    shakeHands(restarted, fresh);
    const opened = fresh.open("raft", old);
    // Nor is it a sign of life.
    assert.ok(opened.kind === "hello" && !opened.began && !opened.proven);
    assert.equal(outcome(fresh.open("raft", message(restarted))), "append");
  });

  test("refusal 43: the proof of another time", () => {
    const [a, b] = [session("a", "b"), session("b", "a")];
    const first = b.open("raft", a.hello());
    assert.ok(first.kind === "hello" && first.reply !== undefined);
    const second = a.open("raft", first.reply);
    assert.ok(second.kind === "hello" && second.reply !== undefined);
    const anew = session("b", "a");
    const opened = anew.open("raft", second.reply);
    assert.ok(opened.kind === "hello" && !opened.began);
    assert.equal(anew.ready, false);
  });

  test("refusal 43: frames of a session that a later one replaced", () => {
    const { a, b } = pair();
    const old = [message(a), message(a)];
    assert.equal(outcome(b.open("raft", old[0]!)), "append");
    const restarted = session("a", "b");
    shakeHands(restarted, b);
    assert.equal(outcome(b.open("raft", old[1]!)), "life");
    // Nor may the former process come back: its keys have been used.
    shakeHands(a, b);
    assert.equal(outcome(b.open("raft", message(a))), "life");
    assert.equal(outcome(b.open("raft", message(restarted))), "append");
  });

  test("refusal 43: frames for a life that is over, though the session is new", () => {
    const { a, b } = pair();
    const old = message(a);
    b.close();
    const restarted = session("b", "a");
    shakeHands(restarted, a);
    // Not "not-authentic", which would tell an operator of a wrong key.
    assert.equal(outcome(restarted.open("raft", old)), "life");
    assert.equal(outcome(restarted.open("raft", message(a))), "append");
  });

  test("refusal 43: a hello that comes twice is answered once", () => {
    const [a, b] = [session("a", "b"), session("b", "a")];
    const hello = a.hello();
    assert.equal(outcome(b.open("raft", hello)), "hello");
    assert.equal(outcome(b.open("raft", hello)), "counter");
  });

  test("refusal 43: any bytes at all, at any time of a session", () => {
    const fresh = session("b", "a");
    const { a, b } = pair();
    const real = [a.hello(), message(a), a.seal("raft", "part", TEXT, { total: 9, offset: 0 })];
    const changed = fc
      .tuple(fc.constantFrom(...real), fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 40 }))
      .map(([frame, at, bytes]) => {
        const copy = Uint8Array.from(frame);
        copy.set(bytes.subarray(0, copy.length - (at % copy.length)), at % copy.length);
        return copy;
      })
      .filter((frame) => !real.some((one) => Buffer.compare(one, frame) === 0));
    const channel = fc.constantFrom<Channel>("raft", "fwd", "snap");
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), changed), channel, (frame, on) => {
        assert.equal(b.open(on, frame).kind, "refused");
        assert.equal(fresh.open(on, frame).kind, "refused");
      }),
      { numRuns: 2000 },
    );
    assert.equal(outcome(b.open("raft", real[1]!)), "append");
  });
});

describe("the claim of a name", () => {
  const claimOf = (own = "a"): NameClaim => new NameClaim({ place: PLACE, own, crypto, random });
  const losers = (told: readonly string[]): number =>
    new Set(told.filter((one) => one.endsWith("taken"))).size;

  /** Carries claims and all that follows from them; who was told what, in order. */
  function exchange(
    first: NameClaim,
    second: NameClaim,
    begin: (readonly ["first" | "second", Uint8Array])[] = [
      ["first", first.claim()],
      ["second", second.claim()],
    ],
  ): string[] {
    const told: string[] = [];
    const frames = [...begin];
    for (let next = frames.shift(); next !== undefined; next = frames.shift()) {
      assert.ok(told.length < 20, "Claims do not end");
      const [from, frame] = next;
      const to = from === "first" ? "second" : "first";
      const received = (to === "first" ? first : second).receive(frame);
      told.push(`${to} ${received.kind}`);
      if (received.kind !== "other" && received.kind !== "doubt") continue;
      for (const reply of received.replies) frames.push([to, reply]);
    }
    return told;
  }

  test("is told by who holds the name, and by nobody else", () => {
    const [holder, newcomer] = [claimOf(), claimOf()];
    holder.hold();
    const told = holder.receive(newcomer.claim());
    assert.ok(told.kind === "other");
    const [answer] = told.replies;
    assert.equal(newcomer.receive(answer!).kind, "taken");
    assert.equal(claimOf().receive(answer!).kind, "none", "It was said to another");
  });

  test("of two at once one wins", () => {
    const [one, two] = [claimOf(), claimOf()];
    assert.equal(losers(exchange(one, two)), 1);
    // Also if one of them had not subscribed yet when the other asked.
    for (const side of ["first", "second"] as const) {
      const [first, second] = [claimOf(), claimOf()];
      const claim = side === "first" ? first.claim() : second.claim();
      assert.equal(losers(exchange(first, second, [[side, claim]])), 1);
    }
  });

  test("two that hold it learn of each other", () => {
    const [one, two] = [claimOf(), claimOf()];
    one.hold();
    two.hold();
    assert.equal(losers(exchange(one, two, [["second", two.claim()]])), 2);
  });

  test("refusal 43: a claim of an earlier start keeps nobody from starting", () => {
    const former = claimOf();
    const kept = [former.claim()];
    former.hold();
    kept.push(former.claim());
    for (let start = 0; start < 20; start++) {
      const newcomer = claimOf();
      for (const frame of kept) assert.notEqual(newcomer.receive(frame).kind, "taken");
    }
  });

  test("refusal 43: an answer to an earlier start keeps nobody from starting", () => {
    const [holder, former] = [claimOf(), claimOf()];
    holder.hold();
    const told = holder.receive(former.claim());
    assert.ok(told.kind === "other");
    assert.equal(claimOf().receive(told.replies[0]!).kind, "none");
  });

  test("refusal 43: a claim or hello of another length, before any key is derived", () => {
    const never: FrameCrypto = {
      ...crypto,
      derive: () => assert.fail("A key was derived"),
    };
    const padded = (frame: Uint8Array): Uint8Array => Buffer.concat([frame, Buffer.alloc(1)]);
    const claim = new NameClaim({ place: PLACE, own: "a", crypto: never, random });
    assert.equal(claim.receive(padded(claimOf().claim())).kind, "refused");
    let isMade = false;
    const lazy: FrameCrypto = {
      ...crypto,
      derive: (scope) => (isMade ? never : crypto).derive(scope),
    };
    const b = session("b", "a", { crypto: lazy });
    isMade = true;
    assert.equal(outcome(b.open("raft", padded(session("a", "b").hello()))), "malformed");
  });

  test("refusal 43: a claim or answer that was altered", () => {
    const [holder, newcomer] = [claimOf(), claimOf()];
    holder.hold();
    const claim = newcomer.claim();
    for (let at = 0; at < claim.length; at++) {
      // A claim that was made an answer is one to nobody.
      const { kind } = holder.receive(flipped(claim, at));
      assert.equal(kind, at === 1 ? "none" : "refused", `byte ${at}`);
    }
    assert.equal(claimOf("b").receive(claim).kind, "refused");
  });
});
