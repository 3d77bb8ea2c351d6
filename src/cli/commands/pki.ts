import { list, onOff, parseCommandLine, path, text } from "../../config/mod.ts";
import { exitCode, type ExitCode } from "../../errors.ts";
import type { Command, Context } from "../command.ts";
import { formatOption } from "../command.ts";
import { inputFile } from "../input-file.ts";
import { write } from "../io.ts";
import { jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe, timeText } from "../print.ts";
import { type SignedCertificate, type SignOrder, pkiSign } from "./pki-sign.ts";

/** What the composition root does for the commands about certificates. */
export interface PkiServices {
  /** Makes or renews the files of a cluster. What the order leaves out is as it was the last time. */
  init(order: PkiOrder): Promise<PkiOutcome>;
  /** What the certificates in a PEM file say, in order. */
  inspect(pem: string): Promise<readonly CertificateFacts[]>;
  /** A certificate for the key of a request that asks for nothing beyond the profile. */
  sign(order: SignOrder): Promise<SignedCertificate>;
}

export interface PkiOrder {
  readonly folder: string;
  readonly members: readonly string[] | undefined;
  readonly nats: readonly string[] | undefined;
  /** Addresses or DNS names by the member or NATS server they reach. */
  readonly hosts: { readonly [name: string]: readonly string[] } | undefined;
  readonly clusterToken: string | undefined;
  readonly force: boolean;
}

export interface PkiOutcome {
  readonly folder: string;
  readonly members: readonly string[];
  readonly nats: readonly string[];
  readonly files: readonly {
    readonly path: string;
    readonly outcome: "made" | "renewed" | "kept" | "edited";
  }[];
}

export interface CertificateFacts {
  readonly subject: string;
  readonly issuer: string;
  readonly serial: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly isAuthority: boolean;
  readonly usages: readonly string[];
  readonly dns: readonly string[];
  readonly ips: readonly string[];
  readonly uris: readonly string[];
  readonly thumbprint: string;
}

const initOptions = {
  out: { name: "out", parser: path("FOLDER"), help: "where the files are, or will be (certs)" },
  members: {
    name: "members",
    parser: list(text("NAME")),
    help: "members of the cluster, those added later too (m1,m2,m3)",
  },
  nats: {
    name: "nats",
    parser: list(text("NAME")),
    help: "NATS servers between them (n1,n2,n3; none for one member)",
  },
  hosts: {
    name: "hosts",
    parser: list(text("NAME=HOST")),
    help: "how a member or NATS server is reached beside its name, as m1=10.0.0.5; may repeat NAME",
  },
  clusterToken: {
    name: "cluster-token",
    parser: text("TEXT"),
    help: "as the members are given it (coffer)",
  },
  force: {
    name: "force",
    parser: onOff,
    help: "issue all certificates anew and replace edited files; never the root key",
  },
  format: formatOption,
} as const;

const init: Command = {
  name: "pki init",
  usage: "[--out FOLDER] [--members m1,m2,m3] [--nats n1,n2,n3]",
  summary: "make the certificates, root key and NATS configuration of a cluster, or renew them",
  examples: [
    ["coffer pki init --out certs", "for docker-compose.yml: m1, m2, m3 and n1, n2, n3"],
    [
      "coffer pki init --members a,b,c --nats x --hosts a=10.0.0.5,a=a.example.com,x=10.0.0.9",
      "machines of your own: a certificate must name what its server is reached by",
    ],
    ["coffer pki init --out certs", "again: renews what ends within 30 days and keeps the rest"],
    ["coffer pki init --members a,b,c,d", "again: files for d, and its place on NATS"],
  ],
  options: initOptions,
  isClient: false,
  run: async (argv: readonly string[], { io, services }: Context): Promise<ExitCode> => {
    const { values, positional } = parseCommandLine(initOptions, argv);
    if (positional.length > 0) throw mistake("pki init takes options only");
    const outcome = await services.pki.init({
      folder: values.out ?? "certs",
      members: values.members,
      nats: values.nats,
      hosts: values.hosts === undefined ? undefined : byName(values.hosts),
      clusterToken: values.clusterToken,
      force: values.force ?? false,
    });
    const isJson = values.format === "json";
    await write(io, isJson ? `${jsonText({ ...outcome })}\n` : initText(outcome));
    return exitCode.ok;
  },
};

