import { createHash } from "node:crypto";
import type { Prng } from "../../../src/stdx/mod.ts";
import type { Channel } from "../../../src/transport/mod.ts";
import { PeerSession } from "../../../src/transport/session.ts";
import { cryptoOf } from "../../transport/member.ts";
import { PLACE } from "../../transport/nats-stand.ts";
import { mutated, noise, pick, sameBytes } from "../mutate.ts";
import { Finding, type Target } from "../target.ts";

const CHANNELS: readonly Channel[] = ["raft", "fwd"];

/**
 * Frames between two members, changed, repeated and sent elsewhere on the way: only what was sealed, on
 * its channel, for this session and for the first time comes out.
 */
export async function frameTarget(): Promise<Target> {
  const crypto = await cryptoOf("root");
  return {
    name: "frame",
    attempt(random) {
      let drawn = 0;
      const start = random.below(2 ** 31);
      const randomBytes = (bytes: number): Uint8Array =>
        Uint8Array.from(
          createHash("sha256").update(`${start} ${drawn++}`).digest().subarray(0, bytes),
        );
      const deps = { place: PLACE, crypto, random: randomBytes };
      const a = new PeerSession("b", { ...deps, own: "a" });
      const b = new PeerSession("a", { ...deps, own: "b" });
      try {
        greet(a, b, random);
        for (let left = 1 + random.below(4); left > 0 && a.ready; left--) talk(a, b, random);
      } finally {
        a.close();
        b.close();
      }
    },
  };
}

/** Hellos there and back, with garbage in between that must not end or take over the session. */
function greet(a: PeerSession, b: PeerSession, random: Prng): void {
  let frame: Uint8Array | undefined = a.hello();
  let sides = [b, a] as const;
  for (let turns = 0; frame !== undefined && turns < 8; turns++) {
    const [to, from] = sides;
    const changed = mutated(frame, random);
    if (!sameBytes(changed, frame)) {
      const opened = to.open(pick(CHANNELS, random), changed);
      if (opened.kind !== "refused") throw new Finding("a changed hello was taken", changed);
    }
    const opened = to.open("raft", frame);
    if (opened.kind !== "hello") throw new Finding("a good hello was refused", frame);
    frame = opened.reply;
    sides = [from, to];
  }
  if (!a.ready || !b.ready) throw new Error("The hellos made no session");
}

function talk(a: PeerSession, b: PeerSession, random: Prng): void {
  const channel = pick(CHANNELS, random);
  const body = noise(random, 400);
  const frame = Uint8Array.from(a.seal(channel, "message", body));
  const changed = mutated(frame, random);
  if (!sameBytes(changed, frame) && b.open(channel, changed).kind === "body") {
    throw new Finding("a changed frame was taken", changed);
  }
  const other = channel === "raft" ? "fwd" : "raft";
  if (b.open(other, frame).kind === "body") {
    throw new Finding("a frame was taken on another channel", frame);
  }
  if (a.open(channel, frame).kind === "body") throw new Finding("a frame was taken back", frame);
  const opened = b.open(channel, frame);
  if (opened.kind !== "body" || !sameBytes(opened.body, body)) {
    throw new Finding("a good frame was refused", frame);
  }
  if (b.open(channel, frame).kind === "body") throw new Finding("a frame was taken twice", frame);
}
