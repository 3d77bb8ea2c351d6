import { readFileSync } from "node:fs";
import type { ServerConfig } from "../config/mod.ts";
import { inspectCertificates, readRevocationLists } from "../pki/mod.ts";
import type { Clock, Scheduler } from "../stdx/mod.ts";
import type { CertificateEnd, Logger } from "../telemetry/mod.ts";

const DAY_MS = 86_400_000;
/** As for the certificate to NATS. */
const WARNING_MS = 7 * DAY_MS;
/** A revocation list that lives for a day is told of on its last quarter, not always. */
const WARNING_SHARE = 1 / 4;

/** When a file of certificates or revocation lists, the first of them, ends. */
export interface FileEnd {
  readonly file: CertificateFile;
  readonly path: string;
  /** Milliseconds since the epoch. */
  readonly begin: number;
  readonly end: number;
}

type CertificateFile = "tls-cert" | "client-ca" | "client-crl" | "nats-cert";

const FILES: {
  readonly [file in CertificateFile]: {
    readonly kind: CertificateEnd["kind"];
    readonly what: string;
    readonly effect: string;
  };
} = {
  "tls-cert": {
    kind: "server",
    what: "the certificate for clients",
    effect: "clients refuse it then",
  },
  "client-ca": {
    kind: "client-ca",
    what: "an authority of clients",
    effect: "its clients' certificates are refused then",
  },
  "client-crl": {
    kind: "crl",
    what: "a revocation list",
    effect: "all certificates of its authority are refused then",
  },
  "nats-cert": {
    kind: "nats",
    what: "the certificate to NATS",
    effect: "NATS refuses this member then",
  },
};

/** The ends of all files that the member was given; of one that cannot be read, none. */
export function readEnds(config: ServerConfig): readonly FileEnd[] {
  const paths = {
    "tls-cert": config.tlsCert,
    "client-ca": config.clientCa,
    "client-crl": config.clientCrl,
    "nats-cert": config.natsCert,
  } as const;
  return (Object.keys(FILES) as CertificateFile[]).flatMap((file) => {
    const path = paths[file];
    return path === undefined ? [] : endOf(file, path);
  });
}

/** As /metrics shows them: by the name of the option, as paths are nobody else's business. */
export function expiryMetrics(ends: readonly FileEnd[]): readonly CertificateEnd[] {
  return ends.map(({ file, end }) => ({ file, kind: FILES[file].kind, seconds: end / 1000 }));
}

/**
 * Warns now and daily of what has ended or soon will: the member would see no more of it than
 * connections that end. Answers how to end it.
 */
export function warnOfExpiry(
  ends: () => readonly FileEnd[],
  deps: { readonly log: Logger; readonly clock: Clock; readonly scheduler: Scheduler },
): () => void {
  const tell = (): void => {
    for (const end of ends()) {
      const line = expiryLine(end, deps.clock.now());
      if (line !== undefined) deps.log.warn(line);
    }
  };
  tell();
  return deps.scheduler.every(DAY_MS, tell);
}

function expiryLine({ file, path, begin, end }: FileEnd, now: number): string | undefined {
  const notice = Math.min(
    WARNING_MS,
    file === "client-crl" ? (end - begin) * WARNING_SHARE : WARNING_MS,
  );
  if (end - now > notice) return undefined;
  const { what, effect } = FILES[file];
  const verb = now > end ? "expired" : "expires";
  const date = new Date(end).toISOString();
  return `${what} in --${file} '${path}' ${verb} at ${date}; ${effect}, so replace the file`;
}

function endOf(file: CertificateFile, path: string): readonly FileEnd[] {
  try {
    const pem = readFileSync(path, "utf8");
    const spans =
      file === "client-crl"
        ? readRevocationLists(pem).flatMap(({ thisUpdate, nextUpdate }) =>
            nextUpdate === undefined ? [] : [{ begin: thisUpdate, end: nextUpdate }],
          )
        : inspectCertificates(pem).map(({ notBefore, notAfter }) => {
            return { begin: notBefore, end: notAfter };
          });
    const [first] = spans.toSorted((a, b) => a.end - b.end);
    return first === undefined ? [] : [{ file, path, ...first }];
  } catch {
    return []; // Whoever uses the file says what is wrong with it.
  }
}
