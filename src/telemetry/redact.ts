import { isNativeError } from "node:util/types";

/**
 * What may leave the process in a log line. Callers are told never to pass a secret; this is the
 * second net, for the day when one does: fields by name, strings by shape, bytes always.
 */

const REDACTED = "[redacted]";

/** Characters of one string that are kept; the rest is cut with a note. */
const LOG_STRING_CHARS_MAX = 4096;
/** Characters that are scanned at all, so that a huge string costs bounded time. */
const SCAN_CHARS_MAX = 65_536;
const DEPTH_MAX = 6;
const ITEMS_MAX = 64;

const SECRET_NAME =
  /^(?:key|value)$|(?:token|authorization|password|passphrase|secret|privatekey)$/i;

// One character class and no nesting: linear on any input. A JWT's header and payload both begin
// with base64url of `{"`, which is `eyJ`.
const DOTTED_RUN = /[A-Za-z0-9_.=-]{20,}/g;
const PEM_BEGIN = "-----BEGIN ";
const PEM_END = "-----END ";

/** Whether a field of this name is hidden whatever it holds. */
function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** `text` with everything that looks like a JWT or a PEM block replaced, and cut to the limit. */
export function redactText(text: string): string {
  let kept = text.length > SCAN_CHARS_MAX ? text.slice(0, SCAN_CHARS_MAX) : text;
  const begin = kept.indexOf(PEM_BEGIN);
  if (begin >= 0) {
    const end = kept.lastIndexOf(PEM_END);
    const lineEnd = end > begin ? kept.indexOf("-----", end + PEM_END.length) : -1;
    kept = kept.slice(0, begin) + REDACTED + (lineEnd < 0 ? "" : kept.slice(lineEnd + 5));
  }
  if (kept.includes("eyJ")) {
    kept = kept.replace(DOTTED_RUN, (run) => (run.includes("eyJ") ? REDACTED : run));
  }
  if (kept.length <= LOG_STRING_CHARS_MAX) return kept;
  return `${kept.slice(0, LOG_STRING_CHARS_MAX)}... (${text.length} characters)`;
}

/** A copy of `fields` that is safe to print as JSON: bounded, without bytes, secrets or cycles. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return copyRecord(fields, 0);
}

function copyRecord(source: object, depth: number): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  let items = 0;
  for (const [name, value] of Object.entries(source)) {
    if (items++ === ITEMS_MAX) {
      copy["..."] = "more fields were cut";
      break;
    }
    copy[redactText(name)] = isSecretName(name) ? REDACTED : copyValue(value, depth + 1);
  }
  return copy;
}

function copyValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "string":
      return redactText(value);
    case "bigint":
      return value.toString();
    case "number":
    case "boolean":
    case "undefined":
      return value;
    case "symbol":
    case "function":
      return `[${typeof value}]`;
    default:
      return typeof value === "object" && value !== null ? copyObject(value, depth) : null;
  }
}

function copyObject(value: object, depth: number): unknown {
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (depth > DEPTH_MAX) return "[nested too deep]";
  if (isNativeError(value)) return copyError(value, depth);
  if (Array.isArray(value)) {
    const items = value.slice(0, ITEMS_MAX).map((item) => copyValue(item, depth + 1));
    if (value.length > ITEMS_MAX) items.push(`... (${value.length} items)`);
    return items;
  }
  return copyRecord(value, depth);
}

function copyError(error: Error, depth: number): Record<string, unknown> {
  const copy: Record<string, unknown> = { name: error.name, message: redactText(error.message) };
  if ("code" in error) copy["code"] = copyValue(error.code, depth + 1);
  if (error.stack !== undefined) copy["stack"] = redactText(error.stack);
  if (error.cause !== undefined) copy["cause"] = copyValue(error.cause, depth + 1);
  return copy;
}
