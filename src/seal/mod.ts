/**
 * Envelope encryption: root key providers, tenant keys, data keys, records. See DESIGN.md beside.
 */
export { createFileKeys } from "./file-keys.ts";
export type { FileKeys, FileKeysOptions, FileMac } from "./file-keys.ts";
export { createFrameCrypto } from "./frame-keys.ts";
export type { FrameCryptoOptions, FrameKey, FrameKeys } from "./frame-keys.ts";
export { createRootKeyFile, keyFileProvider } from "./key-file.ts";
export { createKeyring, RECORD_OVERHEAD_BYTES } from "./keyring.ts";
export type { Keyring, KeyringOptions, KeyringStatus } from "./keyring.ts";
export type { DerivedKey, ProviderBox, RootKeyProvider } from "./root-key-provider.ts";
export type { KeyState } from "./wrapped-key.ts";
