import { createHash } from "node:crypto";
import type { RecordChange, StoredRecord } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { MAX_AGE_SECONDS_MAX } from "./issuer-record.ts";

/**
 * What is revoked. Times in whole seconds since the epoch; a credential of that very second counts as
 * issued before it, since `iat` and `notBefore` know no finer ones.
 */
export type RevocationTarget =
  /** One token, by `iss` and `jti`. */
  | { readonly kind: "token"; readonly issuer: string; readonly tokenId: string }
  /** What a subject holds; `issuer` "": of any issuer, certificates too. */
  | {
      readonly kind: "subject";
      readonly issuer: string;
      readonly subject: string;
      readonly issuedBefore: number;
    }
  /** All tokens of an issuer. */
  | { readonly kind: "issuer"; readonly issuer: string; readonly issuedBefore: number }
  /** A certificate by its x5t#S256, and whatever comes over a connection that shows it. */
  | { readonly kind: "certificate"; readonly thumbprint: string };

/** A record of table `revocation`: of the cluster's scope, or of the tenant that it holds for. */
export interface Revocation {
  readonly target: RevocationTarget;
  /** The subject that revoked. */
  readonly by: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** From then on nothing that it names can be valid anyway, so it may go. Milliseconds. */
  readonly expires: number;
}

export interface StoredRevocation extends Revocation {
  readonly id: string;
}

/** What the index keeps of each. */
export type KnownRevocation = Pick<StoredRevocation, "id" | "target" | "expires">;

export interface RevocationOrder {
  readonly target: RevocationTarget;
  readonly by: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** The greatest age of the issuer's tokens, in seconds; undefined: unknown, or any issuer. */
  readonly maxAgeSeconds: number | undefined;
  /** When a certificate ends, if that is known. Milliseconds since the epoch. */
  readonly certificateEnds: number | undefined;
  /** Records that the scope may hold. */
  readonly recordsMax: number;
}

/** What a record may hold, in any of its versions. */
type Fields = Partial<
  Record<
    | "version"
    | "target"
    | "by"
    | "created"
    | "expires"
    | "kind"
    | "issuer"
    | "tokenId"
    | "subject"
    | "issuedBefore"
    | "thumbprint",
    unknown
  >
>;

const TEXT_CHARS_MAX = 1024;
const TOKEN_ID_CHARS_MAX = 256;
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;
/** Clocks of members, of an issuer and of who revokes may differ by so much. Seconds. */
const SKEW_SECONDS = 60;
/** A certificate of unknown end is taken to live no longer. */
const CERTIFICATE_SECONDS_MAX = 10 * 366 * 24 * 3600;
/** Useless records that one proposal takes away at most. */
const PRUNED_MAX = 1000;

/**
 * The changes that revoke, given what the scope holds now: the new record, and without those that are
 * useless by now or that the new one covers. Throws `invalid-argument` for a target that names
 * nothing, and `quota-exceeded` when the scope is full.
 */
export function planRevocation(
  order: RevocationOrder,
  current: Iterable<KnownRevocation>,
): { readonly revoked: StoredRevocation; readonly changes: readonly RecordChange[] } {
  checkTarget(order.target, order.now / 1000);
  const { target, by, now } = order;
  const id = idOf(target);
  const revoked = { id, target, by, created: now, expires: endOf(order) };
  const others = [...current].filter((known) => known.id !== id);
  const gone = others
    .filter((known) => known.expires <= now || covers(target, known.target))
    .slice(0, PRUNED_MAX);
  if (others.length - gone.length >= order.recordsMax) {
    throw new CofferError(
      "quota-exceeded",
      `revocations: ${order.recordsMax}; revoke many tokens at once by subject or by issuer and ` +
        "--issued-before, which takes the place of those that it covers, or take some back",
    );
  }
  const removals = gone.map((known): RecordChange => {
    return { table: "revocation", id: known.id, data: undefined, expect: "any" };
  });
  const data = encodeRevocation(revoked);
  return { revoked, changes: [...removals, { table: "revocation", id, data, expect: "any" }] };
}

/** Reads a stored record; undefined for one that no Coffer of this version wrote. */
export function readRevocation({ id, data }: StoredRecord): StoredRevocation | undefined {
  // Of our own writing, and many at a time: the strict reader would take ten times as long.
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(data).toString("utf8"));
  } catch {
    return undefined;
  }
  const { version, target: named, by, created, expires } = fieldsOf(json);
  const target = readTarget(fieldsOf(named));
  if (version !== 1 || typeof by !== "string" || target === undefined) return undefined;
  if (typeof created !== "number" || typeof expires !== "number") return undefined;
  return { id, target, by, created, expires };
}

