import { SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from "./issuer-record.ts";
import { refused } from "./refusal.ts";
import type { JsonObject } from "./strict-json.ts";

/**
 * The header fields that are read. `jku`, `x5u`, `jwk` and `x5c` never are: keys come from records.
 */
export interface TokenHeader {
  readonly algorithm: SignatureAlgorithm;
  readonly keyId: string | undefined;
}

/** Printable ASCII without spaces; an issuer's key ids are thumbprints, dates or short names. */
const KEY_ID = /^[\x21-\x7e]{1,256}$/;

/**
 * RFC 7519 §5.1 and RFC 9068 §2.1; other kinds (logout, DPoP, id of another use) are not for us.
 */
const TYPES: ReadonlySet<string> = new Set([
  "jwt",
  "at+jwt",
  "application/jwt",
  "application/at+jwt",
]);

/** Judges a JWS header before its issuer is known. Throws `invalid-token`. */
export function judgeHeader(header: JsonObject): TokenHeader {
  const algorithm = SIGNATURE_ALGORITHMS.find((name) => name === header["alg"]);
  if (algorithm === undefined) throw refused("alg is not an asymmetric signature");
  // RFC 7515 §4.1.11: an extension that must be understood. None is, b64 included.
  if (header["crit"] !== undefined) throw refused("crit names an extension");
  if (header["b64"] !== undefined) throw refused("b64 is not for a JWT");
  if (header["enc"] !== undefined || header["zip"] !== undefined) throw refused("a JWE header");
  if (header["cty"] !== undefined) throw refused("nested content");
  const { typ } = header;
  if (typ !== undefined && (typeof typ !== "string" || !TYPES.has(typ.toLowerCase()))) {
    throw refused("typ is not that of an access token");
  }
  const { kid } = header;
  if (kid === undefined) return { algorithm, keyId: undefined };
  if (typeof kid !== "string" || !KEY_ID.test(kid)) throw refused("kid is not a short text");
  return { algorithm, keyId: kid };
}
