/**
 * Where root keys come from (design.md section 7). A provider has a key of its own, in a file, a
 * KMS or people's hands, and wraps root keys with it; several may wrap the same root key at once.
 * Both calls may answer at once or later.
 */
export interface RootKeyProvider {
  /** What it is and where, for `status`: "key file '/etc/coffer/root.key'". */
  readonly description: string;

  /** `context` is to be bound to the result if the provider can. It wipes nothing of `key`. */
  wrap(key: Uint8Array, context: Uint8Array): ProviderBox | Promise<ProviderBox>;

  /**
   * The root key, which the caller wipes. Throws or rejects with CofferError `sealed`, whose detail
   * names the cause and the next step.
   */
  unwrap(box: ProviderBox, context: Uint8Array): Uint8Array | Promise<Uint8Array>;

  /**
   * A key that follows from the provider's own and `context`, the same for every member. Throws or
   * rejects with `sealed`.
   */
  derive(context: Uint8Array): DerivedKey | Promise<DerivedKey>;
}

export interface DerivedKey {
  /** Names the provider's own key, as in a box. */
  readonly keyId: string;
  /** 32 bytes, which the caller wipes. */
  readonly key: Uint8Array;
}

export interface ProviderBox {
  /** Names the provider's own key, at most 255 bytes: "key-file:0f1e2d3c4b5a6978". */
  readonly keyId: string;
  /** At most 65,535 bytes. */
  readonly ciphertext: Uint8Array;
}
