import type { Socket } from "node:net";

/** The first bytes of an HTTP/2 connection (RFC 9113 §3.4); no HTTP/1.1 request begins with them. */
const PREFACE = Buffer.from("PRI * HTTP/2.0");

/**
 * Tells HTTP/2 with prior knowledge from HTTP/1.1 by the first bytes of a plaintext connection, and
 * puts them back. A client that sends nothing is cut off after `timeoutMs`.
 */
export function routePlaintext(
  socket: Socket,
  timeoutMs: number,
  route: (protocol: "h2" | "http/1.1") => void,
): void {
  let seen = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const stop = (): void => {
    clearTimeout(timer);
    socket.off("readable", onReadable);
    socket.off("error", stop);
    socket.off("close", stop);
  };
  const onReadable = (): void => {
    const chunk: unknown = socket.read();
    if (!Buffer.isBuffer(chunk)) return;
    seen = Buffer.concat([seen, chunk]);
    const compared = Math.min(seen.length, PREFACE.length);
    const same = seen.subarray(0, compared).equals(PREFACE.subarray(0, compared));
    if (same && seen.length < PREFACE.length) return;
    stop();
    socket.unshift(seen);
    route(same ? "h2" : "http/1.1");
  };
  socket.on("readable", onReadable);
  socket.on("error", stop);
  socket.on("close", stop);
}
