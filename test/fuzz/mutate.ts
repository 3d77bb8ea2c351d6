import type { Prng } from "../../src/stdx/mod.ts";

/** Changes of inputs that were good once: what a fuzzer does to bytes and to texts. */

const INTERESTING: readonly number[] = [0, 1, 0x0a, 0x22, 0x2c, 0x7f, 0x80, 0xbf, 0xfe, 0xff];
const RUN_BYTES_MAX = 64;

type Change = (bytes: Uint8Array, random: Prng) => Uint8Array;

const changes: readonly Change[] = [
  (bytes, random) => replaced(bytes, random, (was) => was ^ (1 << random.below(8))),
  (bytes, random) => replaced(bytes, random, () => random.below(256)),
  (bytes, random) => replaced(bytes, random, () => pick(INTERESTING, random)),
  (bytes, random) => splice(bytes, random.below(bytes.length + 1), 0, noise(random)),
  (bytes, random) => {
    const at = random.below(bytes.length + 1);
    return splice(bytes, at, random.below(RUN_BYTES_MAX), new Uint8Array());
  },
  (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  // A piece of itself again, elsewhere: repeated fields, nested messages.
  (bytes, random) => {
    const from = random.below(bytes.length + 1);
    const piece = bytes.slice(from, from + random.below(RUN_BYTES_MAX));
    return splice(bytes, random.below(bytes.length + 1), 0, piece);
  },
  // The longest varint, or a length that nothing has.
  (bytes, random) => {
    const long = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    return splice(bytes, random.below(bytes.length + 1), random.below(4), long);
  },
];

/** `bytes` with one to eight changes; a copy. */
export function mutated(bytes: Uint8Array, random: Prng): Uint8Array {
  let out = Uint8Array.from(bytes);
  for (let left = 1 + random.below(8); left > 0; left--) {
    out = Uint8Array.from(pick(changes, random)(out, random));
  }
  return out;
}

/** As `mutated`, by the UTF-16 units of `text`, with pieces of `words` put in. */
export function mutatedText(text: string, random: Prng, words: readonly string[]): string {
  let out = text;
  for (let left = 1 + random.below(8); left > 0; left--) {
    const at = random.below(out.length + 1);
    const gone = random.below(3) === 0 ? random.below(12) : 0;
    const put = random.below(3) === 0 ? "" : pick(words, random);
    out = out.slice(0, at) + put + out.slice(at + gone);
  }
  return out;
}

export function pick<T>(list: readonly T[], random: Prng): T {
  const found = list[random.below(list.length)];
  if (found === undefined) throw new Error("Nothing to pick from");
  return found;
}

export function noise(random: Prng, bytesMax: number = RUN_BYTES_MAX): Uint8Array {
  return Uint8Array.from({ length: random.below(bytesMax + 1) }, () => random.below(256));
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function replaced(bytes: Uint8Array, random: Prng, next: (was: number) => number): Uint8Array {
  if (bytes.length === 0) return bytes;
  const out = Uint8Array.from(bytes);
  const at = random.below(out.length);
  out[at] = next(out[at] ?? 0);
  return out;
}

function splice(bytes: Uint8Array, at: number, gone: number, put: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, at), ...put, ...bytes.subarray(at + gone)]);
}
