/** Certificates: issue, renew, revoke, inspect, and their files. Verifying a chain is TLS's. */
export {
  type Authority,
  createAuthority,
  loadAuthority,
  type PairFiles,
  type Validity,
} from "./authority.ts";
export {
  ADMINISTRATOR,
  type ClusterHosts,
  ensureClusterFiles,
  type EnsuredFile,
  type Host,
} from "./cluster-files.ts";
export { ensureAuthority, ensureCertificate, type Ensured, type EnsureOptions } from "./ensure.ts";
export type { Usage } from "./extension.ts";
export {
  checkClientCertificate,
  checkValidity,
  inspectCertificate,
  inspectCertificates,
} from "./inspect.ts";
export type { CertificateInfo } from "./inspect.ts";
export { issueCertificate, issueForRequest } from "./issue.ts";
export type { IssuedCertificate, Profile } from "./issue.ts";
export { savePem } from "./pem.ts";
export { readRevocationLists, revocationListTexts } from "./read-revocation-list.ts";
export { createRevocationList } from "./revocation-list.ts";
export type { RevocationListOptions, RevokedCertificate } from "./revocation-list.ts";
export { type SignOrder, signRequest } from "./sign-request.ts";
export { createTrust, type Trust } from "./trust.ts";
export { watchFiles } from "./watch-files.ts";
