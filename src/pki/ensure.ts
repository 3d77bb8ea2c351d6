import { X509Certificate, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { existsSync } from "node:fs";
import { CofferError } from "../errors.ts";
import { canonicalIp } from "./alt-name.ts";
import { type Authority, createAuthority, loadAuthority, type PairFiles } from "./authority.ts";
import { type CertificateInfo, inspectCertificate } from "./inspect.ts";
import { issueCertificate, type Profile } from "./issue.ts";
import { organizationsOf } from "./name.ts";
import { readPem, savePem } from "./pem.ts";

/**
 * Certificates in files: made where they are missing, renewed before they end, and otherwise kept.
 * Key and certificate are two files, and the key is written first: a crash between the two leaves a
 * pair that does not match, which counts as unusable.
 */
export type Ensured = "made" | "renewed" | "kept";

export interface EnsureOptions {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /**
   * What to do with files that are there and of no use: garbage, of another authority, a key that is
   * not the certificate's. "refuse" throws `invalid-argument`, as they may be somebody's.
   */
  readonly unusable: "replace" | "refuse";
  /** Also replace a certificate that is good. */
  readonly anew?: boolean;
}

const DAY_MS = 86_400_000;
/** A certificate that ends sooner than this is made anew. */
const RENEW_BEFORE_MS = 30 * DAY_MS;

/**
 * The authority in `files`. One that ends soon is renewed: where what is unusable is refused under the
 * same key, so that what it has signed stays good, and otherwise with all that it has signed.
 */
export function ensureAuthority(
  files: PairFiles,
  commonName: string,
  options: EnsureOptions,
): { readonly authority: Authority; readonly outcome: Ensured } {
  const state = stateOf(files, undefined, options.now);
  if (state.kind === "good") return { authority: loadAuthority(files), outcome: "kept" };
  if (state.kind === "unusable") mayReplace(state.problem, options);
  const sameKey = state.kind === "expiring" && options.unusable === "refuse";
  const authority = createAuthority({
    commonName,
    ...(sameKey ? { privateKey: createPrivateKey(readPem(files.keyPath)) } : {}),
  });
  const key = authority.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  savePair(files, authority.certificate, key);
  return { authority, outcome: sameKey ? "renewed" : "made" };
}

/** The certificate in `files`, for `profile`; one that says something else is renewed too. */
export function ensureCertificate(
  files: PairFiles,
  profile: Profile,
  by: EnsureOptions & { readonly authority: Authority },
): Ensured {
  const state = stateOf(files, by.authority.privateKey, by.now);
  const isGood = state.kind === "good" && says(state.info, profile);
  if (isGood && by.anew !== true) return "kept";
  if (state.kind === "unusable") mayReplace(state.problem, by);
  const { certificate, privateKey } = issueCertificate(by.authority, profile);
  savePair(files, certificate, privateKey);
  return state.kind === "missing" || state.kind === "unusable" ? "made" : "renewed";
}

function savePair(files: PairFiles, certificate: string, key: string): void {
  savePem(files.keyPath, key);
  savePem(files.certificatePath, certificate);
}

type PairState =
  | { readonly kind: "missing" }
  | { readonly kind: "unusable"; readonly problem: string }
  | { readonly kind: "expiring" | "good"; readonly info: CertificateInfo };

/** `signer` is the key of whoever should have signed; by default its own. */
function stateOf(files: PairFiles, signer: KeyObject | undefined, now: number): PairState {
  const { certificatePath, keyPath } = files;
  const [hasCertificate, hasKey] = [existsSync(certificatePath), existsSync(keyPath)];
  if (!hasCertificate && !hasKey) return { kind: "missing" };
  const unusable = (problem: string): PairState => ({ kind: "unusable", problem });
  if (!hasCertificate) return unusable(`'${keyPath}' is there without '${certificatePath}'`);
  if (!hasKey) return unusable(`'${certificatePath}' is there without its key '${keyPath}'`);
  const certificate = orNothing(() => new X509Certificate(readPem(certificatePath)));
  if (certificate === undefined) return unusable(`'${certificatePath}' holds no certificate`);
  const key = orNothing(() => createPrivateKey(readPem(keyPath)));
  if (key === undefined) return unusable(`'${keyPath}' holds no private key`);
  if (!certificate.checkPrivateKey(key)) {
    return unusable(`'${keyPath}' is not the key of '${certificatePath}'`);
  }
  // The name of the issuer says nothing: every authority that this room makes has the same.
  if (!certificate.verify(createPublicKey(signer ?? key))) {
    return unusable(`'${certificatePath}' is of another authority`);
  }
  const info = inspectCertificate(certificate.raw);
  return { kind: info.notAfter - now > RENEW_BEFORE_MS ? "good" : "expiring", info };
}

function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function mayReplace(problem: string, { unusable }: EnsureOptions): void {
  if (unusable === "replace") return;
  throw new CofferError("invalid-argument", `${problem}; move it away, or replace it with --force`);
}

function says(info: CertificateInfo, profile: Profile): boolean {
  const { dns = [], ips = [], usages } = profile;
  return (
    info.commonName === profile.commonName &&
    same(info.organizations, organizationsOf(profile)) &&
    same(info.usages, usages) &&
    same(info.dns, dns) &&
    same(info.ips, ips.map(canonicalIp))
  );
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.toSorted().join(" ") === b.toSorted().join(" ");
}
