import { hash } from "node:crypto";
import { refused } from "./refusal.ts";

/** Characters of a token, without `Bearer `. */
const TOKEN_CHARS_MAX = 8192;

/** A compact JWS taken apart, nothing verified. */
export interface TokenText {
  readonly compact: string;
  /**
   * SHA-256 over the decoded header, payload and signature and the peer certificate's thumbprint,
   * each with its length: what the cache of verified tokens goes by. The signature is part of it,
   * so no token is taken for verified because another with the same payload was.
   */
  readonly digest: string;
}

export interface TokenParts {
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}

const SCHEME = /^bearer +/i;
const SHAPE = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const PREFIX_BYTES = 6;

// One scratch buffer: tokens are taken apart synchronously, and only their digest outlives the
// call.
const scratch = Buffer.allocUnsafeSlow(PREFIX_BYTES + TOKEN_CHARS_MAX + 64);

/**
 * Takes apart the metadata `authorization: Bearer x`, or etcd's raw `x`. Throws `invalid-token` for
 * what cannot be a compact JWS of at most 8 KiB: a JWE has five segments, an unsecured one an empty
 * third.
 */
export function readToken(authorization: string, thumbprint: string | undefined): TokenText {
  if (authorization.length > TOKEN_CHARS_MAX + 16) throw refused("the token is over 8 KiB");
  const compact = authorization.replace(SCHEME, "");
  if (compact.length > TOKEN_CHARS_MAX) throw refused("the token is over 8 KiB");
  if (!SHAPE.test(compact)) throw refused("not three base64url segments");
  const first = compact.indexOf(".");
  const second = compact.indexOf(".", first + 1);
  const header = compact.slice(0, first);
  const payload = compact.slice(first + 1, second);
  const signature = compact.slice(second + 1);
  checkCanonical(header);
  checkCanonical(payload);
  checkCanonical(signature);
  const mark = (thumbprint ?? "").slice(0, 64);
  const headerEnd = PREFIX_BYTES + scratch.write(header, PREFIX_BYTES, "base64url");
  const payloadEnd = headerEnd + scratch.write(payload, headerEnd, "base64url");
  const signatureEnd = payloadEnd + scratch.write(signature, payloadEnd, "base64url");
  const end = signatureEnd + scratch.write(mark, signatureEnd, "latin1");
  scratch.writeUInt16BE(headerEnd, 0);
  scratch.writeUInt16BE(payloadEnd, 2);
  scratch.writeUInt16BE(signatureEnd, 4);
  return { compact, digest: hash("sha256", scratch.subarray(0, end), "base64url") };
}

/** The decoded header and payload of a token that `readToken` has passed. */
export function partsOf(compact: string): TokenParts {
  const [header = "", payload = ""] = compact.split(".");
  return { header: Buffer.from(header, "base64url"), payload: Buffer.from(payload, "base64url") };
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = new Uint8Array(128);
for (let i = 0; i < ALPHABET.length; i++) VALUES[ALPHABET.charCodeAt(i)] = i;

/**
 * RFC 4648 §3.5: bits that carry nothing must be zero. A decoder that ignores them gives one token
 * many spellings.
 */
function checkCanonical(segment: string): void {
  const rest = segment.length % 4;
  if (rest === 0) return;
  const last = VALUES[segment.charCodeAt(segment.length - 1)] ?? 0;
  const unused = rest === 2 ? 0b1111 : 0b11;
  if (rest === 1 || (last & unused) !== 0) throw refused("base64url is not canonical");
}