function fieldsOf(json: unknown): Fields {
  return typeof json === "object" && json !== null ? json : {};
}

function readTarget(json: Fields): RevocationTarget | undefined {
  const { kind, issuer, tokenId, subject, issuedBefore, thumbprint } = json;
  if (kind === "certificate") {
    return typeof thumbprint === "string" ? { kind, thumbprint } : undefined;
  }
  if (typeof issuer !== "string") return undefined;
  if (kind === "token") {
    return typeof tokenId === "string" ? { kind, issuer, tokenId } : undefined;
  }
  if (typeof issuedBefore !== "number") return undefined;
  if (kind === "issuer") return { kind, issuer, issuedBefore };
  if (kind !== "subject" || typeof subject !== "string") return undefined;
  return { kind, issuer, subject, issuedBefore };
}

function encodeRevocation({ target, by, created, expires }: Revocation): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ version: 1, target, by, created, expires }));
}

/**
 * One target, one id, so that revoking again adds nothing. The time is part of it: of two that are
 * revoked at once neither may take the place of the other and move the time back.
 */
function idOf(target: RevocationTarget): string {
  const parts = Object.entries(target).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}

/** Whether all that `old` names is named by `target` too. */
function covers(target: RevocationTarget, old: RevocationTarget): boolean {
  if (target.kind === "issuer") {
    if (old.kind !== "issuer" && old.kind !== "subject") return false;
    return old.issuer === target.issuer && old.issuedBefore <= target.issuedBefore;
  }
  if (target.kind !== "subject" || old.kind !== "subject") return false;
  const sameIssuer = target.issuer === "" || old.issuer === target.issuer;
  return sameIssuer && old.subject === target.subject && old.issuedBefore <= target.issuedBefore;
}

/** When the last credential that the target names must have ended. Milliseconds. */
function endOf(order: RevocationOrder): number {
  const { target, now, certificateEnds } = order;
  const longest = now + CERTIFICATE_SECONDS_MAX * 1000;
  if (target.kind === "certificate") return certificateEnds ?? longest;
  // One certificate's end says nothing of what else the subject holds.
  if (target.issuer === "certificate" || target.issuer === "") return longest;
  const age = order.maxAgeSeconds ?? MAX_AGE_SECONDS_MAX;
  // Of one token only the issuer knows when it began: at the latest now.
  const begun = "issuedBefore" in target ? target.issuedBefore * 1000 : now;
  return begun + (age + 2 * SKEW_SECONDS) * 1000;
}

function checkTarget(target: RevocationTarget, nowSeconds: number): void {
  const bad = (problem: string): CofferError => new CofferError("invalid-argument", problem);
  const isText = (text: string, max: number): boolean =>
    text !== "" && text.length <= max && !/\p{C}/u.test(text);
  if ("issuer" in target && target.issuer !== "" && !isText(target.issuer, TEXT_CHARS_MAX)) {
    throw bad("the issuer must be a printable text");
  }
  if (target.kind === "token") {
    if (target.issuer === "") throw bad("a token is revoked by its jti and its issuer");
    if (!isText(target.tokenId, TOKEN_ID_CHARS_MAX)) {
      throw bad(`the jti must be a printable text of at most ${TOKEN_ID_CHARS_MAX} characters`);
    }
  }
  if (target.kind === "subject" && !/^(?:user|sa|cert):./su.test(target.subject)) {
    throw bad("the subject must be written as user:NAME, sa:NAMESPACE/NAME or cert:NAME");
  }
  if (target.kind === "subject" && !isText(target.subject, TEXT_CHARS_MAX)) {
    throw bad("the subject must be a printable text");
  }
  if (target.kind === "issuer" && target.issuer === "") throw bad("name the issuer");
  if (target.kind === "certificate" && !THUMBPRINT.test(target.thumbprint)) {
    throw bad("a certificate is named by its SHA-256 in base64url, 43 characters (x5t#S256)");
  }
  if (!("issuedBefore" in target)) return;
  const { issuedBefore } = target;
  if (!Number.isSafeInteger(issuedBefore) || issuedBefore < 1) {
    throw bad("the time issued before must be whole seconds since the epoch");
  }
  if (issuedBefore > nowSeconds + SKEW_SECONDS) {
    throw bad(
      "the time issued before is in the future: to keep a subject out for good, deny it in the policy",
    );
  }
}
