import type { ServerHttp2Stream } from "node:http2";

/**
 * Sends the trailers of an OK with the last frame. node's own `sendTrailers` waits for a setImmediate so
 * as not to call nghttp2 from within nghttp2, which makes of each answer two TLS records, two writes and
 * two more turns of the event loop. But nghttp2 means this call to be made there
 * (https://nghttp2.org/documentation/nghttp2_submit_trailer.html). It is reached through the stream's
 * handle, which node does not document: where it is not found as it is known, the public call is made.
 */

interface StreamHandle {
  /** nghttp2's error number if negative. */
  trailers(list: readonly [block: string, count: number]): number;
}

/** `grpc-status: 0` as node hands lists of headers to nghttp2: name, value and flags. */
const OK_LIST = ["grpc-status\x000\x00\x00", 1] as const;

/** The property of a stream that holds its handle; `undefined` until the first stream is seen. */
let handleKey: symbol | "unknown" | undefined;

/** To be called from `wantTrailers`. False: nothing was sent, and `sendTrailers` must be called. */
export function sendOkTrailers(stream: ServerHttp2Stream): boolean {
  handleKey ??= findHandleKey(stream);
  if (handleKey === "unknown") return false;
  const handle: unknown = Reflect.get(stream, handleKey);
  return isStreamHandle(handle) && handle.trailers(OK_LIST) >= 0;
}

function findHandleKey(stream: ServerHttp2Stream): symbol | "unknown" {
  const named = Object.getOwnPropertySymbols(stream).filter(
    ({ description }) => description === "kHandle",
  );
  const [key] = named;
  const isKnown = named.length === 1 && key !== undefined;
  return isKnown && isStreamHandle(Reflect.get(stream, key)) ? key : "unknown";
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  return typeof (handle as Partial<StreamHandle> | undefined)?.trailers === "function";
}
