import { CofferError } from "../errors.ts";
import { DER_TAG, type DerValue, derParts, readDer } from "../stdx/mod.ts";

/** What a revocation list (RFC 5280 §5.1) says; its signature is TLS's to verify. */
export interface RevocationList {
  /** The name of its authority: content of the DER. */
  readonly issuer: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly thisUpdate: number;
  /** Past it TLS refuses every certificate of this authority. */
  readonly nextUpdate: number | undefined;
  /** Whether the serial number (hex) is on it. */
  has(serial: string): boolean;
}

const PEM_LIST = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/g;

/** The PEM texts of all lists in a file, each by itself: OpenSSL would read the first alone. */
export function revocationListTexts(pem: string): readonly string[] {
  return pem.match(PEM_LIST) ?? [];
}

/** All lists of a PEM text. Throws `invalid-argument` if there is none, or one cannot be read. */
export function readRevocationLists(pem: string): readonly RevocationList[] {
  const lists = [...pem.matchAll(PEM_LIST)].map(([, body = ""]) =>
    readList(Buffer.from(body, "base64")),
  );
  if (lists.length > 0) return lists;
  throw new CofferError("invalid-argument", "the file holds no revocation list (X509 CRL, PEM)");
}

function readList(der: Uint8Array): RevocationList {
  const [body] = derParts(readDer(der, 0), DER_TAG.sequence) ?? unreadable();
  const all = derParts(body, DER_TAG.sequence) ?? unreadable();
  // Version and nextUpdate may be left out, and the list of the revoked if there is none.
  const [, issuer, thisUpdate, ...rest] = all[0]?.tag === DER_TAG.integer ? all.slice(1) : all;
  const hasNext = rest[0] !== undefined && isTime(rest[0]);
  const revoked = hasNext ? rest[1] : rest[0];
  const serials = serialsOf(revoked?.tag === DER_TAG.sequence ? revoked.content : new Uint8Array());
  return {
    issuer: issuer?.content ?? unreadable(),
    thisUpdate: timeOf(thisUpdate ?? unreadable()),
    nextUpdate: hasNext && rest[0] !== undefined ? timeOf(rest[0]) : undefined,
    has: (serial) => serials.has(plainHex(serial)),
  };
}

function serialsOf(revoked: Uint8Array): ReadonlySet<string> {
  const serials = new Set<string>();
  // One at a time: a list may be long.
  for (let at = 0; at < revoked.length;) {
    const entry = readDer(revoked, at) ?? unreadable();
    const serial = readDer(entry.content, 0);
    if (serial?.tag !== DER_TAG.integer) unreadable();
    serials.add(plainHex(Buffer.from(serial.content).toString("hex")));
    at = entry.end;
  }
  return serials;
}

function plainHex(hex: string): string {
  return hex.toLowerCase().replace(/^0+/, "");
}

function isTime({ tag }: DerValue): boolean {
  return tag === DER_TAG.utcTime || tag === DER_TAG.generalizedTime;
}

/** RFC 5280 §4.1.2.5: to the second and in UTC, in two forms. */
function timeOf(value: DerValue): number {
  const text = Buffer.from(value.content).toString("latin1");
  const digits = /^([0-9]{10}|[0-9]{12})([0-9]{2})Z$/.test(text) && isTime(value) ? text : "";
  const isShort = value.tag === DER_TAG.utcTime;
  const century = !isShort ? "" : Number(digits.slice(0, 2)) < 50 ? "20" : "19";
  const [, year, month, day, hour, minute, second] =
    /^(.{4})(..)(..)(..)(..)(..)Z$/.exec(`${century}${digits}`) ?? [];
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(ms) ? unreadable() : ms;
}

function unreadable(): never {
  throw new CofferError("invalid-argument", "the revocation list cannot be read");
}
