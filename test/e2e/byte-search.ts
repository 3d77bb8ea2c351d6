import { relative } from "node:path";
import { readFilesBelow } from "../setup/files-below.ts";

/** Looks for secrets in bytes, in each form in which a program might spill them. */

interface Needle {
  /** Which secret, and in which form; never the secret itself. */
  readonly name: string;
  readonly bytes: Buffer;
}

const PROBE_BYTES = 12;

export class ByteSearch {
  /** By their first three bytes, and whether there are any: one pass finds them all. */
  readonly #needles = new Map<number, Needle[]>();
  readonly #starts = new Uint8Array(1 << 24);
  #size = 0;

  /** Looks for the start, the middle and the end of `secret`: a long one may be cut. */
  add(name: string, secret: Uint8Array): void {
    const bytes = Buffer.from(secret);
    const last = bytes.length - PROBE_BYTES;
    const places = new Set([0, Math.floor(last / 2), last].filter((at) => at >= 0));
    for (const at of places) {
      const probe = bytes.subarray(at, at + PROBE_BYTES);
      for (const [form, spelled] of formsOf(probe)) {
        this.#addNeedle({ name: `${name} from byte ${at} as ${form}`, bytes: spelled });
      }
    }
  }

  get size(): number {
    return this.#size;
  }

  /** What of the secrets is in `haystack`. */
  find(haystack: Buffer | string): readonly string[] {
    const bytes = Buffer.from(haystack);
    const starts = this.#starts;
    const found = new Set<string>();
    let start = 0;
    for (let end = 0; end < bytes.length; end++) {
      start = ((start << 8) | (bytes[end] ?? 0)) & 0xffffff;
      if (starts[start] === 0) continue;
      for (const needle of this.#needles.get(start) ?? []) {
        const at = end - 2;
        const rest = bytes.subarray(Math.max(at, 0), at + needle.bytes.length);
        if (at >= 0 && needle.bytes.equals(rest)) found.add(needle.name);
      }
    }
    return [...found];
  }

  #addNeedle(needle: Needle): void {
    const start = needle.bytes.readUIntBE(0, 3);
    const others = this.#needles.get(start) ?? [];
    if (others.length === 0) this.#needles.set(start, others);
    others.push(needle);
    this.#starts[start] = 1;
    this.#size++;
  }

  /** The same for every file below `folder`, but for those whose relative path `skip` names. */
  findInFolder(folder: string, skip: (path: string) => boolean): readonly string[] {
    const found: string[] = [];
    for (const { path, content } of readFilesBelow(folder)) {
      if (skip(relative(folder, path))) continue;
      found.push(...this.find(content).map((name) => `${path}: ${name}`));
    }
    return found;
  }
}

function formsOf(probe: Buffer): readonly (readonly [string, Buffer])[] {
  const latin1 = probe.toString("latin1");
  const utf16 = Buffer.from(latin1, "utf16le");
  const hex = probe.toString("hex");
  const forms: [string, Buffer][] = [
    ["raw", probe],
    ["hex", Buffer.from(hex)],
    ["HEX", Buffer.from(hex.toUpperCase())],
    ["utf16le", utf16],
    ["utf16be", Buffer.from(utf16).swap16()],
    ["JSON", Buffer.from(JSON.stringify(latin1).slice(1, -1))],
    ["URL", Buffer.from(encodeURIComponent(latin1))],
    ["array", Buffer.from(probe.join(","))],
  ];
  for (const encoding of ["base64", "base64url"] as const) {
    // Base64 of bytes in the middle of others depends on how many come before, modulo three.
    for (let before = 0; before < 3; before++) {
      const text = Buffer.concat([Buffer.alloc(before), probe]).toString(encoding);
      const whole = Math.floor(((before + probe.length) * 4) / 3);
      const spelled = text.slice(before === 0 ? 0 : 4, whole - 1);
      forms.push([`${encoding}+${before}`, Buffer.from(spelled)]);
    }
  }
  return forms;
}
