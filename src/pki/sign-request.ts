import { type PairFiles, loadAuthority } from "./authority.ts";
import { type IssuedCertificate, type Profile, issueForRequest } from "./issue.ts";

/** What an authority in files is asked to sign. */
export interface SignOrder {
  readonly authority: PairFiles;
  readonly profile: Profile;
  /** PKCS #10, PEM. */
  readonly request: string;
}

/** Throws `invalid-argument` as `loadAuthority` and `issueForRequest` do. */
export function signRequest(order: SignOrder): Omit<IssuedCertificate, "privateKey"> {
  return issueForRequest(loadAuthority(order.authority), order.profile, order.request);
}
