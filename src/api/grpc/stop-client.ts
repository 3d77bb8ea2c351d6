import { constants, type ServerHttp2Stream } from "node:http2";

/**
 * Tells a client that is still sending to stop, without an error (RFC 9113 §8.1), once all of its answer
 * has left. Not before: node believes that a stream that was closed is being reset, and if its end comes
 * in between, forgets it without a word to nghttp2, which then asks for its data for ever: the event loop
 * stands still, and the memory grows without end.
 */
export function stopClient(stream: ServerHttp2Stream): void {
  const stop = (): void => {
    if (!stream.destroyed && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
  };
  if (stream.writableFinished) stop();
  else stream.once("finish", stop);
}
