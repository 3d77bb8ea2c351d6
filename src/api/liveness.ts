import type { ServerHttp2Session } from "node:http2";

import type { ServerLimits } from "./limits.ts";

/**
 * Ends a session that nobody uses, and one whose client is gone. The kernel tells of a client that closed,
 * but not of one that lost its network; and after a protocol error nghttp2 reads no more, so that node
 * sees neither the client's end nor its own. Neither answers a ping (as in etcd, whose grpc server pings
 * idle clients too).
 */
export function endWhenGone(
  session: ServerHttp2Session,
  limits: Pick<ServerLimits, "idleMs" | "pingMs" | "pongMs">,
): void {
  let openStreams = 0;
  let quietMs = 0;
  let late: NodeJS.Timeout | undefined;
  session.on("stream", (stream) => {
    openStreams++;
    quietMs = 0;
    stream.on("close", () => openStreams--);
  });
  session.on("close", () => clearTimeout(late));
  const waitMs = Math.min(limits.idleMs, limits.pingMs);
  session.setTimeout(waitMs);
  // Given to setTimeout, a listener would hear of the first time only.
  session.on("timeout", () => {
    quietMs += waitMs;
    // Clients take up a connection again by themselves; one that nobody uses is not theirs to keep.
    if (openStreams === 0 && quietMs >= limits.idleMs) {
      session.close();
      return;
    }
    late ??= setTimeout(() => session.destroy(), limits.pongMs);
    session.ping((error) => {
      if (error !== null) return; // It could not be sent, and so not be answered.
      clearTimeout(late);
      late = undefined;
      // Node does not count the answer as something received, and stays silent after one timeout.
      session.setTimeout(waitMs);
    });
  });
}
