import type { Caller, Reply } from "./requests.ts";

export interface CertificateRuleInfo {
  readonly name: string;
  /** JSON. */
  readonly record: string;
}

/** Who a certificate is, by the rules of the cluster. */
export interface CertificateVerdict {
  /** The rule that decides; "built-in": none of an operator's; "": none does. */
  readonly rule: string;
  /** Why it is refused; "": it is not. */
  readonly refusal: string;
  /** "" if it is refused. */
  readonly subject: string;
  readonly groups: readonly string[];
  /** The first is the default; "*": any. Empty if it is refused. */
  readonly tenants: readonly string[] | "*";
  /** Why TLS of the member that answers may not take it; "": it does. */
  readonly distrust: string;
}

/** Rules of client certificates, of the whole cluster; for its operators. */
export interface CertificateRuleEdge {
  /**
   * `record`: JSON in UTF-8; `authority`: x5t#S256 of an authority in the member's `--client-ca`, or "".
   * Rejects with `already-exists` unless it may `replace` one.
   */
  certificateRuleAdd(
    caller: Caller,
    request: { readonly record: Uint8Array; readonly authority: string; readonly replace: boolean },
  ): Promise<Reply<CertificateRuleInfo>>;
  /** By name. */
  certificateRuleList(caller: Caller): Promise<Reply<readonly CertificateRuleInfo[]>>;
  certificateRuleRemove(caller: Caller, name: string): Promise<Reply<undefined>>;
  /** `certificate`: DER. */
  certificateTest(caller: Caller, certificate: Uint8Array): Promise<Reply<CertificateVerdict>>;
}
