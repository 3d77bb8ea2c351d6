import { CofferError } from "../errors.ts";
import { keyIdOf, parseKeyId } from "./key-id.ts";
import { deriveCipherKey, lengthPrefixed, uint32Bytes, uint64Bytes } from "./key-material.ts";
import type { RootKeys } from "./root-keys.ts";
import { unwrapKey, SUITE_XCHACHA20_POLY1305 } from "./wrapped-key.ts";
import type { KeyPlace, WrappedKey } from "./wrapped-key.ts";
import type { BoxCipher, CipherKey } from "./xchacha.ts";

/**
 * A key that seals records, with the parts of its AAD that stand before and after the key bytes.
 */
export interface RecordKey {
  readonly epoch: number;
  readonly cipherKey: CipherKey;
  readonly aadHead: Uint8Array;
  readonly aadTail: Uint8Array;
}

export interface ScopeKeysDeps {
  readonly place: KeyPlace;
  readonly wrapped: readonly WrappedKey[];
  readonly roots: RootKeys;
  readonly cipher: BoxCipher;
  /**
   * `data`: a tenant's records. `secret`: the cluster's, each purpose under its own derived key.
   */
  readonly kind: "data" | "secret";
  readonly purpose: string;
}

/**
 * The record keys of one scope and purpose, each unwrapped when first needed. Tenant keys are
 * opened for the moment of unwrapping only.
 */
export class ScopeKeys {
  readonly #deps: ScopeKeysDeps;
  readonly #wrapped: ReadonlyMap<string, WrappedKey>;
  readonly #activeEpoch: number | undefined;
  readonly #keys = new Map<number, RecordKey>();

  constructor(deps: ScopeKeysDeps) {
    this.#deps = deps;
    this.#wrapped = new Map(deps.wrapped.map((one) => [one.id, one]));
    this.#activeEpoch = activeNumber(deps.wrapped, deps.kind);
  }

  /** The key that seals. Throws `not-found` if the scope has none. */
  active(): RecordKey {
    if (this.#activeEpoch === undefined) {
      throw new CofferError("not-found", `this tenant has no active ${this.#deps.kind} key`);
    }
    return this.ofEpoch(this.#activeEpoch);
  }

  /** Throws `record-invalid` if the epoch is unknown, destroyed or cannot be unwrapped. */
  ofEpoch(epoch: number): RecordKey {
    const known = this.#keys.get(epoch);
    if (known !== undefined) return known;
    const key = this.#load(epoch);
    this.#keys.set(epoch, key);
    return key;
  }

  wipe(): void {
    for (const key of this.#keys.values()) key.cipherKey.fill(0);
    this.#keys.clear();
  }

  #load(epoch: number): RecordKey {
    const { place, kind, purpose } = this.#deps;
    const key = unwrapChain(this.#deps, this.#wrapped, keyIdOf(kind, epoch));
    try {
      const cipherKey = deriveCipherKey(key, `${kind} key`, "record", purpose);
      const fields = [
        Uint8Array.of(SUITE_XCHACHA20_POLY1305),
        uint64Bytes(place.clusterId),
        Buffer.from(place.scope, "latin1"),
      ];
      const aadHead = lengthPrefixed(fields);
      return { epoch, cipherKey, aadHead, aadTail: lengthPrefixed([uint32Bytes(epoch)]) };
    } finally {
      key.fill(0);
    }
  }
}

/**
 * The bytes of key `id`, which the caller wipes, by opening its ancestors from the root down.
 * Throws `sealed` or `record-invalid`.
 */
export function unwrapChain(
  deps: Pick<ScopeKeysDeps, "place" | "roots" | "cipher">,
  wrappedById: ReadonlyMap<string, WrappedKey>,
  id: string,
): Uint8Array {
  const wrapped = wrappedById.get(id);
  if (wrapped === undefined) {
    throw new CofferError("record-invalid", `key ${id} of the record is unknown to this member`);
  }
  const { place, roots, cipher } = deps;
  const parent = parseKeyId(wrapped.parent);
  if (parent?.kind === "root") {
    return unwrapKey(cipher, roots.wrappingKey(wrapped.parent), { wrapped, place });
  }
  // Only a data key hangs below a tenant key, so the chain has an end whatever is recorded.
  if (parent?.kind !== "tenant" || parseKeyId(id)?.kind !== "data") {
    throw new CofferError("record-invalid", `key ${id} names a parent that cannot wrap it`);
  }
  const parentBytes = unwrapChain(deps, wrappedById, wrapped.parent);
  const parentKey = tenantWrappingKey(parentBytes);
  try {
    return unwrapKey(cipher, parentKey, { wrapped, place });
  } finally {
    parentBytes.fill(0);
    parentKey.fill(0);
  }
}

/** What wraps data keys, derived from a tenant key. */
export function tenantWrappingKey(tenantKey: Uint8Array): CipherKey {
  return deriveCipherKey(tenantKey, "tenant key", "wrap");
}

/** The highest number among active keys of a kind. */
export function activeNumber(
  wrapped: readonly WrappedKey[],
  kind: "tenant" | "data" | "secret",
): number | undefined {
  let highest: number | undefined;
  for (const one of wrapped) {
    const name = parseKeyId(one.id);
    if (name?.kind !== kind || one.state !== "active") continue;
    if (highest === undefined || name.number > highest) highest = name.number;
  }
  return highest;
}
