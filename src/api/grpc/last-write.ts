import type { ServerHttp2Stream } from "node:http2";

/**
 * A stream whose call was answered is destroyed before node hears that its last write has left. node then
 * makes an error, with its stack, for callbacks that wait for the end of the writing, and there are none:
 * a twentieth of a put. A stream that has failed hands on the error that it failed with instead
 * (`errorBuffer` in node's lib/internal/streams/writable.js), so one that ends well is given the same error
 * as all others when it is destroyed. Nobody is told of it, and a stream that fails keeps its own. Where
 * node keeps it elsewhere, nothing changes.
 */

const ENDED = new Error("the stream has ended");

/** To be called before the stream is used. */
export function spareLastError(stream: ServerHttp2Stream): void {
  stream._destroy = destroyWithError;
}

type Destroy = ServerHttp2Stream["_destroy"];

function destroyWithError(
  this: ServerHttp2Stream,
  error: Parameters<Destroy>[0],
  callback: Parameters<Destroy>[1],
): void {
  const { _destroy } = Object.getPrototypeOf(this) as Pick<ServerHttp2Stream, "_destroy">;
  _destroy.call(this, error, (failure) => {
    const state: unknown = Reflect.get(this, "_writableState");
    if (!failure && isWritableState(state)) state.errored ??= ENDED;
    callback(failure);
  });
}

function isWritableState(state: unknown): state is { errored: Error | null } {
  return typeof state === "object" && state !== null && "errored" in state;
}
