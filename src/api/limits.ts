/** Bounds on what a client can hold of this process before it has shown who it is. */
export interface ServerLimits {
  /** Connections per listener. */
  readonly connectionsMax: number;
  /** Concurrent streams per connection, as announced in SETTINGS. */
  readonly streamsMax: number;
  /** Octets of a header list. A token may have 8 KiB. */
  readonly headerBytesMax: number;
  /** From the TCP connection to the end of the TLS handshake, in milliseconds. */
  readonly handshakeMs: number;
  /** From the handshake to the client's SETTINGS (HTTP/2) or the whole request (HTTP/1.1). */
  readonly firstRequestMs: number;
  /** A connection that neither has an open stream nor sends anything is closed after it. */
  readonly idleMs: number;
  /** A quiet HTTP/2 connection is asked by a ping after it whether its client is still there. */
  readonly pingMs: number;
  /** A connection that has not answered a ping by then is cut. */
  readonly pongMs: number;
  /** Memory of one HTTP/2 connection in MiB: beyond it new streams are refused. */
  readonly sessionMebibytesMax: number;
  /** Bytes that a client may send on one stream before it must wait for us. */
  readonly streamWindowBytes: number;
  /** Bytes on one connection, likewise. */
  readonly connectionWindowBytes: number;
  /** Time for open requests to end when the server stops, in milliseconds. */
  readonly drainMs: number;
}

export const DEFAULT_LIMITS: ServerLimits = {
  connectionsMax: 10_000,
  streamsMax: 2048,
  headerBytesMax: 16 * 1024,
  handshakeMs: 10_000,
  firstRequestMs: 10_000,
  idleMs: 300_000,
  pingMs: 60_000,
  pongMs: 20_000,
  sessionMebibytesMax: 64,
  streamWindowBytes: 1024 * 1024,
  connectionWindowBytes: 4 * 1024 * 1024,
  drainMs: 5000,
};
