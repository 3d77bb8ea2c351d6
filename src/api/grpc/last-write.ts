import type { ServerHttp2Stream } from "node:http2";

/**
 * A stream whose call was answered closes before node hears that its last write has left. node then
 * makes an error, with its stack, for callbacks that wait for the end of the writing, and there are none:
 * a twentieth of a put. A stream that has failed hands on the error that it failed with instead
 * (`errorBuffer` in node's lib/internal/streams/writable.js), so one that is closed gets the same error as
 * all others. Nobody asks for it: of a closed stream nothing is heard any more. Where node keeps it
 * elsewhere, nothing changes.
 */

const CLOSED = new Error("the stream is closed");

/** To be called when the stream has closed, and once. */
export function spareLastError(stream: ServerHttp2Stream): void {
  const state: unknown = Reflect.get(stream, "_writableState");
  if (isWritableState(state)) state.errored ??= CLOSED;
}

function isWritableState(state: unknown): state is { errored: Error | null } {
  return typeof state === "object" && state !== null && "errored" in state;
}
