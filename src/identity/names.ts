import { refused } from "./refusal.ts";

/** What a subject, a group and a tenant may be called. */

/** Bytes of UTF-8. */
const SUBJECT_BYTES_MAX = 256;
export const GROUPS_MAX = 64;
export const TENANTS_MAX = 64;

/**
 * Controls, format characters (bidirectional overrides, zero width), line and paragraph separators,
 * lone surrogates, unassigned code points: none has a place in a name, and each can make two names
 * look alike in a log.
 */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u;
const OUTER_SPACE = /^\s|\s$/;

/**
 * Spellings that Coffer gives out itself. An issuer's claim that begins so is refused even though
 * the prefix that we add would defuse it: nobody calls himself `role:admin` by accident.
 */
const RESERVED = /^(?:role|cert|system|group):/i;

/** Whether `text` can be part of a subject or a group. */
export function isPlainName(text: string): boolean {
  return (
    text !== "" &&
    text.length <= SUBJECT_BYTES_MAX &&
    Buffer.byteLength(text) <= SUBJECT_BYTES_MAX &&
    !UNPRINTABLE.test(text) &&
    !OUTER_SPACE.test(text)
  );
}

export function isReserved(text: string): boolean {
  return RESERVED.test(text);
}

/** `prefix` + `name`, or a refusal that speaks of `what`. */
export function prefixedName(prefix: string, name: unknown, what: string): string {
  if (typeof name !== "string") throw refused(`${what} is not a string`);
  if (!isPlainName(name)) throw refused(`${what} is empty, too long or not printable`);
  if (isReserved(name)) throw refused(`${what} has a reserved prefix`);
  if (Buffer.byteLength(prefix) + Buffer.byteLength(name) > SUBJECT_BYTES_MAX) {
    throw refused(`${what} is too long`);
  }
  return prefix + name;
}

const OTHER_IDENTITIES = /^(?:user|sa):/i;

/** `cert:` and the name. One that spells another kind of identity would mislead who reads it. */
export function certificateSubject(name: string, what: string): string {
  if (OTHER_IDENTITIES.test(name)) throw refused(`${what} has a reserved prefix`);
  return prefixedName("cert:", name, what);
}

const OWN_SUBJECT = /^(?:user|sa):(.+)$/su;

/**
 * A name that spells its own prefix (`user:alice`, `sa:ns/name`), as the built-in issuer writes it.
 */
export function ownSubject(name: unknown, what: string): string {
  if (typeof name !== "string") throw refused(`${what} is not a string`);
  const rest = OWN_SUBJECT.exec(name)?.[1];
  if (rest === undefined) throw refused(`${what} does not begin with user: or sa:`);
  return prefixedName(name.slice(0, name.length - rest.length), rest, what);
}

/** The subject, if it is one that a token of Coffer's own may carry. */
export function isOwnSubject(name: string): boolean {
  const rest = OWN_SUBJECT.exec(name)?.[1];
  return rest !== undefined && isPlainName(name) && isPlainName(rest) && !isReserved(rest);
}
