import { hash } from "node:crypto";
import { quoteBytes, quoteText } from "./escape.ts";

/** One request, refusal or login, as the edge tells it. Never holds a value or a token. */
export interface AuditEvent {
  /** "" when the request reached none. */
  readonly tenant: string;
  /** The tenant's revision that the request saw or made; 0 if it reached none. */
  readonly revision: number;
  readonly policyRevision: number;
  readonly requestId: string;
  readonly issuer: string;
  readonly subject: string;
  /** The token's `jti`, of which only the hash is written; "": none. */
  readonly tokenId: string;
  /** x5t#S256; "": no certificate. */
  readonly certThumbprint: string;
  readonly peerAddress: string;
  readonly action: string;
  /** Byte strings, one char per byte. */
  readonly key: string;
  readonly rangeEnd: string;
  readonly outcome: "ok" | "refused" | "failed";
  readonly reason: string;
}

/** A place in the chain: the record `seq` has the hash `hash` (SHA-256, hexadecimal). */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** What the first record of a chain points back to. */
export const GENESIS: ChainHead = { seq: 0, hash: "0".repeat(64) };

/** The names of a line in their order; the order is part of the format. */
const FIELD_NAMES: readonly string[] = [
  "seq",
  "time",
  "member",
  "tenant",
  "revision",
  "policyRevision",
  "requestId",
  "actor",
  "certThumbprint",
  "peer",
  "action",
  "key",
  "rangeEnd",
  "outcome",
  "reason",
  "prevHash",
  "hash",
];

/** What is the same in many lines, rendered once: the member, this millisecond, token ids. */
export interface LineContext {
  /** The member's id as a JSON string. */
  readonly member: string;
  readonly timeOf: (now: number) => string;
  readonly tokenHashOf: (tokenId: string) => string;
}

const TOKEN_HASHES_MAX = 1024;

export function createLineContext(memberId: string): LineContext {
  let lastMs = Number.NaN;
  let lastText = "";
  const hashes = new Map<string, string>();
  return {
    member: quoteText(memberId),
    timeOf: (now) => {
      if (now !== lastMs) {
        lastMs = now;
        lastText = new Date(now).toISOString();
      }
      return lastText;
    },
    tokenHashOf: (tokenId) => {
      if (tokenId === "") return "";
      const known = hashes.get(tokenId);
      if (known !== undefined) return known;
      if (hashes.size >= TOKEN_HASHES_MAX) hashes.clear();
      const made = tokenIdHash(tokenId);
      hashes.set(tokenId, made);
      return made;
    },
  };
}

/** The `jtiHash` of a token id, so that one who has a token can find its records. */
export function tokenIdHash(tokenId: string): string {
  return hash("sha256", tokenId, "hex");
}

/**
 * The line of `event` after `prev`, without its line feed, and its place in the chain. `hash`
 * covers all of the line before it, which includes the hash of the record before.
 */
export function renderLine(
  context: LineContext,
  event: AuditEvent,
  now: number,
  prev: ChainHead,
): ChainHead & { readonly line: string } {
  const seq = prev.seq + 1;
  // Concatenated by hand: JSON.stringify of the object costs three times as much, and this is on
  // the path of every request.
  const body =
    `{"seq":${seq},"time":"${context.timeOf(now)}","member":${context.member}` +
    `,"tenant":${quoteText(event.tenant)},"revision":${event.revision}` +
    `,"policyRevision":${event.policyRevision},"requestId":${quoteText(event.requestId)}` +
    `,"actor":{"issuer":${quoteText(event.issuer)},"subject":${quoteText(event.subject)}` +
    `,"jtiHash":"${context.tokenHashOf(event.tokenId)}"}` +
    `,"certThumbprint":${quoteText(event.certThumbprint)},"peer":${quoteText(event.peerAddress)}` +
    `,"action":${quoteText(event.action)},"key":${quoteBytes(event.key)}` +
    `,"rangeEnd":${quoteBytes(event.rangeEnd)},"outcome":"${event.outcome}"` +
    `,"reason":${quoteText(event.reason)},"prevHash":"${prev.hash}"`;
  const digest = hash("sha256", body, "hex");
  return { seq, hash: digest, line: `${body},"hash":"${digest}"}` };
}

/** The end of a line: what `hash` does not cover. */
const HASH_TAIL = /^,"hash":"([0-9a-f]{64})"\}$/;
const HASH_TAIL_CHARS = 75;

export type LineReading =
  | {
      readonly ok: true;
      readonly head: ChainHead;
      readonly prevHash: string;
      readonly member: string;
    }
  | { readonly ok: false; readonly reason: string };

/** Checks a line by itself: its own hash, its form. */
export function readLine(line: string): LineReading {
  const at = line.length - HASH_TAIL_CHARS;
  const digest = HASH_TAIL.exec(line.slice(Math.max(at, 0)))?.[1];
  if (digest === undefined) return { ok: false, reason: "it is not an audit record" };
  if (hash("sha256", line.slice(0, at), "hex") !== digest) {
    return { ok: false, reason: "it was edited: its hash does not match its content" };
  }
  const record = parsed(line);
  if (record === undefined || Object.keys(record).join() !== FIELD_NAMES.join()) {
    return { ok: false, reason: "it is not an audit record" };
  }
  const { seq, prevHash, member } = record;
  if (!Number.isSafeInteger(seq) || typeof prevHash !== "string" || typeof member !== "string") {
    return { ok: false, reason: "it is not an audit record" };
  }
  return { ok: true, head: { seq: Number(seq), hash: digest }, prevHash, member };
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}
