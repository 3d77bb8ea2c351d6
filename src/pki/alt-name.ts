import { isIP } from "node:net";
import { CofferError } from "../errors.ts";
import { contentOf, isContextTag, sequence, tagged, partsOf, type Asn1 } from "./der.ts";

/** Subject alternative names (RFC 5280 §4.2.1.6). */
export interface AltNames {
  readonly dns: readonly string[];
  /** In their shortest usual form: 127.0.0.1, ::1. */
  readonly ips: readonly string[];
  readonly uris: readonly string[];
}

const TAG_DNS = 2;
const TAG_URI = 6;
const TAG_IP = 7;

/** Letters, digits and hyphens in labels of at most 63; a star may be the whole first label. */
const DNS_NAME =
  /^(\*\.)?([a-z0-9_]([a-z0-9-_]{0,61}[a-z0-9])?\.)*[a-z0-9_]([a-z0-9-_]{0,61}[a-z0-9])?$/i;
const DNS_NAME_MAX = 253;

/** Throws `invalid-argument` naming the bad name. */
export function encodeAltNames(names: Pick<AltNames, "dns" | "ips">): Asn1 {
  return sequence(
    ...names.dns.map((name) => tagged(TAG_DNS, dnsBytes(name))),
    ...names.ips.map((ip) => tagged(TAG_IP, ipBytes(ip))),
  );
}

export function decodeAltNames(value: Asn1): AltNames {
  const of = (tag: number): readonly Uint8Array[] =>
    partsOf(value)
      .filter((part) => isContextTag(part, tag))
      .map(contentOf);
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
  return {
    dns: of(TAG_DNS).map(text),
    ips: of(TAG_IP).map(ipText),
    uris: of(TAG_URI).map(text),
  };
}

/** How many names there are of any kind, those that AltNames leaves out too. */
export function altNameCount(value: Asn1): number {
  return partsOf(value).length;
}

/** The one spelling of an address. Throws `invalid-argument`. */
export function canonicalIp(ip: string): string {
  return ipText(ipBytes(ip));
}

function dnsBytes(name: string): Uint8Array {
  const shaped = name.length <= DNS_NAME_MAX && DNS_NAME.test(name);
  // Clients look for an address among the addresses only.
  if (shaped && isIP(name) === 0) return Buffer.from(name, "latin1");
  throw new CofferError("invalid-argument", `${JSON.stringify(name)} is not a DNS name`);
}

function ipBytes(ip: string): Uint8Array {
  const version = isIP(ip);
  if (version === 4) return Uint8Array.from(ip.split(".").map(Number));
  if (version !== 6 || ip.includes("%")) {
    throw new CofferError("invalid-argument", `${JSON.stringify(ip)} is not an IP address`);
  }
  // The URL parser writes every form of the address, embedded IPv4 too, as hex groups.
  const groups = new URL(`http://[${ip}]`).hostname.slice(1, -1);
  const [head = "", tail = ""] = groups.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === "" ? [] : tail.split(":");
  const middle = Array<string>(8 - left.length - right.length).fill("0");
  const all = [...left, ...middle, ...right].map((group) => Number.parseInt(group, 16));
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return [...bytes].join(".");
  if (bytes.length !== 16) return Buffer.from(bytes).toString("hex");
  const groups = Buffer.from(bytes).toString("hex").match(/.{4}/g) ?? [];
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
