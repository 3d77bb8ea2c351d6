/** Bearer tokens and client certificates to a principal. */
export {
  builtinIssuerRecord,
  createBuiltinIssuer,
  exportIssuerKey,
  importIssuerKey,
  type IssuedToken,
  type IssuerKey,
  issueToken,
  type TokenOrder,
} from "./builtin-issuer.ts";
export {
  type CertificateRules,
  DEFAULT_CERTIFICATE_RULES,
  type PeerCertificate,
} from "./certificates.ts";
export {
  createIdentity,
  type Credentials,
  type Identity,
  type IdentityNotices,
  type IdentityOptions,
} from "./create-identity.ts";
export {
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
export { refusalReason } from "./refusal.ts";
export type { RevocationQuestion } from "./token-verifier.ts";
