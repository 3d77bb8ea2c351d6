/** One audit record as a syslog message (RFC 5424); the line itself is the message, so that it verifies. */

/** Facility 13, "log audit" (RFC 5424 section 6.2.1), times 8. */
const AUDIT_FACILITY = 13 * 8;
/** Severities: informational, warning, error. */
const SEVERITIES: Readonly<Record<string, number>> = { ok: 6, refused: 4, failed: 3, unknown: 4 };
const NIL = "-";
/** The number of examples (RFC 5612): Coffer has no enterprise number of its own. */
const SD_ID = "coffer@32473";

/** A datagram of IPv4 holds 65,507 bytes; a message cut to this is told so by its hash alone. */
export const DATAGRAM_BYTES_MAX = 60_000;

interface Fields {
  readonly time?: unknown;
  readonly member?: unknown;
  readonly tenant?: unknown;
  readonly action?: unknown;
  readonly outcome?: unknown;
  readonly key?: unknown;
  readonly requestId?: unknown;
  readonly seq?: unknown;
  readonly actor?: { readonly subject?: unknown; readonly issuer?: unknown };
}

/** The message of a line, which is ASCII. `hostname` is this machine's. */
export function syslogMessage(line: string, hostname: string): string {
  const record = fieldsOf(line);
  const { action, outcome } = record;
  const severity = SEVERITIES[String(outcome)] ?? 5;
  const head = [
    `<${AUDIT_FACILITY + severity}>1`,
    header(record.time, 32),
    header(hostname, 255),
    "coffer",
    header(record.member, 128),
    header(action, 32),
  ].join(" ");
  const params = {
    seq: record.seq,
    tenant: record.tenant,
    subject: record.actor?.subject,
    issuer: record.actor?.issuer,
    action,
    key: record.key,
    outcome,
    requestId: record.requestId,
  };
  const data = Object.entries(params)
    .filter(([, value]) => value !== undefined && value !== "")
    .map(([name, value]) => ` ${name}="${paramValue(String(value))}"`)
    .join("");
  return `${head} [${SD_ID}${data}] ${line}`;
}

/** Octet counting (RFC 6587 section 3.4.1, RFC 5425 section 4.3): a message may hold any byte. */
export function counted(message: string): string {
  return `${Buffer.byteLength(message, "utf8")} ${message}`;
}

/** PRINTUSASCII of limited length, or the nil value. */
function header(value: unknown, charsMax: number): string {
  const text = (typeof value === "string" ? value : "").replace(/[^!-~]/g, "_");
  return text === "" ? NIL : text.slice(0, charsMax);
}

/**
 * `"`, `\` and `]` are escaped (RFC 5424 section 6.3.3); what is not printable ASCII is written as JSON
 * would, since receivers differ in what they do with it.
 */
function paramValue(text: string): string {
  return text
    .replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .replace(/["\\\]]/g, (char) => `\\${char}`);
}

function fieldsOf(line: string): Fields {
  try {
    return JSON.parse(line) as Fields;
  } catch {
    return {};
  }
}
