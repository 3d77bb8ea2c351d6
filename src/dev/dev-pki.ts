import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Authority,
  type Profile,
  createAuthority,
  inspectCertificate,
  issueCertificate,
  loadAuthority,
  savePem,
} from "../pki/mod.ts";

/** The authority and certificates of a laptop's cluster. */
export interface DevPki {
  readonly ca: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly adminCert: string;
  readonly adminKey: string;
}

const DAY_MS = 86_400_000;
/** A certificate that ends sooner than this is made anew at start. */
const RENEW_BEFORE_MS = 30 * DAY_MS;

/** Makes what is missing or soon to expire in `folder`, and answers the paths. */
export function ensureDevPki(folder: string, now: number): DevPki {
  const file = (name: string): string => join(folder, name);
  const paths: DevPki = {
    ca: file("ca.crt"),
    serverCert: file("server.crt"),
    serverKey: file("server.key"),
    adminCert: file("admin.crt"),
    adminKey: file("admin.key"),
  };
  const authority = ensureAuthority(paths.ca, file("ca.key"), now);
  const ensure = (certPath: string, keyPath: string, profile: Profile): void => {
    if (existsSync(keyPath) && isFresh(certPath, now)) return;
    const issued = issueCertificate(authority, profile);
    savePem(keyPath, issued.privateKey);
    savePem(certPath, issued.certificate);
  };
  ensure(paths.serverCert, paths.serverKey, {
    commonName: "coffer dev server",
    usages: ["server"],
    dns: ["localhost"],
    ips: ["127.0.0.1", "::1"],
  });
  ensure(paths.adminCert, paths.adminKey, {
    commonName: "admin",
    organization: "tenant:default",
    usages: ["client"],
  });
  return paths;
}

function ensureAuthority(certPath: string, keyPath: string, now: number): Authority {
  if (existsSync(certPath) && existsSync(keyPath) && isFresh(certPath, now)) {
    return loadAuthority({ certificatePath: certPath, keyPath });
  }
  const authority = createAuthority({ commonName: "coffer dev authority" });
  savePem(keyPath, authority.privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  savePem(certPath, authority.certificate);
  return authority;
}

function isFresh(path: string, now: number): boolean {
  if (!existsSync(path)) return false;
  return inspectCertificate(readFileSync(path, "utf8")).notAfter - now > RENEW_BEFORE_MS;
}
