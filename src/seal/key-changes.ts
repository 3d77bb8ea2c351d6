import { CofferError } from "../errors.ts";
import type { RecordChange } from "../core/types/mod.ts";
import { KEY_NUMBER_MAX, keyIdOf, parseKeyId } from "./key-id.ts";
import { deriveCipherKey, newKeyBytes } from "./key-material.ts";
import type { RootKeyProvider } from "./root-key-provider.ts";
import { rootKeyContext, type RootKeys } from "./root-keys.ts";
import { activeNumber, tenantWrappingKey, unwrapChain } from "./scope-keys.ts";
import { destroyedKey, encodeWrappedKey, keyCommitment, wrapKey } from "./wrapped-key.ts";
import { SUITE_PROVIDER, SUITE_XCHACHA20_POLY1305 } from "./wrapped-key.ts";
import type { KeyHeader, KeyPlace, KeyState, WrappedKey } from "./wrapped-key.ts";
import type { BoxCipher, CipherKey } from "./xchacha.ts";

/**
 * Record changes that make, retire and destroy keys. They take effect when the log has applied them
 * (design idea I4); nothing here changes a keyring.
 */
export interface KeyMaker {
  readonly cipher: BoxCipher;
  readonly place: KeyPlace;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The first root key, wrapped by `provider`, and the first key of the cluster's secrets. */
export async function makeClusterKeys(
  maker: KeyMaker,
  provider: RootKeyProvider,
): Promise<readonly RecordChange[]> {
  const root = newKeyBytes();
  const rootKey = deriveCipherKey(root, "root key", "wrap");
  const secret = newKeyBytes();
  try {
    const id = keyIdOf("root", 1);
    const state = "active" as const;
    const unwrapped = { id, parent: "", suite: SUITE_PROVIDER, state, created: maker.now };
    const box = await provider.wrap(root, rootKeyContext(unwrapped, maker.place));
    const wrappedRoot: WrappedKey = {
      ...unwrapped,
      parent: box.keyId,
      nonce: new Uint8Array(0),
      ciphertext: box.ciphertext,
      commitment: keyCommitment(root, id, maker.place),
    };
    const header = headerOf(maker, keyIdOf("secret", 1), id);
    return [added(wrappedRoot), added(wrap(maker, rootKey, { key: secret, header }))];
  } finally {
    root.fill(0);
    rootKey.fill(0);
    secret.fill(0);
  }
}

/** The first tenant key and the first data key of the tenant that `maker.place` names. */
export function makeTenantKeys(maker: KeyMaker, roots: RootKeys): readonly RecordChange[] {
  const root = roots.active();
  const tenant = newKeyBytes();
  const tenantKey = tenantWrappingKey(tenant);
  const data = newKeyBytes();
  try {
    const tenantHeader = headerOf(maker, keyIdOf("tenant", 1), root.id);
    const dataHeader = headerOf(maker, keyIdOf("data", 1), tenantHeader.id);
    return [
      added(wrap(maker, roots.wrappingKey(root.id), { key: tenant, header: tenantHeader })),
      added(wrap(maker, tenantKey, { key: data, header: dataHeader })),
    ];
  } finally {
    tenant.fill(0);
    tenantKey.fill(0);
    data.fill(0);
  }
}

/** The next data key of a tenant, pre-active: every member can open it before any seals with it. */
export function makeDataKey(
  maker: KeyMaker,
  roots: RootKeys,
  wrapped: readonly WrappedKey[],
): readonly RecordChange[] {
  const numbers = wrapped.map((one) => parseKeyId(one.id));
  const last = numbers.reduce((max, n) => (n?.kind === "data" ? Math.max(max, n.number) : max), 0);
  const tenant = activeNumber(wrapped, "tenant");
  if (tenant === undefined) throw new CofferError("not-found", "this tenant has no active key");
  if (last >= KEY_NUMBER_MAX) throw new CofferError("conflict", "this tenant has used all epochs");
  const parent = keyIdOf("tenant", tenant);
  const header = {
    ...headerOf(maker, keyIdOf("data", last + 1), parent),
    state: "pre-active" as const,
  };
  return withTenantKey(maker, { roots, wrapped, parent }, (tenantKey) => {
    const key = newKeyBytes();
    try {
      return [added(wrap(maker, tenantKey, { key, header }))];
    } finally {
      key.fill(0);
    }
  });
}

/** Which states may follow which; nothing comes back from decrypt-only or destroyed. */
const NEXT_STATES: { readonly [state in KeyState]: readonly KeyState[] } = {
  "pre-active": ["active", "destroyed"],
  active: ["decrypt-only"],
  "decrypt-only": ["destroyed"],
  destroyed: [],
};

/**
 * Moves data key `epoch` to `state`; making one active retires the one that was. Destroying drops
 * the ciphertext. Throws `not-found` or `conflict`.
 */
export function changeDataKey(
  maker: KeyMaker,
  keys: { readonly roots: RootKeys; readonly wrapped: readonly WrappedKey[] },
  to: { readonly epoch: number; readonly state: KeyState },
): readonly RecordChange[] {
  const id = keyIdOf("data", to.epoch);
  const wrapped = keys.wrapped.find((one) => one.id === id);
  if (wrapped === undefined) throw new CofferError("not-found", `this tenant has no key ${id}`);
  if (!NEXT_STATES[wrapped.state].includes(to.state)) {
    throw new CofferError(
      "conflict",
      `key ${id} is ${wrapped.state}, it cannot become ${to.state}`,
    );
  }
  if (to.state === "destroyed") return [changed(destroyedKey(wrapped))];
  const moved = [rewrapped(maker, keys, { wrapped, state: to.state })];
  if (to.state !== "active") return moved;
  const before = keys.wrapped.filter(
    (one) => parseKeyId(one.id)?.kind === "data" && one.state === "active",
  );
  return [
    ...moved,
    ...before.map((one) => rewrapped(maker, keys, { wrapped: one, state: "decrypt-only" })),
  ];
}

function rewrapped(
  maker: KeyMaker,
  keys: { readonly roots: RootKeys; readonly wrapped: readonly WrappedKey[] },
  to: { readonly wrapped: WrappedKey; readonly state: KeyState },
): RecordChange {
  const { id, parent, suite, created } = to.wrapped;
  const header: KeyHeader = { id, parent, suite, created, state: to.state };
  return withTenantKey(maker, { ...keys, parent }, (tenantKey, byId) => {
    const key = unwrapChain({ ...maker, roots: keys.roots }, byId, id);
    try {
      return changed(wrap(maker, tenantKey, { key, header }));
    } finally {
      key.fill(0);
    }
  });
}

function withTenantKey<T>(
  maker: KeyMaker,
  keys: {
    readonly roots: RootKeys;
    readonly wrapped: readonly WrappedKey[];
    readonly parent: string;
  },
  use: (tenantKey: CipherKey, byId: ReadonlyMap<string, WrappedKey>) => T,
): T {
  const byId = new Map(keys.wrapped.map((one) => [one.id, one]));
  const tenant = unwrapChain({ ...maker, roots: keys.roots }, byId, keys.parent);
  const tenantKey = tenantWrappingKey(tenant);
  try {
    return use(tenantKey, byId);
  } finally {
    tenant.fill(0);
    tenantKey.fill(0);
  }
}

function headerOf(maker: KeyMaker, id: string, parent: string): KeyHeader {
  return { id, parent, suite: SUITE_XCHACHA20_POLY1305, state: "active", created: maker.now };
}

function wrap(
  maker: KeyMaker,
  parent: CipherKey,
  input: { readonly key: Uint8Array; readonly header: KeyHeader },
): WrappedKey {
  return wrapKey(maker.cipher, parent, { ...input, place: maker.place });
}

function added(wrapped: WrappedKey): RecordChange {
  return change(wrapped, "absent");
}

function changed(wrapped: WrappedKey): RecordChange {
  return change(wrapped, "present");
}

function change(wrapped: WrappedKey, expect: "absent" | "present"): RecordChange {
  return { table: "wrapped-key", id: recordIdOf(wrapped), data: encodeWrappedKey(wrapped), expect };
}

/** One root key may be wrapped by several providers, each in a record of its own. */
function recordIdOf(wrapped: WrappedKey): string {
  const isRoot = parseKeyId(wrapped.id)?.kind === "root";
  return isRoot ? `${wrapped.id}@${wrapped.parent}` : wrapped.id;
}
