import type http2 from "node:http2";

import type { CallerConnection } from "../edge/mod.ts";

/** How long that holds after it was last asked for, in milliseconds. */
const SLOW_MS = 10_000;
/**
 * Milliseconds from the first asking to telling the client. Its requests are held back by then, so that
 * nothing is on its way that would be refused without a word of why.
 */
const SETTLE_MS = 200;

/** One HTTP/2 connection as the edge may slow it down. */
export interface SlowableConnection extends CallerConnection {
  /** A stream that lasts, such as a watch that was answered, has come (1) or ended (-1). */
  lasting(change: 1 | -1): void;
}

/**
 * Slows a client down by what HTTP/2 has for it: SETTINGS_MAX_CONCURRENT_STREAMS is lowered for a while
 * (RFC 9113 §5.1.2). A client that keeps to it waits; one that does not has its streams refused, and its
 * connection ended, by the protocol's library, before any of our code has seen them.
 *
 *     free --slowDown--> settling --SETTLE_MS--> slow --SLOW_MS without slowDown--> free
 */
export function slowableConnection(
  session: http2.ServerHttp2Session,
  streamsMax: number,
): SlowableConnection {
  let lasting = 0;
  /** What is wanted while it is slow; undefined: it is not. */
  let slow: { readonly few: number; streams: number } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let told = streamsMax;
  let isTelling = false;
  /** One thing at a time, and the newest: node ends a session whose client has ten to acknowledge. */
  const tell = (): void => {
    const wanted = Math.min(streamsMax, slow?.streams ?? streamsMax);
    if (isTelling || wanted === told || session.destroyed) return;
    isTelling = true;
    told = wanted;
    session.settings({ maxConcurrentStreams: wanted }, () => {
      isTelling = false;
      tell();
    });
  };
  const restore = (): void => {
    timer = undefined;
    slow = undefined;
    tell();
  };
  const stay = (): void => {
    clearTimeout(timer);
    timer = setTimeout(restore, SLOW_MS).unref();
  };
  const begin = (few: number): void => {
    slow = { few, streams: lasting + few };
    stay();
    tell();
  };
  session.on("close", () => clearTimeout(timer));
  return {
    scope: undefined,
    slowDown: (few) => {
      if (session.destroyed || session.closed) return;
      if (slow === undefined) timer ??= setTimeout(begin, SETTLE_MS, few).unref();
      else stay();
    },
    lasting: (change) => {
      lasting += change;
      if (slow === undefined) return;
      // One that is opened now would take the place of a request. The place of one that has ended stays
      // until all is over: its client may have opened another already, which would be refused, and a
      // thousand of those in the life of a connection make node end it.
      slow.streams = Math.max(slow.streams, lasting + slow.few);
      tell();
    },
  };
}
