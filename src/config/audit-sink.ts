import { isAbsolute } from "node:path";
import { type Parsed, type Parser, isLoopback } from "./parsers.ts";

/** One `--audit-sink`. */
export type AuditSinkConfig =
  | { readonly kind: "file"; readonly name: string; readonly path: string }
  | (Receiver & { readonly kind: "udp" })
  | (Receiver & {
      readonly kind: "stream";
      readonly form: "jsonl" | "syslog";
      readonly tls: AuditSinkTls | undefined;
    });

interface Receiver {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** It is another machine, and what goes there is not encrypted: only when asked for. */
  readonly isExposed: boolean;
}

interface AuditSinkTls {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

const URL_FORM = /^([a-z+]+):\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]+))?\/?(?:\?(.*))?$/;
/** RFC 5425 section 4.1; the others have no port of their own that is safe to take for granted. */
const SYSLOG_TLS_PORT = 6514;

const bad = (error: string): Parsed<AuditSinkConfig> => ({ ok: false, error });
const good = (value: AuditSinkConfig): Parsed<AuditSinkConfig> => ({ ok: true, value });

/** `jsonl:PATH`, or a scheme of `SCHEMES` with host and port. */
export const auditSink: Parser<AuditSinkConfig> = {
  placeholder: "URL",
  kind: "text",
  parse: (value) => {
    if (value.startsWith("jsonl:")) return fileSink(value, value.slice("jsonl:".length));
    const [, name = "", hostText = "", portText, query = ""] = URL_FORM.exec(value) ?? [];
    const scheme = SCHEMES.get(name);
    if (scheme === undefined) {
      return bad(`is neither jsonl:PATH nor one of ${[...SCHEMES.keys()].join(", ")}://HOST:PORT`);
    }
    const port =
      portText === undefined && name === "syslog+tls" ? SYSLOG_TLS_PORT : Number(portText);
    if (!(port >= 1 && port <= 65_535)) return bad("needs a port from 1 to 65535");
    const options = new URLSearchParams(query);
    const known = scheme.way === "tls" ? ["ca", "cert", "key"] : ["plaintext"];
    const odd = [...options.keys()].find((key) => !known.includes(key));
    if (odd !== undefined)
      return bad(`has an unknown option ${odd}; ${name} has ${known.join(", ")}`);
    const host = hostText.replace(/^\[|\]$/g, "");
    const place = { name: `${name}://${hostText}:${port}`, host, port };
    return scheme.way === "tls"
      ? tlsSink(scheme.form, place, options)
      : plainSink(scheme, place, options.get("plaintext"));
  },
};

interface Scheme {
  readonly form: "jsonl" | "syslog";
  readonly way: "tls" | "tcp" | "udp";
}

const SCHEMES: ReadonlyMap<string, Scheme> = new Map([
  ["syslog+tls", { form: "syslog", way: "tls" }],
  ["jsonl+tls", { form: "jsonl", way: "tls" }],
  ["syslog+tcp", { form: "syslog", way: "tcp" }],
  ["jsonl+tcp", { form: "jsonl", way: "tcp" }],
  ["syslog+udp", { form: "syslog", way: "udp" }],
]);

type Place = Omit<Receiver, "isExposed">;

function fileSink(name: string, path: string): Parsed<AuditSinkConfig> {
  if (!isAbsolute(path) || path.includes("\0")) return bad("needs an absolute path");
  return good({ kind: "file", name, path });
}

function tlsSink(
  form: Scheme["form"],
  place: Place,
  options: URLSearchParams,
): Parsed<AuditSinkConfig> {
  const file = (name: string): string | undefined => options.get(name) ?? undefined;
  const [caFile, certFile, keyFile] = [file("ca"), file("cert"), file("key")];
  if ((certFile === undefined) !== (keyFile === undefined)) {
    return bad("needs cert and key together");
  }
  const tls = { caFile, certFile, keyFile };
  return good({ ...place, kind: "stream", form, isExposed: false, tls });
}

/** Records name keys and subjects, and who can change them on the way can hide what was done. */
function plainSink(
  { form, way }: Scheme,
  place: Place,
  plaintext: string | null,
): Parsed<AuditSinkConfig> {
  if (plaintext !== null && plaintext !== "allow") return bad("takes plaintext=allow alone");
  const isExposed = !isLoopback(place);
  if (isExposed && plaintext === null) {
    const port = form === "syslog" ? SYSLOG_TLS_PORT : place.port;
    return bad(
      "would send audit records unencrypted to another machine: use " +
        `${form}+tls://HOST:${port}?ca=FILE, or, if who is on the way may read and change them, ` +
        "append ?plaintext=allow",
    );
  }
  if (way === "udp") return good({ ...place, kind: "udp", isExposed });
  return good({ ...place, kind: "stream", form, isExposed, tls: undefined });
}
