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
  /** A stream that lasts, such as a watch, was opened (1) or closed (-1). */
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
  let timer: NodeJS.Timeout | undefined;
  let isSlow = false;
  const tell = (maxConcurrentStreams: number): void => {
    if (!session.destroyed) session.settings({ maxConcurrentStreams });
  };
  const restore = (): void => {
    timer = undefined;
    isSlow = false;
    tell(streamsMax);
  };
  const stay = (): void => {
    clearTimeout(timer);
    timer = setTimeout(restore, SLOW_MS).unref();
  };
  const slow = (streams: number): void => {
    isSlow = true;
    stay();
    // Beside those that last.
    tell(Math.min(streamsMax, lasting + streams));
  };
  session.on("close", () => clearTimeout(timer));
  return {
    scope: undefined,
    slowDown: (streams) => {
      if (session.destroyed || session.closed) return;
      if (isSlow) stay();
      else timer ??= setTimeout(slow, SETTLE_MS, streams).unref();
    },
    lasting: (change) => {
      lasting += change;
    },
  };
}
