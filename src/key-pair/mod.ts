/** Key pairs of node:crypto. */
export { type KeyKind, type KeyPair, newKeyPair } from "./new-key-pair.ts";
