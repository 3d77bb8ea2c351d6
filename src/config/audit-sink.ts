import { isAbsolute } from "node:path";
import type { Parsed, Parser } from "./parsers.ts";

/** One `--audit-sink`. */
export type AuditSinkConfig =
  | { readonly kind: "file"; readonly name: string; readonly path: string }
  | { readonly kind: "udp"; readonly name: string; readonly host: string; readonly port: number }
  | {
      readonly kind: "stream";
      readonly name: string;
      readonly form: "jsonl" | "syslog";
      readonly host: string;
      readonly port: number;
      readonly tls: AuditSinkTls | undefined;
    };

interface AuditSinkTls {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

const URL_FORM = /^([a-z+]+):\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]+))?\/?(?:\?(.*))?$/;
/** RFC 5425 section 4.1; the others have no port of their own that is safe to take for granted. */
const SYSLOG_TLS_PORT = 6514;

const bad = (error: string): Parsed<AuditSinkConfig> => ({ ok: false, error });

/** `jsonl:PATH`, or a scheme of `schemes` with host and port. */
export const auditSink: Parser<AuditSinkConfig> = {
  placeholder: "URL",
  kind: "text",
  parse: (value) => {
    if (value.startsWith("jsonl:")) return fileSink(value, value.slice("jsonl:".length));
    const [, scheme = "", hostText = "", portText, query = ""] = URL_FORM.exec(value) ?? [];
    const host = hostText.replace(/^\[|\]$/g, "");
    const port =
      portText === undefined && scheme === "syslog+tls" ? SYSLOG_TLS_PORT : Number(portText);
    const name = `${scheme}://${hostText}:${port}`;
    if (query !== "" && scheme !== "syslog+tls") return bad("takes no options; syslog+tls does");
    if (host !== "" && !(port >= 1 && port <= 65_535)) return bad("needs a port from 1 to 65535");
    switch (host === "" ? "" : scheme) {
      case "syslog+udp":
        return { ok: true, value: { kind: "udp", name, host, port } };
      case "syslog+tcp":
      case "jsonl+tcp": {
        const form = scheme === "jsonl+tcp" ? "jsonl" : "syslog";
        return { ok: true, value: { kind: "stream", name, form, host, port, tls: undefined } };
      }
      case "syslog+tls":
        return tlsSink({ kind: "stream", name, form: "syslog", host, port, tls: undefined }, query);
      default:
        return bad(
          "is not jsonl:PATH, jsonl+tcp://HOST:PORT, syslog+udp://HOST:PORT, " +
            "syslog+tcp://HOST:PORT or syslog+tls://HOST:PORT?ca=FILE",
        );
    }
  },
};

function fileSink(name: string, path: string): Parsed<AuditSinkConfig> {
  if (!isAbsolute(path) || path.includes("\0")) return bad("needs an absolute path");
  return { ok: true, value: { kind: "file", name, path } };
}

function tlsSink(
  sink: Extract<AuditSinkConfig, { kind: "stream" }>,
  query: string,
): Parsed<AuditSinkConfig> {
  const options = new URLSearchParams(query);
  const odd = [...options.keys()].find((key) => !["ca", "cert", "key"].includes(key));
  if (odd !== undefined) return bad(`has an unknown option ${odd}; there are ca, cert and key`);
  const file = (name: string): string | undefined => options.get(name) ?? undefined;
  const [caFile, certFile, keyFile] = [file("ca"), file("cert"), file("key")];
  if ((certFile === undefined) !== (keyFile === undefined))
    return bad("needs cert and key together");
  return { ok: true, value: { ...sink, tls: { caFile, certFile, keyFile } } };
}
