import { authenticatedData } from "./authenticated-data.ts";
import { LIFE_BYTES, HEADER_BYTES, decodeHeader, writeKind, writeLives } from "./frame.ts";
import type { FrameKind } from "./frame.ts";
import type { RefusalReason } from "./ports.ts";
import { CONTROL_CHANNEL, NO_LIFE, type SessionDeps } from "./session.ts";

/**
 * Finds out whether another process runs under this member's name, over the subject from the member
 * to itself, which only processes with its certificate reach.
 *
 *     claiming --nobody said "claimed" in time--> held
 *     claiming --"claimed"--> (refused)
 *
 * Whoever holds the name answers a claim with "claimed". Of two that claim at once, the one with the
 * lower life answers the other.
 *
 * A claim alone proves nothing: the broker, or a thief of the certificate, may have kept it from an
 * earlier start. So who would have to yield to one claims itself, and yields to the answer alone, which
 * is sealed for its life.
 */

/** What a claim says of its sender. */
const CLAIMS = 0;
const HOLDS = 1;
/** Holds it, and asks because of the other's claim: it is answered, and not asked again. */
const HOLDS_AND_DOUBTS = 2;

export class NameClaim {
  readonly #deps: SessionDeps;
  readonly #data: ReturnType<typeof authenticatedData>[typeof CONTROL_CHANNEL];
  readonly #life: Uint8Array;
  #counter = 0;
  #held = false;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
    this.#data = authenticatedData(deps.place, { from: deps.own, to: deps.own })[CONTROL_CHANNEL];
    this.#life = deps.random(LIFE_BYTES);
  }

  get held(): boolean {
    return this.#held;
  }

  /** The name is this process's: from now on claims are answered. */
  hold(): void {
    this.#held = true;
  }

  /** The frame to send to oneself; again after each new connection. */
  claim(): Uint8Array {
    return this.#seal("claim", NO_LIFE, this.#held ? HOLDS : CLAIMS);
  }

  /**
   * What came from oneself to oneself. "taken": another process has the name. "other": one that does
   * not have it. "doubt": perhaps another has it. `replies` go to that other.
   */
  receive(
    frame: Uint8Array,
  ):
    | { readonly kind: "refused"; readonly reason: RefusalReason; readonly version?: number }
    | { readonly kind: "taken" }
    | { readonly kind: "other" | "doubt"; readonly replies: readonly Uint8Array[] }
    | { readonly kind: "none" } {
    const { own, crypto } = this.#deps;
    const header = decodeHeader(frame, crypto.tagBytes);
    if (header.kind === "wire-version") {
      return { kind: "refused", reason: "wire-version", version: header.version };
    }
    if (header.kind !== "claim" && header.kind !== "claimed") {
      return { kind: "refused", reason: "malformed" };
    }
    if (frame.length !== HEADER_BYTES + 1 + crypto.tagBytes) {
      return { kind: "refused", reason: "malformed" };
    }
    // Comparing as text compares as bytes: both are hex of one length.
    const [theirs, ours] = [hexOf(header.fromLife), hexOf(this.#life)];
    const isAnswer = header.kind === "claimed";
    if (theirs === ours) return { kind: "none" };
    if (isAnswer && hexOf(header.toLife) !== ours) return { kind: "none" }; // To yet another.
    const { fromLife, toLife } = header;
    const key = crypto.derive({ from: own, to: own, fromLife, toLife });
    this.#data.withPart.set(frame.subarray(0, HEADER_BYTES), this.#data.headerAt);
    const body = key.open(header.counter, this.#data.plain, frame.subarray(HEADER_BYTES));
    key.close();
    if (body === undefined) return { kind: "refused", reason: "not-authentic" };
    if (isAnswer) return { kind: "taken" };
    const theyHold = body[0] !== CLAIMS;
    if (!this.#held) {
      if (theyHold || theirs < ours) return { kind: "doubt", replies: [this.claim()] };
      return { kind: "other", replies: [this.#seal("claimed", fromLife, CLAIMS)] };
    }
    const answer = this.#seal("claimed", fromLife, HOLDS);
    if (!theyHold) return { kind: "other", replies: [answer] };
    const asks = body[0] === HOLDS ? [this.#seal("claim", NO_LIFE, HOLDS_AND_DOUBTS)] : [];
    return { kind: "doubt", replies: [answer, ...asks] };
  }

  #seal(kind: FrameKind, toLife: Uint8Array, says: number): Uint8Array {
    const { own, crypto } = this.#deps;
    const counter = ++this.#counter;
    const { withPart, headerAt, header, plain } = this.#data;
    writeLives(withPart, headerAt, { from: this.#life, to: toLife });
    writeKind(withPart, headerAt, kind, counter);
    const frame = new Uint8Array(HEADER_BYTES + 1 + crypto.tagBytes);
    frame.set(header);
    // The counter of this process goes up whoever is asked, so no key sees one twice.
    const key = crypto.derive({ from: own, to: own, fromLife: this.#life, toLife });
    key.seal(counter, plain, Uint8Array.of(says), frame.subarray(HEADER_BYTES));
    key.close();
    return frame;
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
