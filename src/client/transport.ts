import http2 from "node:http2";

import { CofferError } from "../errors.ts";
import { type FrameFault, FrameReader, frameOf } from "../proto/mod.ts";
import type { Connection, Connector } from "./connection.ts";
import { errorOfStatus, unreachable } from "./failure.ts";

/** gRPC calls over one connector, in bytes. */

export interface CallOptions {
  /** For the whole call; 0: none. Unary calls have a default, streams have not. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Metadata of every call: authorization, tenant. May be asked for anew for each call. */
export type Metadata = () => Readonly<Record<string, string>>;

/** Larger than any reply the server makes for a request within its limits. */
const REPLY_BYTES_MAX = 512 * 1024 * 1024;

export interface Transport {
  unary(path: string, message: Uint8Array, options: CallOptions): Promise<Buffer>;
  /** Opens a stream; it fails, if at all, through its messages. */
  open(path: string, options: CallOptions): ByteStream;
}

/** One open call, in frames. */
export interface ByteStream {
  send(message: Uint8Array): void;
  /** No more will be sent. */
  end(): void;
  /** Messages as they come; pulling slowly slows the server. Throws CofferError if the call fails. */
  messages(): AsyncGenerator<Buffer, void>;
  /** Cancels the call. Its messages end without an error. */
  cancel(): void;
}

export function createTransport(connector: Connector, metadata: Metadata): Transport {
  const request = async (path: string, whole: CallOptions, refused?: Call): Promise<Call> => {
    const options = refused === undefined ? whole : refused.optionsLeft;
    const headers = headersOf(path, metadata(), options);
    const connection =
      refused === undefined
        ? await connector.connection()
        : await connector.reconnect(refused.connection);
    // A connection that the server is closing takes no new streams: one more is made for this call.
    return (
      start(connection, headers, options) ??
      start(await connector.reconnect(connection), headers, options) ??
      Promise.reject(unreachable(connection.endpoint, "the connection was closed again at once"))
    );
  };
  return {
    unary: async (path, message, options) => {
      if (options.signal?.aborted === true) throw new CofferError("canceled");
      const call = await request(path, options);
      try {
        return await replyTo(call, message);
      } catch (error) {
        if (!call.isRefused) throw error;
        return await replyTo(await request(path, options, call), message);
      }
    },
    open: (path, options) => openStream((refused) => request(path, options, refused)),
  };
}

async function replyTo(call: Call, message: Uint8Array): Promise<Buffer> {
  call.stream.end(frameOf(message));
  let reply: Buffer | undefined;
  for await (const received of call.messages()) reply = received;
  if (reply === undefined) throw new CofferError("internal", "the server sent no reply");
  return reply;
}

/** Undefined when the connection takes no more streams. */
function start(
  connection: Connection,
  headers: http2.OutgoingHttpHeaders,
  options: CallOptions,
): Call | undefined {
  const { session } = connection;
  if (session.closed || session.destroyed) return undefined;
  try {
    return new Call(connection, session.request(headers), options);
  } catch (cause) {
    if (session.closed || session.destroyed) return undefined;
    throw new CofferError("internal", "the call could not be started", { cause });
  }
}

function headersOf(
  path: string,
  metadata: Readonly<Record<string, string>>,
  { timeoutMs = 0 }: CallOptions,
): http2.OutgoingHttpHeaders {
  for (const [name, value] of Object.entries(metadata)) {
    // node sends what it is given, and nghttp2 then drops the field without a word.
    if (!/^[ -~]*$/.test(value)) {
      throw new CofferError("invalid-argument", `${name} holds characters it may not`);
    }
  }
  return {
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": "coffer-client",
    ...metadata,
    ...(timeoutMs > 0 ? { "grpc-timeout": grpcTimeout(timeoutMs) } : {}),
  };
}

/** `request` makes the call, and again where the server has refused it. */
function openStream(request: (refused?: Call) => Promise<Call>): ByteStream {
  let opening = request();
  let canceled = false;
  let ended = false;
  /** What was sent, until something comes back: a call that is made again begins with it. */
  let unanswered: Buffer[] | undefined = [];
  const later = (act: (call: Call) => void): void => {
    opening.then(act, () => undefined);
  };
  const replay = async (refused: Call, frames: readonly Buffer[]): Promise<Call> => {
    const call = await request(refused);
    for (const frame of frames) call.send(frame);
    return call;
  };
  const received = async function* (): AsyncGenerator<Buffer, void> {
    const call = await opening;
    try {
      for await (const message of call.messages()) {
        unanswered = undefined;
        yield message;
      }
      return;
    } catch (error) {
      if (canceled || unanswered === undefined || !call.isRefused) throw error;
      opening = replay(call, unanswered);
      unanswered = undefined;
    }
    if (ended) later(({ stream }) => stream.end());
    yield* (await opening).messages();
  };
  return {
    send: (message) => {
      const frame = frameOf(message);
      unanswered?.push(frame);
      later((call) => {
        if (call.isAnswered) unanswered = undefined;
        call.send(frame);
      });
    },
    end: () => {
      ended = true;
      later(({ stream }) => stream.end());
    },
    messages: async function* () {
      try {
        yield* received();
      } catch (error) {
        if (!canceled) throw error;
      }
    },
    cancel: () => {
      canceled = true;
      later(({ stream }) => stream.close(http2.constants.NGHTTP2_CANCEL));
    },
  };
}

/** One HTTP/2 stream of a call, and how it ended. */
class Call {
  readonly connection: Connection;
  readonly stream: http2.ClientHttp2Stream;
  readonly #closed: Promise<void>;
  readonly #options: CallOptions;
  readonly #started = performance.now();
  #isAnswered = false;
  #trailers: http2.IncomingHttpHeaders = {};
  #httpStatus = 200;
  /** What broke the call from this side: a deadline, an abort, the socket. */
  #failure: unknown;

