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

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

/** Values that stand where another was expected. */
const STRANGE: readonly Json[] = [
  null,
  true,
  -1,
  0,
  0.5,
  1e308,
  "",
  "*",
  "\u0000",
  "\ud800",
  "x".repeat(5000),
  [],
  {},
  [[]],
  [""],
  ["*"],
  { glob: "" },
];
const DEPTHS: readonly number[] = [15, 16, 17, 100, 30_000];
const COUNTS: readonly number[] = [51, 65, 1000, 20_000];

/** The text of `value` with one to four changes of its fields, which then is good JSON. */
export function mutatedJson(value: Json, random: Prng): string {
  let text = JSON.stringify(value);
  for (let left = 1 + random.below(4); left > 0; left--) {
    const copy = JSON.parse(text) as Json;
    changeField(placesOf(copy), random);
    text = JSON.stringify(copy);
  }
  if (random.below(32) === 0) return text.replace(/[^"[{]*$/, deep(pick(DEPTHS, random)));
  if (random.below(32) === 0) return text.replace("{", `{${many(pick(COUNTS, random))},`);
  return text;
}

/** JSON of that many arrays, one in another. */
export function deep(levels: number): string {
  return "[".repeat(levels) + "]".repeat(levels);
}

/** That many fields of an object, without its braces. */
export function many(fields: number): string {
  return Array.from({ length: fields }, (_, n) => `"f${n}":0`).join(",");
}

type Holder = { [name: string]: Json };

/** Every object and array in `value`, itself too. */
function placesOf(value: Json): readonly Holder[] {
  if (typeof value !== "object" || value === null) return [];
  return [value as Holder, ...Object.values(value).flatMap(placesOf)];
}

function changeField(places: readonly Holder[], random: Prng): void {
  const holder = pick(places, random);
  const names = Object.keys(holder);
  const name = names.length === 0 ? "x" : pick(names, random);
  const other = pick(places, random);
  switch (random.below(4)) {
    case 0:
      delete holder[name];
      return;
    case 1:
      holder[name] = structuredClone(pick(STRANGE, random));
      return;
    case 2:
      holder[pick([`${name}s`, "constructor", "toString", "0"], random)] = holder[name] ?? null;
      return;
    default:
      holder[name] = structuredClone(other);
  }
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
