import { CofferError } from "../errors.ts";
import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import type { ClusterId, Key, RecordChange, StoredRecord, TenantId } from "../core/types/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import { changeDataKey, makeClusterKeys, makeDataKey, makeTenantKeys } from "./key-changes.ts";
import type { KeyMaker } from "./key-changes.ts";
import type { RootKeyProvider } from "./root-key-provider.ts";
import { RootKeys } from "./root-keys.ts";
import { ScopeKeys, type RecordKey } from "./scope-keys.ts";
import { decodeWrappedKey, SUITE_XCHACHA20_POLY1305 } from "./wrapped-key.ts";
import type { KeyState, WrappedKey } from "./wrapped-key.ts";
import { BoxCipher, NONCE_BYTES, TAG_BYTES } from "./xchacha.ts";

export interface KeyringOptions {
  readonly clusterId: ClusterId;
  readonly provider: RootKeyProvider;
  /** The applied `wrapped-key` records of a scope. */
  readonly records: (scope: TenantId) => readonly StoredRecord[];
  /** How many tenants' open keys are kept; the least recently used go first. Default 1024. */
  readonly tenantsMax?: number;
  readonly clock?: Clock;
}

export interface KeyringStatus {
  readonly sealed: boolean;
  /** Why it is sealed and what to do, for the operator: it may name a path. */
  readonly reason: string | undefined;
  readonly provider: string;
  /** Tenants (and purposes of secrets) whose keys are open now. */
  readonly scopesOpen: number;
}

/**
 * Seals and opens. Keys are unwrapped when first used and wiped when evicted, invalidated or
 * closed.
 *
 * Errors: `sealed`: no root key (the cause, kept for the log, says why); `record-invalid`: the
 * record or a wrapped key was altered, moved, or names an unknown or destroyed epoch; `not-found`:
 * the tenant has no keys.
 */
export interface Keyring {
  /**
   * A record of `plaintext` for this key of this tenant. Record: suite (1 byte), data key epoch (4
   * bytes, big-endian), nonce (24), ciphertext (as long as the plaintext), tag (16).
   */
  seal(tenant: TenantId, key: Key, plaintext: Uint8Array): Uint8Array;
  open(tenant: TenantId, key: Key, record: Uint8Array): Uint8Array;
  /** For secrets of the cluster. Each purpose has its own derived key. */
  sealSecret(purpose: string, bytes: Uint8Array): Uint8Array;
  openSecret(purpose: string, record: Uint8Array): Uint8Array;
  /** Keys of a new cluster, to be proposed in the cluster's scope. Throws `already-exists`. */
  newClusterKeys(): Promise<readonly RecordChange[]>;
  /** Keys of a new tenant, to be proposed with its creation. */
  newTenantKeys(tenant: TenantId): readonly RecordChange[];
  /** The next data key of a tenant, pre-active. */
  newDataKey(tenant: TenantId): readonly RecordChange[];
  /**
   * Moves a data key; making one active retires the one that was. Throws `not-found`, `conflict`.
   */
  setDataKeyState(tenant: TenantId, epoch: number, state: KeyState): readonly RecordChange[];
  /** Forgets what it knows of a scope, whose wrapped keys changed or are gone. */
  invalidate(scope: TenantId): void;
  /** Opens the root keys now rather than at first use. Rejects with `sealed`, naming the cause. */
  unseal(): Promise<void>;
  status(): KeyringStatus;
  /** Wipes all keys; every later use throws `sealed`. */
  close(): void;
}

const HEADER_BYTES = 5;
/** What a record is longer than its plaintext, in bytes. */
export const RECORD_OVERHEAD_BYTES: number = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;
const TENANTS_MAX = 1024;

export function createKeyring(options: KeyringOptions): Keyring {
  return new ScopedKeyring(options);
}

