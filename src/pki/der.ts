import forge from "node-forge";
import { CofferError } from "../errors.ts";
import { assert } from "../stdx/mod.ts";

/**
 * DER (ITU-T X.690) through node-forge's ASN.1: it knows nothing of elliptic curves, but its
 * encoder does not need to. Its strings hold a byte per char.
 */
export type Asn1 = forge.asn1.Asn1;

const { Class, Type } = forge.asn1;

/** A context tag is any number, which node-forge's types do not let through. */
const createTagged: (
  tagClass: forge.asn1.Class,
  tag: number,
  constructed: boolean,
  value: string | Asn1[],
) => Asn1 = forge.asn1.create;

export function sequence(...parts: readonly Asn1[]): Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, [...parts]);
}

export function setOf(...parts: readonly Asn1[]): Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.SET, true, [...parts]);
}

export function oid(value: string): Asn1 {
  return primitive(Type.OID, forge.asn1.oidToDer(value).getBytes());
}

/** The integer of these big-endian bytes, positive whatever the first bit is. */
export function unsigned(bytes: Uint8Array): Asn1 {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = binary(bytes.subarray(start));
  return primitive(Type.INTEGER, digits.charCodeAt(0) >= 0x80 ? `\0${digits}` : digits);
}

export function boolean(value: boolean): Asn1 {
  return primitive(Type.BOOLEAN, value ? "\xff" : "\0");
}

export function octets(bytes: Uint8Array): Asn1 {
  return primitive(Type.OCTETSTRING, binary(bytes));
}

/** A bit string; `unusedBits` at the end of the last byte are not part of it. */
export function bits(bytes: Uint8Array, unusedBits = 0): Asn1 {
  return primitive(Type.BITSTRING, String.fromCharCode(unusedBits) + binary(bytes));
}

export function utf8Text(value: string): Asn1 {
  return primitive(Type.UTF8, binary(Buffer.from(value, "utf8")));
}

/** UTCTime through 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). In whole seconds. */
export function time(ms: number): Asn1 {
  const date = new Date(ms);
  if (date.getUTCFullYear() < 2050) {
    return primitive(Type.UTCTIME, forge.asn1.dateToUtcTime(date));
  }
  return primitive(Type.GENERALIZEDTIME, forge.asn1.dateToGeneralizedTime(date));
}

/** Context tag `[tag] EXPLICIT`. */
export function explicit(tag: number, ...parts: readonly Asn1[]): Asn1 {
  return createTagged(Class.CONTEXT_SPECIFIC, tag, true, [...parts]);
}

/** Context tag `[tag] IMPLICIT` over bytes. */
export function tagged(tag: number, bytes: Uint8Array): Asn1 {
  return createTagged(Class.CONTEXT_SPECIFIC, tag, false, binary(bytes));
}

export function encode(value: Asn1): Uint8Array {
  return Buffer.from(forge.asn1.toDer(value).getBytes(), "latin1");
}

interface DecodeOptions {
  readonly strict: true;
  readonly parseAllBytes: true;
  readonly decodeBitStrings: false;
}

/** node-forge takes options here, its types know only the older flag. Bit strings stay bytes. */
const fromDer = forge.asn1.fromDer as unknown as (bytes: string, options: DecodeOptions) => Asn1;

/** Throws `invalid-argument` naming `what` if `bytes` are not one DER value. */
export function decode(bytes: Uint8Array, what: string): Asn1 {
  try {
    return fromDer(binary(bytes), { strict: true, parseAllBytes: true, decodeBitStrings: false });
  } catch (cause) {
    throw new CofferError("invalid-argument", `${what} is not valid DER`, { cause });
  }
}

/** The parts of a constructed value; none of a primitive one. */
export function partsOf(value: Asn1 | undefined): readonly Asn1[] {
  return value !== undefined && Array.isArray(value.value) ? value.value : [];
}

/** The content bytes of a primitive value; none of a constructed or missing one. */
export function contentOf(value: Asn1 | undefined): Uint8Array {
  return typeof value?.value === "string" ? Buffer.from(value.value, "latin1") : new Uint8Array(0);
}

/** The dotted form of an OID, "" if it is none. */
export function oidOf(value: Asn1 | undefined): string {
  if (value?.type !== Type.OID || typeof value.value !== "string") return "";
  return forge.asn1.derToOid(value.value);
}

export function isContextTag(value: Asn1 | undefined, tag: number): boolean {
  return value?.tagClass === Class.CONTEXT_SPECIFIC && (value.type as number) === tag;
}

export function isBoolean(value: Asn1 | undefined): boolean {
  return value?.tagClass === Class.UNIVERSAL && value.type === Type.BOOLEAN;
}

/** The text of any of the string types of names (RFC 5280 §4.1.2.4). */
export function textOf(value: Asn1 | undefined): string {
  const bytes = Buffer.from(contentOf(value));
  if (value?.type === Type.UTF8) return bytes.toString("utf8");
  if (value?.type === Type.BMPSTRING && bytes.length % 2 === 0) {
    return bytes.swap16().toString("utf16le");
  }
  return bytes.toString("latin1");
}

function primitive(type: forge.asn1.Type, content: string): Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, type, false, content);
}

function binary(bytes: Uint8Array): string {
  assert(bytes.length < 1 << 24, "DER value is longer than a certificate can be");
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
