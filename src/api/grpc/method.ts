import type { Caller, ReplyHeader } from "../../edge/mod.ts";
import { CofferError } from "../../errors.ts";
import { type rpc, frameOf } from "../../proto/mod.ts";

/** What a service offers: paths and what answers them. */

export interface UnaryMethod {
  readonly kind: "unary";
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Takes one message, returns one frame; rejects with CofferError or ProtocolError. */
  handle(caller: Caller, message: Buffer): Promise<Buffer>;
}

export interface StreamMethod {
  readonly kind: "stream";
  readonly type: "server_stream" | "bidi_stream";
  readonly path: string;
  serve(call: StreamCall): StreamHandler;
}

export type Method = UnaryMethod | StreamMethod;

/** One open stream as its method sees it. After `finish` or `onClose` every call does nothing. */
export interface StreamCall {
  readonly caller: Caller;
  /** False: the client reads slowly; write no more before `onWritable`. */
  readonly writable: boolean;
  write(frame: Buffer): void;
  /** Stops and resumes reading of messages; those already cut are held back too. */
  pause(): void;
  resume(): void;
  /** Ends the stream: with OK when `error` is undefined. Needs no `this`. */
  readonly finish: (error: unknown) => void;
}

export interface StreamHandler {
  onMessage(message: Buffer): void;
  /** The client will send no more, and all it sent was handed over. */
  onHalfClose(): void;
  onWritable(): void;
  /** The stream is over, however it came; called once. */
  onClose(): void;
}

/** The part of a generated codec that is used here. */
export interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** A unary method of generated messages, for everything that is not on the hot path. */
export function unary<Request, Response>(
  path: string,
  codecs: { readonly request: Codec<Request>; readonly response: Codec<Response> },
  handle: (caller: Caller, request: Request) => Promise<Response>,
): UnaryMethod {
  return {
    kind: "unary",
    path,
    handle: async (caller, message) => {
      const request = decodeWith(codecs.request, message);
      return frameOf(codecs.response.encode(await handle(caller, request)).finish());
    },
  };
}

/** Decodes by generated code; what it throws becomes `invalid-argument`. */
export function decodeWith<T>(codec: Codec<T>, message: Buffer): T {
  try {
    return codec.decode(message);
  } catch (cause) {
    throw new CofferError("invalid-argument", "the message is not valid protobuf", { cause });
  }
}

/** etcd's header; `revision` in place of the reply's where etcd sends another one. */
export function headerOf(
  header: ReplyHeader,
  revision: number = header.revision,
): rpc.ResponseHeader {
  return {
    clusterId: header.clusterId,
    memberId: header.memberId,
    revision: BigInt(revision),
    raftTerm: BigInt(header.term),
  };
}

/** A 64-bit number of a client as a safe integer, clamped: no client can make it throw. */
export function clamp(value: bigint): number {
  const max = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > max ? max : value < -max ? -max : value);
}

/** A count or a time in whole units. */
export function whole(value: number): bigint {
  return BigInt(Math.trunc(value));
}
