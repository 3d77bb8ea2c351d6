/** Gaps in the language. Pure: no clock, file, socket or package. */
export { AssertionFailure, assert, assertNever } from "./assert.ts";
export type { Brand } from "./brand.ts";
export { byteStringOf, bytesOf, compareByteStrings, prefixEnd } from "./byte-string.ts";
export type { Clock } from "./clock.ts";
export { DER_TAG, type DerValue, derParts, derValues, readDer } from "./der.ts";
export { type Prng, createPrng } from "./prng.ts";
export type { Cancel, Scheduler } from "./scheduler.ts";
