import { X509Certificate, createPrivateKey, createPublicKey } from "node:crypto";
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

/**
 * Makes what is missing, soon to expire or of an earlier authority in `folder`, and answers the paths.
 * Key and certificate are two files: a crash between their writes leaves a pair that does not match,
 * which is made anew as well.
 */
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
    if (isFresh(certPath, now) && isPair(certPath, keyPath, authority)) return;
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
  if (isFresh(certPath, now) && isPair(certPath, keyPath)) {
    return loadAuthority({ certificatePath: certPath, keyPath });
  }
  const authority = createAuthority({ commonName: "coffer dev authority" });
  savePem(keyPath, authority.privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  savePem(certPath, authority.certificate);
  return authority;
}

function isFresh(path: string, now: number): boolean {
  if (!existsSync(path)) return false;
  try {
    return inspectCertificate(readFileSync(path, "utf8")).notAfter - now > RENEW_BEFORE_MS;
  } catch {
    return false; // Not a certificate: nothing is lost by making a new one.
  }
}

/** Whether the key is the certificate's, and `signer` signed it; by default it signed itself. */
function isPair(certPath: string, keyPath: string, signer?: Authority): boolean {
  if (!existsSync(keyPath)) return false;
  try {
    const certificate = new X509Certificate(readFileSync(certPath));
    const key = createPrivateKey(readFileSync(keyPath));
    // The name of the issuer says nothing: every authority that this room makes has the same.
    const signed = certificate.verify(createPublicKey(signer?.privateKey ?? key));
    return signed && certificate.checkPrivateKey(key);
  } catch {
    return false;
  }
}
