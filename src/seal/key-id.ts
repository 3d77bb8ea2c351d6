/**
 * Names of keys within a scope: `root/1`, `tenant/1`, `data/7`, `secret/1`. The number is the
 * version of a root or tenant key and the epoch of a data or secret key; it counts from 1 and is
 * never used again.
 */
export type KeyKind = "root" | "tenant" | "data" | "secret";

export interface KeyName {
  readonly kind: KeyKind;
  readonly number: number;
}

/** Epochs are four bytes in a record. */
export const KEY_NUMBER_MAX = 0xffff_ffff;

const KEY_ID = /^(root|tenant|data|secret)\/([1-9][0-9]{0,9})$/;

export function keyIdOf(kind: KeyKind, number: number): string {
  return `${kind}/${number}`;
}

/** The parts of a key's id, or `undefined` if it is none. */
export function parseKeyId(id: string): KeyName | undefined {
  const match = KEY_ID.exec(id);
  if (match === null) return undefined;
  const number = Number(match[2]);
  if (number > KEY_NUMBER_MAX) return undefined;
  return { kind: match[1] as KeyKind, number };
}
