import { once } from "node:events";
import http2 from "node:http2";
import { FrameReader, frameOf } from "../../src/proto/mod.ts";

/** gRPC as it is on the wire: codes and texts are what the server sent, no client reads sense into them. */

export interface RawTarget {
  readonly port: number;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly token?: string | undefined;
}

export interface RawReply {
  /** gRPC status; 0 is OK. */
  readonly status: number;
  readonly message: string;
  readonly body: Buffer | undefined;
}

/** One bidirectional stream; what came is kept in order until it is taken. */
export interface RawStream {
  send(message: Uint8Array): void;
  /** The next message; rejects if the stream ends before. */
  next(): Promise<Buffer>;
  close(): void;
}

const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
const CALL_MS_MAX = 20_000;

export class RawClient implements AsyncDisposable {
  readonly #session: http2.ClientHttp2Session;
  readonly #token: string | undefined;

  private constructor(session: http2.ClientHttp2Session, token: string | undefined) {
    this.#session = session;
    this.#token = token === "" ? undefined : token;
  }

  static async connect({ port, ca, cert, key, token }: RawTarget): Promise<RawClient> {
    const session = http2.connect(`https://localhost:${port}`, {
      ca,
      cert,
      key,
      host: "127.0.0.1",
      settings: { initialWindowSize: 4 * 1024 * 1024 },
    });
    await once(session, "connect");
    session.on("error", () => undefined);
    return new RawClient(session, token);
  }

  get isOpen(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  async call(path: string, message: Uint8Array): Promise<RawReply> {
    const stream = this.#open(path);
    stream.end(frameOf(message));
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on("response", (headers) => (trailers = headers));
    stream.on("trailers", (headers) => (trailers = headers));
    stream.setTimeout(CALL_MS_MAX, () => stream.close(http2.constants.NGHTTP2_CANCEL));
    const reader = newReader();
    let body: Buffer | undefined;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      reader.push(chunk);
      body = reader.next() ?? body;
    }
    const text = trailers["grpc-message"];
    return {
      status: Number(trailers["grpc-status"] ?? -1),
      message: decodeURIComponent(typeof text === "string" ? text : ""),
      body,
    };
  }

  stream(path: string): RawStream {
    const stream = this.#open(path);
    const reader = newReader();
    const waiting: { resolve: (message: Buffer) => void; reject: (error: Error) => void }[] = [];
    const received: Buffer[] = [];
    let closed = false;
    stream.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => {
      reader.push(chunk);
      for (let next = reader.next(); next !== undefined; next = reader.next()) {
        const first = waiting.shift();
        if (first === undefined) received.push(next);
        else first.resolve(next);
      }
    });
    stream.on("close", () => {
      closed = true;
      for (const { reject } of waiting) reject(new Error(`${path} ended`));
    });
    return {
      send: (message) => void stream.write(frameOf(message)),
      next: () => {
        const first = received.shift();
        if (first !== undefined) return Promise.resolve(first);
        if (closed) return Promise.reject(new Error(`${path} ended`));
        return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
      },
      close: () => stream.close(http2.constants.NGHTTP2_CANCEL),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#session.destroyed) return;
    this.#session.close();
    await once(this.#session, "close");
  }

  #open(path: string): http2.ClientHttp2Stream {
    return this.#session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
    });
  }
}

function newReader(): FrameReader {
  const errorOf = ({ kind }: { readonly kind: string }): Error => new Error(`A frame is ${kind}`);
  return new FrameReader({ bytesMax: MESSAGE_BYTES_MAX, errorOf });
}
