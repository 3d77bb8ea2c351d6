/**
 * JSON of a stranger. RFC 8259 §4 leaves duplicate names open, and two parsers that disagree about
 * them are how a checked claim and a used claim become different ones (RFC 7519 §4 lets us refuse).
 */

/** A JSON object without a prototype: no name in it can reach `Object.prototype`. */
export interface JsonObject {
  readonly [name: string]: JsonValue | undefined;
}

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;

const DEPTH_MAX = 16;

/** Why a text is refused; never holds the text. */
export class JsonRefused extends Error {
  override readonly name = "JsonRefused";
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The object in `bytes`. Refuses what is not UTF-8, not JSON, not an object, nested deeper than 16,
 * or has a name twice in one object or the name `__proto__` anywhere.
 */
export function parseStrictJson(bytes: Uint8Array): JsonObject {
  let text: string;
  let parsed: unknown;
  try {
    text = utf8.decode(bytes);
    parsed = JSON.parse(text);
  } catch {
    throw new JsonRefused("not JSON in UTF-8");
  }
  checkNames(text);
  const copy = copyOf(parsed);
  if (!isJsonObject(copy)) throw new JsonRefused("not a JSON object");
  return copy;
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An array of strings, or undefined if `value` is anything else. */
export function stringsOf(value: JsonValue | undefined): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items: readonly JsonValue[] = value;
  return items.every((item) => typeof item === "string") ? items : undefined;
}

/** Walks a text that JSON.parse has accepted, so that every string and bracket is well formed. */
function checkNames(text: string): void {
  const scopes: (Set<string> | undefined)[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text.charAt(at);
    if (char === '"') {
      const end = endOfString(text, at);
      if (followedByColon(text, end)) checkName(scopes.at(-1), text.slice(at, end));
      at = end;
      continue;
    }
    if (char === "{" || char === "[") scopes.push(char === "{" ? new Set() : undefined);
    if (char === "}" || char === "]") scopes.pop();
    if (scopes.length > DEPTH_MAX) throw new JsonRefused("nested too deep");
    at++;
  }
}

function checkName(names: Set<string> | undefined, quoted: string): void {
  // Decoded before comparing: "a" and "\u0061" are one name.
  const name: unknown = JSON.parse(quoted);
  if (typeof name !== "string" || names === undefined) throw new JsonRefused("not JSON");
  if (name === "__proto__") throw new JsonRefused("a name that is refused");
  if (names.has(name)) throw new JsonRefused("a name is given twice");
  names.add(name);
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text.charAt(at) !== '"') at += text.charAt(at) === "\\" ? 2 : 1;
  return at + 1;
}

function followedByColon(text: string, from: number): boolean {
  let at = from;
  while (at < text.length && " \t\r\n".includes(text.charAt(at))) at++;
  return text.charAt(at) === ":";
}

function copyOf(value: unknown): JsonValue {
  if (Array.isArray(value)) return value.map(copyOf);
  if (typeof value !== "object" || value === null) return value as JsonValue;
  const copy: Record<string, JsonValue> = Object.create(null) as Record<string, JsonValue>;
  for (const [name, member] of Object.entries(value)) copy[name] = copyOf(member);
  return copy;
}
