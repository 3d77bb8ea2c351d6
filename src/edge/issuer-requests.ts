import type { Caller, Reply } from "./requests.ts";

/** One issuer whose tokens are taken, as the member that answers sees it. */
export interface IssuerInfo {
  readonly issuer: string;
  /** Its record, JSON. */
  readonly record: string;
  /** The built-in one is changed by `tokenRotateKey` only. */
  readonly isBuiltin: boolean;
  /** Keys that verify; 0 while none could be fetched. */
  readonly keys: number;
  /** Why the last fetch of its keys failed; "": it did not. */
  readonly failure: string;
}

/** Issuers of tokens, of the whole cluster; for its operators. */
export interface IssuerEdge {
  /** `record`: JSON in UTF-8. Rejects with `already-exists` unless it may `replace` one. */
  issuerAdd(
    caller: Caller,
    request: { readonly record: Uint8Array; readonly replace: boolean },
  ): Promise<Reply<IssuerInfo>>;
  issuerList(caller: Caller): Promise<Reply<readonly IssuerInfo[]>>;
  issuerShow(caller: Caller, issuer: string): Promise<Reply<IssuerInfo>>;
  issuerRemove(caller: Caller, issuer: string): Promise<Reply<undefined>>;
}
