import type { rpc } from "../proto/mod.ts";
import type { CallOptions } from "./transport.ts";

/** A message with any of its fields left out. 64-bit numbers may be given as number or bigint. */
export type Fields<T> = rpc.DeepPartial<T>;

export type Unary<Request, Response> = (
  request?: Fields<Request>,
  options?: CallOptions,
) => Promise<Response>;

/** Messages of one kind to and from bytes, as generated. */
export interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
  create(base?: Fields<T>): T;
}

/** Makes the call of one method. */
export type CallUnary = <Q, R>(path: string, request: Codec<Q>, response: Codec<R>) => Unary<Q, R>;