function byName(pairs: readonly string[]): { readonly [name: string]: readonly string[] } {
  const hosts: { [name: string]: string[] } = {};
  for (const pair of pairs) {
    const [name = "", host = "", ...rest] = pair.split("=");
    if (name === "" || host === "" || rest.length > 0) {
      throw mistake(`--hosts takes NAME=HOST, as m1=10.0.0.5, not ${JSON.stringify(pair)}`);
    }
    (hosts[name] ??= []).push(host);
  }
  return hosts;
}

function initText({ folder, members, nats, files }: PkiOutcome): string {
  const rows = files
    .filter(({ outcome }) => outcome !== "kept")
    .map((file) => [file.outcome, safe(`${folder}/${file.path}`)]);
  const kept = files.filter(({ outcome }) => outcome === "kept").length;
  const own = [...members, ...nats].map((name) => safe(`${folder}/${name}`)).join(" ");
  const lines = [
    ...rows.map(([outcome = "", file = ""]) => `${outcome.padEnd(7)}  ${file}`),
    ...(kept === 0 ? [] : [`kept     ${kept} more as they are`]),
    ...(rows.some(([outcome]) => outcome === "edited")
      ? ["edited files were left alone; --force replaces them"]
      : []),
    "",
    `Each machine needs its own folder and no more: ${own}`,
    safe(`Back up ${folder}/root.key: without it the data cannot be opened.`),
    safe(
      `Keep ${folder}/ca.key and ${folder}/nats-ca.key from all of them: who has one is anybody.`,
    ),
    safe(`Be the administrator with ${folder}/admin.crt and ${folder}/admin.key.`),
  ];
  return `${lines.join("\n")}\n`;
}

const inspectOptions = { format: formatOption } as const;

const inspect: Command = {
  name: "pki inspect",
  usage: "FILE",
  summary: "show what the certificates in a file say",
  examples: [
    ["coffer pki inspect certs/m1/server.crt", "names, usages, issuer, and until when"],
    ["coffer pki inspect certs/m1/server.crt -w json", "for scripts; times in milliseconds"],
  ],
  options: inspectOptions,
  isClient: false,
  run: async (argv: readonly string[], { io, services }: Context): Promise<ExitCode> => {
    const { values, positional } = parseCommandLine(inspectOptions, argv);
    const [file, ...more] = positional;
    if (file === undefined || more.length > 0) throw mistake("pki inspect takes one FILE");
    const found = await services.pki.inspect(Buffer.from(inputFile(io, file)).toString("latin1"));
    const json = (): string => `${jsonText(found.map((facts) => ({ ...facts })))}\n`;
    await write(io, values.format === "json" ? json() : found.map(factsText).join("\n"));
    return exitCode.ok;
  },
};

function factsText(facts: CertificateFacts): string {
  const names = [...facts.dns, ...facts.ips, ...facts.uris];
  const usages = facts.isAuthority ? ["authority"] : facts.usages;
  const rows = [
    ["subject", safe(facts.subject)],
    ["issuer", safe(facts.issuer)],
    ["usages", safe(usages.join(", ")) || "-"],
    ["names", safe(names.join(", ")) || "-"],
    [
      "valid",
      `${timeText(facts.notBefore)} to ${timeText(facts.notAfter)}${validityMark(facts, Date.now())}`,
    ],
    ["serial", facts.serial],
    ["x5t#S256", facts.thumbprint],
  ] as const;
  return rows.map(([name, value]) => `${name.padEnd(9)} ${value}\n`).join("");
}

function validityMark({ notBefore, notAfter }: CertificateFacts, now: number): string {
  if (now > notAfter) return " (EXPIRED)";
  return now < notBefore ? " (not yet valid)" : "";
}

export const pkiCommands: readonly Command[] = [init, pkiSign, inspect];
