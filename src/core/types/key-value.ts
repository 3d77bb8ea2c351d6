import type { Key, LeaseId, Revision } from "./ids.ts";

/**
 * One key at one revision. Inside `core`, `storage` and `node` the value is a sealed record and opaque;
 * above the edge it is the client's plaintext.
 */
export interface KeyValue {
  readonly key: Key;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** Changes since creation: 1 at creation. */
  readonly version: number;
  readonly lease: LeaseId;
  readonly value: Uint8Array;
}

/** One change of one key. A delete's `kv` carries only key and modRevision, as etcd's. */
export interface KeyEvent {
  readonly type: "put" | "delete";
  readonly kv: KeyValue;
  /** The order of the change within its revision, from 0. */
  readonly sub: number;
}

/** Who caused a change; kept with the revision (design idea I7). */
export interface Actor {
  readonly issuer: string;
  readonly subject: string;
  /** No two requests have one; "" for what the cluster does by itself. */
  readonly requestId: string;
}

/** In a request id: what the client calls the request, this, and what makes it no other's. */
export const REQUEST_ID_MARK = "~";

/** The actor of what the cluster does by itself, such as lease expiry. */
export function systemActor(reason: string): Actor {
  return { issuer: "coffer", subject: `system:${reason}`, requestId: "" };
}