  constructor(connection: Connection, stream: http2.ClientHttp2Stream, options: CallOptions) {
    this.connection = connection;
    this.stream = stream;
    this.#options = options;
    stream.on("response", (headers) => {
      this.#isAnswered = true;
      this.#httpStatus = headers[":status"] ?? 0;
      if (headers["grpc-status"] !== undefined) this.#trailers = headers;
    });
    stream.on("trailers", (headers) => {
      this.#trailers = headers;
    });
    stream.on("error", (error) => {
      this.#failure ??= error;
    });
    const abort = (reason: CofferError): void => {
      this.#failure ??= reason;
      stream.close(http2.constants.NGHTTP2_CANCEL);
    };
    const { timeoutMs = 0, signal } = options;
    const timer =
      timeoutMs > 0
        ? setTimeout(() => abort(new CofferError("deadline-exceeded")), timeoutMs)
        : undefined;
    const onAbort = (): void => abort(new CofferError("canceled"));
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#closed = new Promise((resolve) => {
      stream.once("close", () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
    });
  }

  /**
   * Whether the server has done nothing for it, so that it may be made again (RFC 9113 §8.7): it met a
   * connection that was closing, or one that is allowed no more streams.
   */
  get isRefused(): boolean {
    return this.stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM;
  }

  /** Whether anything has come back. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** For the same call made again: what time is left of it. */
  get optionsLeft(): CallOptions {
    const { timeoutMs = 0 } = this.#options;
    if (timeoutMs <= 0) return this.#options;
    const left = timeoutMs - (performance.now() - this.#started);
    return { ...this.#options, timeoutMs: Math.max(1, Math.ceil(left)) };
  }

  send(frame: Buffer): void {
    if (!this.stream.destroyed && !this.stream.writableEnded) this.stream.write(frame);
  }

  async *messages(): AsyncGenerator<Buffer, void> {
    const reader = new FrameReader({ bytesMax: REPLY_BYTES_MAX, errorOf: errorOfFault });
    let wanted = true;
    try {
      for await (const chunk of this.stream as AsyncIterable<Buffer>) {
        reader.push(chunk);
        for (let next = reader.next(); next !== undefined; next = reader.next()) yield next;
      }
      wanted = false;
    } catch (error) {
      this.#failure ??= error;
    } finally {
      if (wanted && !this.stream.destroyed) this.stream.close(http2.constants.NGHTTP2_CANCEL);
    }
    await this.#closed;
    this.#check();
  }

  /** Throws unless the call ended with OK. A status from the server says more than a broken stream. */
  #check(): void {
    const status = this.#trailers["grpc-status"];
    if (status !== undefined) {
      if (String(status) === "0") return;
      throw errorOfStatus(Number(status), percentDecode(this.#trailers["grpc-message"]));
    }
    if (this.#failure instanceof CofferError) throw this.#failure;
    if (this.#httpStatus !== 200) {
      const text = `it answered HTTP status ${String(this.#httpStatus)}; is this a Coffer endpoint?`;
      throw unreachable(this.connection.endpoint, text);
    }
    throw unreachable(
      this.connection.endpoint,
      this.#failure ?? "the connection broke before the reply",
    );
  }
}

function errorOfFault(fault: FrameFault): CofferError {
  return new CofferError("internal", `the server sent a frame that cannot be read: ${fault.kind}`);
}

function percentDecode(header: string | string[] | undefined): string {
  const text = String(header ?? "");
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The header has at most eight digits. */
function grpcTimeout(ms: number): string {
  return ms < 1e8
    ? `${String(Math.ceil(ms))}m`
    : `${String(Math.min(Math.ceil(ms / 1000), 99_999_999))}S`;
}
