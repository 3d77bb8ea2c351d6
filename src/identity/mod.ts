/** Bearer tokens and client certificates to a principal. */
export {
  builtinIssuerRecord,
  createBuiltinIssuer,
  exportIssuerKey,
  importIssuerKey,
  isKeyDue,
  type IssuedToken,
  type IssuerKey,
  issueToken,
  recordWithNewKey,
  recordWithoutEndedKeys,
  type TokenOrder,
} from "./builtin-issuer.ts";
export { isSameMatch } from "./certificate-match.ts";
export {
  type CertificateRule,
  encodeCertificateRule,
  parseCertificateRule,
  withCertificateAuthority,
} from "./certificate-rule.ts";
export type { CertificateJudgement, PeerCertificate } from "./certificates.ts";
export {
  createIdentity,
  type Credentials,
  type Identity,
  type IdentityNotices,
  type IdentityOptions,
  type IssuerKeyState,
} from "./create-identity.ts";
export { checkIssuerRecord } from "./issuer-check.ts";
export {
  type BoundClaim,
  encodeIssuerRecord,
  type IssuerKeys,
  type IssuerRecord,
  parseIssuerRecord,
  type ServiceAccount,
  type SignatureAlgorithm,
  type SubjectRule,
  type TenantBinding,
  validateIssuerRecord,
} from "./issuer-record.ts";
export type { LoadableKeys, LoadKeys } from "./key-source.ts";
export type { Principal } from "./principal.ts";
export { refusalReason, refused } from "./refusal.ts";
export { createRevocationIndex, type RevocationIndex } from "./revocation-index.ts";
export {
  type KnownRevocation,
  planRevocation,
  readRevocation,
  type Revocation,
  type RevocationOrder,
  type RevocationTarget,
  type StoredRevocation,
} from "./revocation-record.ts";
export type { RevocationQuestion } from "./token-verifier.ts";
