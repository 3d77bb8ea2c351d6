/**
 * Text of strangers in an audit line. A line is printable ASCII whatever it records, so that
 * neither `cat` nor a log shipper can be steered by it, and its bytes, its characters and its hash
 * agree.
 */

/** Characters of a text, bytes of a key, that are kept. */
const FIELD_MAX = 1024;

/** Printable ASCII without `"` and `\`: what JSON needs no escape for. */
const PLAIN = /^[ !#-[\]-~]*$/;
const NOT_ASCII = /[^ -~]/g;

/** `text` as a JSON string in ASCII, cut with a note past `FIELD_MAX`. */
export function quoteText(text: string): string {
  if (text.length <= FIELD_MAX && PLAIN.test(text)) return `"${text}"`;
  const kept =
    text.length <= FIELD_MAX ? text : `${text.slice(0, FIELD_MAX)}\\...(${text.length} characters)`;
  return JSON.stringify(kept).replace(NOT_ASCII, unicodeEscape);
}

/**
 * A byte string (one char per byte) as a JSON string: bytes that are not printable ASCII, and the
 * backslash, as \xNN. No escaped key holds a backslash without an x, so the note on a cut key,
 * `\...(N bytes)`, cannot be part of one.
 */
export function quoteBytes(bytes: string): string {
  if (bytes.length <= FIELD_MAX && PLAIN.test(bytes)) return `"${bytes}"`;
  const cut = bytes.length > FIELD_MAX;
  const kept = (cut ? bytes.slice(0, FIELD_MAX) : bytes).replace(/[^ -[\]-~]/g, byteEscape);
  return JSON.stringify(cut ? `${kept}\\...(${bytes.length} bytes)` : kept);
}

/** The bytes that `quoteBytes` wrote, of the string that JSON.parse gave; undefined if they were cut. */
export function bytesOfQuoted(text: string): string | undefined {
  if (!text.includes("\\")) return text;
  if (text.includes("\\...(")) return undefined;
  return text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function byteEscape(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
