import type { Reply } from "./client-port.ts";

/** Who client certificates are. */
export interface CertificatePort {
  /** `record`: JSON in UTF-8; `authority`: a thumbprint, or "" for what the record says. */
  certificateRuleAdd(request: {
    readonly record: Uint8Array;
    readonly authority: string;
    readonly replace: boolean;
  }): Promise<Reply<CertificateRuleRow>>;
  certificateRuleList(): Promise<Reply<readonly CertificateRuleRow[]>>;
  certificateRuleRemove(name: string): Promise<Reply<undefined>>;
  /** `certificate`: DER. */
  certificateTest(certificate: Uint8Array): Promise<Reply<CertificateVerdictRow>>;
}

export interface CertificateRuleRow {
  readonly name: string;
  /** JSON. */
  readonly record: string;
}

export interface CertificateVerdictRow {
  /** "built-in": no rule of an operator's; "": none decides. */
  readonly rule: string;
  /** Why it is refused; "": it is not. */
  readonly refusal: string;
  readonly subject: string;
  readonly groups: readonly string[];
  /** "*" alone: any. */
  readonly tenants: readonly string[];
  /** Why TLS of the member may not take it; "": it does. */
  readonly distrust: string;
}