class ScopedKeyring implements Keyring {
  readonly #options: KeyringOptions;
  readonly #clock: Clock;
  readonly #cipher = new BoxCipher();
  readonly #roots: RootKeys;
  /**
   * In order of use, the latest last. Tenants by id, secrets by `secret:` and purpose, which is no
   * id. Invariant: at most `tenantsMax` entries.
   */
  readonly #scopes = new Map<string, ScopeKeys>();
  #lastName = "";
  #last: ScopeKeys | undefined;
  #aad: Buffer = Buffer.allocUnsafeSlow(1024);

  constructor(options: KeyringOptions) {
    this.#options = options;
    this.#clock = options.clock ?? { now: () => Date.now() };
    this.#roots = new RootKeys({
      place: { clusterId: options.clusterId, scope: CLUSTER_SCOPE },
      provider: options.provider,
      wrapped: () => this.#wrapped(CLUSTER_SCOPE),
      clock: this.#clock,
    });
  }

  seal(tenant: TenantId, key: Key, plaintext: Uint8Array): Uint8Array {
    return this.#seal(this.#tenantKeys(tenant), key, plaintext);
  }

  open(tenant: TenantId, key: Key, record: Uint8Array): Uint8Array {
    return this.#open(this.#tenantKeys(tenant), key, record);
  }

  sealSecret(purpose: string, bytes: Uint8Array): Uint8Array {
    return this.#seal(this.#secretKeys(purpose), purpose, bytes);
  }

  openSecret(purpose: string, record: Uint8Array): Uint8Array {
    return this.#open(this.#secretKeys(purpose), purpose, record);
  }

  async newClusterKeys(): Promise<readonly RecordChange[]> {
    if (this.#options.records(CLUSTER_SCOPE).length > 0) {
      throw new CofferError("already-exists", "this cluster has its root key");
    }
    return await makeClusterKeys(this.#maker(CLUSTER_SCOPE), this.#options.provider);
  }

  newTenantKeys(tenant: TenantId): readonly RecordChange[] {
    return makeTenantKeys(this.#maker(tenant), this.#roots);
  }

  newDataKey(tenant: TenantId): readonly RecordChange[] {
    return makeDataKey(this.#maker(tenant), this.#roots, this.#wrapped(tenant));
  }

  setDataKeyState(tenant: TenantId, epoch: number, state: KeyState): readonly RecordChange[] {
    const keys = { roots: this.#roots, wrapped: this.#wrapped(tenant) };
    return changeDataKey(this.#maker(tenant), keys, { epoch, state });
  }

  invalidate(scope: TenantId): void {
    if (scope !== CLUSTER_SCOPE) {
      this.#forget(scope);
      return;
    }
    this.#roots.invalidate();
    // A root key may be gone, and all that was opened with it must go too.
    for (const name of this.#scopes.keys()) this.#forget(name);
  }

  unseal(): Promise<void> {
    return this.#roots.unseal();
  }

  status(): KeyringStatus {
    const reason = this.#roots.sealedReason();
    const provider = this.#options.provider.description;
    return { sealed: reason !== undefined, reason, provider, scopesOpen: this.#scopes.size };
  }

  close(): void {
    for (const name of this.#scopes.keys()) this.#forget(name);
    this.#roots.close();
  }

  #seal(keys: ScopeKeys, key: string, plaintext: Uint8Array): Uint8Array {
    const recordKey = keys.active();
    const aad = this.#aadOf(recordKey, key);
    const input = { aad, plaintext, headerBytes: HEADER_BYTES };
    const record = this.#cipher.seal(recordKey.cipherKey, input);
    record[0] = SUITE_XCHACHA20_POLY1305;
    record.writeUInt32BE(recordKey.epoch, 1);
    return record;
  }

  #open(keys: ScopeKeys, key: string, record: Uint8Array): Uint8Array {
    if (record.length < RECORD_OVERHEAD_BYTES) {
      throw new CofferError("record-invalid", "the record is cut short");
    }
    if (record[0] !== SUITE_XCHACHA20_POLY1305) {
      const suite = String(record[0]);
      throw new CofferError("record-invalid", `cipher suite ${suite} is unknown to this version`);
    }
    const recordKey = keys.ofEpoch(epochOf(record));
    const box = record.subarray(HEADER_BYTES);
    const plaintext = this.#cipher.open(recordKey.cipherKey, this.#aadOf(recordKey, key), box);
    if (plaintext === undefined) {
      throw new CofferError("record-invalid", "it was altered, or moved from where it was written");
    }
    return plaintext;
  }

  /**
   * Suite, cluster id, scope, key and epoch, each after its length (4 bytes, big-endian), so that
   * no two places give the same bytes. Valid until the next call.
   */
  #aadOf(recordKey: RecordKey, key: string): Uint8Array {
    const { aadHead, aadTail } = recordKey;
    const keyAt = aadHead.length + 4;
    const end = keyAt + key.length + aadTail.length;
    if (this.#aad.length < end) this.#aad = Buffer.allocUnsafeSlow(end * 2);
    const aad = this.#aad;
    aad.set(aadHead, 0);
    aad.writeUInt32BE(key.length, aadHead.length);
    aad.write(key, keyAt, "latin1");
    aad.set(aadTail, keyAt + key.length);
    return aad.subarray(0, end);
  }

  #tenantKeys(tenant: TenantId): ScopeKeys {
    if (tenant === this.#lastName && this.#last !== undefined) return this.#last;
    return this.#touch(tenant) ?? this.#load(tenant, { scope: tenant, kind: "data", purpose: "" });
  }

  #secretKeys(purpose: string): ScopeKeys {
    const name = `secret:${purpose}`;
    return this.#touch(name) ?? this.#load(name, { scope: CLUSTER_SCOPE, kind: "secret", purpose });
  }

  #touch(name: string): ScopeKeys | undefined {
    const keys = this.#scopes.get(name);
    if (keys === undefined) return undefined;
    this.#scopes.delete(name);
    this.#scopes.set(name, keys);
    this.#lastName = name;
    this.#last = keys;
    return keys;
  }

  #load(
    name: string,
    of: { readonly scope: TenantId; readonly kind: "data" | "secret"; readonly purpose: string },
  ): ScopeKeys {
    const { scope, kind, purpose } = of;
    this.#roots.active(); // Sealed is the answer even for a tenant without keys.
    const wrapped = this.#wrapped(scope);
    if (wrapped.length === 0) throw new CofferError("not-found", "this tenant has no keys");
    const place = { clusterId: this.#options.clusterId, scope };
    const keys = new ScopeKeys({
      place,
      wrapped,
      roots: this.#roots,
      cipher: this.#cipher,
      kind,
      purpose,
    });
    this.#scopes.set(name, keys);
    const max = this.#options.tenantsMax ?? TENANTS_MAX;
    for (const oldest of this.#scopes.keys()) {
      if (this.#scopes.size <= max) break;
      this.#forget(oldest);
    }
    this.#lastName = name;
    this.#last = keys;
    return keys;
  }

  #forget(name: string): void {
    this.#scopes.get(name)?.wipe();
    this.#scopes.delete(name);
    if (this.#lastName === name) this.#last = undefined;
  }

  #wrapped(scope: TenantId): readonly WrappedKey[] {
    return this.#options.records(scope).map((record) => decodeWrappedKey(record.data));
  }

  #maker(scope: TenantId): KeyMaker {
    const place = { clusterId: this.#options.clusterId, scope };
    return { cipher: this.#cipher, place, now: this.#clock.now() };
  }
}

function epochOf(record: Uint8Array): number {
  const at = (i: number): number => record[i] as number;
  return ((at(1) << 24) | (at(2) << 16) | (at(3) << 8) | at(4)) >>> 0;
}
