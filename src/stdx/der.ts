/**
 * DER (ITU-T X.690 §10) read where it lies: no copy, and no object for what nobody asks about. For
 * what node:crypto does not tell of a certificate or revocation list.
 */
export interface DerValue {
  /** The identifier octet: class, whether it is constructed, and number. */
  readonly tag: number;
  readonly content: Uint8Array;
  /** Where the next value begins. */
  readonly end: number;
}

/** Identifier octets. */
export const DER_TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
} as const;

/** More than a certificate, or a revocation list that a process should hold, can be. */
const LENGTH_OCTETS_MAX = 4;

/**
 * The value that begins at `at`; undefined if there is none: cut short, of indefinite length, with a
 * length that is not in its shortest form, or with a tag number above 30.
 */
export function readDer(bytes: Uint8Array, at: number): DerValue | undefined {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return undefined;
  if (first < 0x80) return valueOf(bytes, { tag, start: at + 2, length: first });
  const octets = first & 0x7f;
  if (octets === 0 || octets > LENGTH_OCTETS_MAX) return undefined;
  let length = 0;
  for (let i = 0; i < octets; i++) {
    const octet = bytes[at + 2 + i];
    if (octet === undefined || (i === 0 && octet === 0)) return undefined;
    length = length * 256 + octet;
  }
  if (length < 0x80) return undefined;
  return valueOf(bytes, { tag, start: at + 2 + octets, length });
}

/** The values that `content` is made of; undefined if it is not made of values to its last byte. */
export function derValues(content: Uint8Array): readonly DerValue[] | undefined {
  const values: DerValue[] = [];
  for (let at = 0; at < content.length;) {
    const value = readDer(content, at);
    if (value === undefined) return undefined;
    values.push(value);
    at = value.end;
  }
  return values;
}

/** The parts of a value that has this tag; undefined if it has another or its content is no DER. */
export function derParts(
  value: DerValue | undefined,
  tag: number,
): readonly DerValue[] | undefined {
  return value?.tag === tag ? derValues(value.content) : undefined;
}

function valueOf(
  bytes: Uint8Array,
  { tag, start, length }: { readonly tag: number; readonly start: number; readonly length: number },
): DerValue | undefined {
  const end = start + length;
  if (end > bytes.length) return undefined;
  return { tag, content: bytes.subarray(start, end), end };
}
