import { join } from "node:path";
import { makeFolders } from "../files/mod.ts";
import {
  ADMINISTRATOR,
  type Authority,
  ensureAuthority,
  ensureCertificate,
  type EnsureOptions,
  type PairFiles,
  type Profile,
} from "../pki/mod.ts";
import { memberDnsName, natsServerDnsName } from "../transport/mod.ts";

/** The authority and certificates of a laptop's cluster. */
export interface DevPki {
  readonly ca: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly adminCert: string;
  readonly adminKey: string;
}

/** A certificate and key, and the authority that their peers must have. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const LOCAL = { dns: ["localhost"], ips: ["127.0.0.1", "::1"] } as const;

/**
 * Makes what is missing, unusable, soon to expire or of an earlier authority in `folder`, and answers
 * the paths. The folder is coffer dev's own, so nothing in it is anybody else's.
 */
export function ensureDevPki(folder: string, now: number): DevPki {
  const files = new DevFiles(folder, now);
  const authority = files.authority("ca", "coffer dev authority");
  const server = files.certificate("server", authority, {
    commonName: "coffer dev server",
    usages: ["server"],
    ...LOCAL,
  });
  const admin = files.certificate("admin", authority, {
    ...ADMINISTRATOR,
    usages: ["client"],
  });
  return {
    ca: files.pair("ca").certificatePath,
    serverCert: server.certificatePath,
    serverKey: server.keyPath,
    adminCert: admin.certificatePath,
    adminKey: admin.keyPath,
  };
}

/**
 * The same for NATS, under an authority of its own: what opens the client port must not open NATS.
 * `members` are names.
 */
export function ensureNatsPki(
  folder: string,
  members: readonly string[],
  now: number,
): { readonly server: TlsFiles; readonly members: ReadonlyMap<string, TlsFiles> } {
  makeFolders(folder);
  const files = new DevFiles(folder, now);
  const authority = files.authority("ca", "coffer dev NATS authority");
  const tlsOf = (stem: string, profile: Profile): TlsFiles => {
    const { certificatePath: cert, keyPath: key } = files.certificate(stem, authority, profile);
    return { ca: files.pair("ca").certificatePath, cert, key };
  };
  const server = tlsOf("server", {
    commonName: "coffer dev NATS server",
    usages: ["server", "client"],
    dns: [natsServerDnsName, ...LOCAL.dns],
    ips: LOCAL.ips,
  });
  const ofMember = (name: string): TlsFiles =>
    tlsOf(name, { commonName: name, usages: ["client"], dns: [memberDnsName(name)] });
  return { server, members: new Map(members.map((name) => [name, ofMember(name)])) };
}

/** What every member of a laptop serves its clients with. */
export function clientPortFlags(pki: DevPki): Readonly<Record<string, string>> {
  return { "tls-cert": pki.serverCert, "tls-key": pki.serverKey, "client-ca": pki.ca };
}

class DevFiles {
  readonly #folder: string;
  readonly #options: EnsureOptions;

  constructor(folder: string, now: number) {
    this.#folder = folder;
    this.#options = { now, unusable: "replace" };
  }

  authority(stem: string, commonName: string): Authority {
    return ensureAuthority(this.pair(stem), commonName, this.#options).authority;
  }

  certificate(stem: string, authority: Authority, profile: Profile): PairFiles {
    ensureCertificate(this.pair(stem), profile, { ...this.#options, authority });
    return this.pair(stem);
  }

  pair(stem: string): PairFiles {
    const path = join(this.#folder, stem);
    return { certificatePath: `${path}.crt`, keyPath: `${path}.key` };
  }
}
