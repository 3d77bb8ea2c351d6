/**
 * SPIFFE ids (spiffe.io: SPIFFE-ID.md §2), stricter than RFC 3986 where the specification is: one
 * spelling for each id, so that they can be compared as texts.
 */

const SCHEME = "spiffe://";
const ID_BYTES_MAX = 2048;
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
const SEGMENT = /^[A-Za-z0-9._-]+$/;

/**
 * What is wrong with the id of a workload, or undefined. No user, port, query, fragment or escape
 * fits these characters; a path is needed, as without one the id is the trust domain's own
 * (X509-SVID.md §5.2).
 */
export function faultOfSpiffeId(text: string): string | undefined {
  if (!text.startsWith(SCHEME)) return `does not begin with ${SCHEME}`;
  if (text.length > ID_BYTES_MAX) return `is longer than ${ID_BYTES_MAX} bytes`;
  const [trustDomain = "", ...segments] = text.slice(SCHEME.length).split("/");
  if (!TRUST_DOMAIN.test(trustDomain)) {
    return "has a trust domain of other characters than a-z, 0-9, '.', '-' and '_'";
  }
  if (segments.length === 0) return "has no path";
  if (segments.every(isSegment)) return undefined;
  return "has a path segment that is empty, '.' or '..', or of other characters than letters, digits, '.', '-' and '_'";
}

/**
 * What is wrong with a pattern of ids, or undefined: an id, or one whose last segment is a star. A
 * star elsewhere would let another trust domain, or another workload whose name goes on, pass.
 */
export function faultOfSpiffePattern(pattern: string): string | undefined {
  if (!pattern.endsWith("/*")) {
    const fault = faultOfSpiffeId(pattern);
    return pattern.includes("*") ? "may hold a star as its whole last segment only" : fault;
  }
  return faultOfSpiffeId(`${pattern.slice(0, -1)}x`);
}

/** Whether a URI claims to be a SPIFFE id, well formed or not; schemes have no case (RFC 3986). */
export function claimsSpiffe(uri: string): boolean {
  return /^spiffe:/i.test(uri);
}

function isSegment(segment: string): boolean {
  return SEGMENT.test(segment) && segment !== "." && segment !== "..";
}
