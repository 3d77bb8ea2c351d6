import type { ServerHttp2Session } from "node:http2";

/**
 * Lets a session be destroyed in a turn of its own only. node destroys it from within a callback of nghttp2
 * when its client says GOAWAY or breaks the protocol, and nghttp2 goes on to read what came behind that in
 * the same piece: into a stream that is gone, or past its own end. Either is an assertion that ends the
 * process, for a few bytes of a client that nobody knows (nodejs/node 64850, CVE-2026-27135).
 */
export function destroyLate(session: ServerHttp2Session): void {
  const destroy = session.destroy.bind(session);
  session.destroy = (error, code) => void setImmediate(destroy, error, code);
}
