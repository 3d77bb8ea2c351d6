import { duration, list, oneOf, parseCommandLine, path, text } from "../../config/mod.ts";
import { isTenantName } from "../../core/types/mod.ts";
import { exitCode, type ExitCode } from "../../errors.ts";
import { type Command, type Context, formatOption } from "../command.ts";
import { inputFile } from "../input-file.ts";
import { type Io, readStdin, write } from "../io.ts";
import { jsonText } from "../json.ts";
import { mistake } from "../keys.ts";

type CertificateUsage = "client" | "server";

/** What the composition root is asked to sign: a request's key, and nothing else that it says. */
export interface SignOrder {
  readonly authority: { readonly certificatePath: string; readonly keyPath: string };
  readonly profile: {
    readonly commonName: string;
    readonly organization: readonly string[];
    readonly usages: readonly CertificateUsage[];
    readonly dns: readonly string[];
    readonly ips: readonly string[];
    /** Milliseconds since the epoch; left out: a year from now, if the authority lives as long. */
    readonly notAfter?: number;
  };
  /** PKCS #10, PEM. */
  readonly request: string;
}

export interface SignedCertificate {
  /** PEM. */
  readonly certificate: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

const options = {
  cn: { name: "cn", parser: text("NAME"), help: "its common name: it acts as cert:NAME" },
  tenants: {
    name: "tenants",
    parser: list(text("NAME")),
    help: "tenants that it is bound to, the first by default, as O=tenant:NAME (default)",
  },
  usages: {
    name: "usages",
    parser: list(oneOf(["client", "server"])),
    help: "what it is good for (client)",
  },
  dns: {
    name: "dns",
    parser: list(text("NAME")),
    help: "its DNS names; the request may ask for these alone",
  },
  ips: { name: "ips", parser: list(text("IP")), help: "its addresses, likewise" },
  ttl: {
    name: "ttl",
    parser: duration({ min: 60_000 }),
    help: "how long it lives, at most as long as the authority (365d)",
  },
  authority: {
    name: "authority",
    parser: path("FILE"),
    help: "certificate of the authority (certs/ca.crt)",
  },
  authorityKey: {
    name: "authority-key",
    parser: path("FILE"),
    help: "its key (beside it: certs/ca.key)",
  },
  format: formatOption,
} as const;

export const pkiSign: Command = {
  name: "pki sign",
  usage: "REQUEST --cn NAME [--tenants NAMES]",
  summary: "sign a certificate request of somebody who keeps the key",
  argumentHelp: [
    [
      "REQUEST",
      "a file with one request (PKCS #10, PEM); -: from stdin. Its own subject is not read",
    ],
  ],
  examples: [
    [
      "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout web.key -subj /CN=web -out web.csr",
      "the key stays where it was made",
    ],
    [
      "coffer pki sign web.csr --cn web --tenants blue > web.crt",
      "for a client that is cert:web, in tenant blue and no other",
    ],
    [
      "coffer pki sign m1.csr --cn m1 --usages server --dns m1.example.com --ttl 90d",
      "for a server; a request that asks for any other name is refused",
    ],
  ],
  options,
  isClient: false,
  run: async (argv: readonly string[], { io, services }: Context): Promise<ExitCode> => {
    const { values, positional } = parseCommandLine(options, argv);
    const [file, ...more] = positional;
    if (file === undefined || more.length > 0) throw mistake("pki sign takes one REQUEST");
    if (values.cn === undefined) throw mistake("pki sign needs --cn: a request does not say who");
    const request = file === "-" ? await readStdin(io) : inputFile(io, file);
    const certificatePath = values.authority ?? "certs/ca.crt";
    const keyPath = values.authorityKey ?? certificatePath.replace(/(\.[^./]*)?$/, ".key");
    const { ttl } = values;
    const order: SignOrder = {
      authority: { certificatePath, keyPath },
      profile: {
        commonName: values.cn,
        organization: unique(values.tenants ?? []).map(organizationOf),
        usages: unique(values.usages ?? ["client"]),
        dns: unique(values.dns ?? []),
        ips: unique(values.ips ?? []),
        ...(ttl === undefined ? {} : { notAfter: Date.now() + ttl }),
      },
      request: Buffer.from(request).toString("latin1"),
    };
    if (values.authority === undefined) checkIsThere(io, certificatePath);
    const signed = await services.pki.sign(order);
    const isJson = values.format === "json";
    await write(io, isJson ? `${jsonText({ ...signed })}\n` : signed.certificate);
    return exitCode.ok;
  },
};

function checkIsThere(io: Io, path: string): void {
  try {
    io.readFile(path);
  } catch {
    const detail = `there is no ${path}: say by --authority where the authority is`;
    throw mistake(`${detail} (.coffer/pki/ca.crt of coffer dev)`);
  }
}

function unique<T>(values: readonly T[]): readonly T[] {
  return [...new Set(values)];
}

/** As members take it; a certificate that they refuse is not made. */
function organizationOf(tenant: string): string {
  if (isTenantName(tenant)) return `tenant:${tenant}`;
  throw mistake(`${JSON.stringify(tenant)} is no tenant's name: a-z, 0-9 and -, 1 to 63 of them`);
}
