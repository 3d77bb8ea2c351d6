import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeFolders } from "../files/mod.ts";
import type { Authority, PairFiles } from "./authority.ts";
import { ensureAuthority, ensureCertificate, type Ensured, type EnsureOptions } from "./ensure.ts";
import type { Profile } from "./issue.ts";
import type { SubjectName } from "./name.ts";
import { readPem, savePem } from "./pem.ts";

/**
 * The certificates of a cluster in one folder. Two authorities, so that a certificate for clients,
 * which a tenant may hold, opens no connection to NATS, and one for NATS makes nobody a client.
 *
 *     ca.crt ca.key              clients, and the members as servers
 *     nats-ca.crt nats-ca.key    NATS servers, and the members as clients of NATS
 *     admin.crt admin.key        the administrator, a client
 *     <member>/                  ca.crt server.crt server.key nats-ca.crt nats.crt nats.key
 *     <nats server>/             nats-ca.crt server.crt server.key
 *
 * A member's or server's own folder is all that its machine needs; both `ca.key` stay where they are.
 */
export interface ClusterHosts {
  readonly members: readonly Host[];
  readonly nats: readonly Host[];
}

/** A member or NATS server and what it is reached by, beside its name and this machine's. */
export interface Host {
  readonly name: string;
  readonly dns: readonly string[];
  readonly ips: readonly string[];
}

/** DNS names by which NATS knows who holds a certificate. */
export interface NatsNames {
  member(name: string): string;
  readonly server: string;
}

/** What was done to a file; the path is from the folder on. */
export interface EnsuredFile {
  readonly path: string;
  readonly outcome: Ensured;
}

/** The first subject of a new cluster's policies: owner of `default`, and operator of the cluster. */
export const ADMINISTRATOR: SubjectName = {
  commonName: "admin",
  organization: ["tenant:default", "tenant:system"],
};

const LOCAL = { dns: ["localhost"], ips: ["127.0.0.1", "::1"] } as const;

/** Makes or renews what is missing or ends soon. Throws `invalid-argument`. */
export function ensureClusterFiles(
  folder: string,
  hosts: ClusterHosts,
  options: EnsureOptions & { readonly names: NatsNames },
): readonly EnsuredFile[] {
  const files = new ClusterFiles(folder, options);
  const clients = files.authority("ca", "coffer authority");
  files.certificate("admin", clients, {
    ...ADMINISTRATOR,
    usages: ["client"],
  });
  for (const { name, dns, ips } of hosts.members) {
    files.certificate(join(name, "server"), clients, {
      commonName: name,
      usages: ["server"],
      dns: unique([name, ...LOCAL.dns, ...dns]),
      ips: unique([...LOCAL.ips, ...ips]),
    });
    files.copy("ca.crt", name);
  }
  if (hosts.nats.length === 0) return files.done;
  const nats = files.authority("nats-ca", "coffer NATS authority");
  for (const { name } of hosts.members) {
    const dns = [options.names.member(name)];
    files.certificate(join(name, "nats"), nats, { commonName: name, usages: ["client"], dns });
    files.copy("nats-ca.crt", name);
  }
  for (const { name, dns, ips } of hosts.nats) {
    files.certificate(join(name, "server"), nats, {
      commonName: name,
      // Between NATS servers each is the other's client too.
      usages: ["server", "client"],
      dns: unique([options.names.server, name, ...LOCAL.dns, ...dns]),
      ips: unique([...LOCAL.ips, ...ips]),
    });
    files.copy("nats-ca.crt", name);
  }
  return files.done;
}

class ClusterFiles {
  readonly done: EnsuredFile[] = [];
  readonly #folder: string;
  readonly #options: EnsureOptions;

  constructor(folder: string, options: EnsureOptions) {
    this.#folder = folder;
    this.#options = options;
    makeFolders(folder);
  }

  authority(stem: string, commonName: string): Authority {
    // A new authority would part the members from their clients: never for the asking alone.
    const options = { ...this.#options, anew: false };
    const { authority, outcome } = ensureAuthority(this.#pair(stem), commonName, options);
    this.done.push({ path: `${stem}.crt`, outcome });
    return authority;
  }

  certificate(stem: string, authority: Authority, profile: Profile): void {
    const files = this.#pair(stem);
    makeFolders(dirname(files.certificatePath));
    const outcome = ensureCertificate(files, profile, { ...this.#options, authority });
    this.done.push({ path: `${stem}.crt`, outcome });
  }

  /** A copy of the authority's certificate beside those it has signed. */
  copy(name: string, into: string): void {
    const path = join(this.#folder, into, name);
    const text = readPem(join(this.#folder, name));
    const isThere = existsSync(path);
    if (isThere && readPem(path) === text) return;
    savePem(path, text);
    this.done.push({ path: join(into, name), outcome: isThere ? "renewed" : "made" });
  }

  #pair(stem: string): PairFiles {
    const path = join(this.#folder, stem);
    return { certificatePath: `${path}.crt`, keyPath: `${path}.key` };
  }
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)];
}
