import { type TLSSocket, connect } from "node:tls";
import {
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME_HEADER_BYTES,
  clientHello,
  frame,
  frameType,
  headerBlocks,
  maxConcurrentStreams,
  plainField,
  windowUpdate,
  writeFrameHeader,
} from "./http2-frames.ts";

/** One TLS connection that keeps a fixed number of unary gRPC calls in flight. */

export interface LoadTarget {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Bearer token; "" for none. */
  readonly token: string;
}

export interface LoadConnection {
  /** Resolves when the server's settings have come: TLS and HTTP/2 are up, and nothing was asked yet. */
  readonly connected: Promise<void>;
  /** Begins the calls; resolves when the last one has ended. */
  run(): Promise<void>;
}

export interface LoadPlan {
  /** Such as `/etcdserverpb.KV/Put`. */
  readonly path: string;
  /** Calls in flight; at most, where they are paced. */
  readonly streams: number;
  /** Calls that are begun each second, whatever becomes of them; undefined: one as soon as one ends. */
  readonly perSecond?: number | undefined;
  /** While true, no call is begun, and paced ones are not made up for later. */
  readonly isResting?: (() => boolean) | undefined;
  /** One more field of the next call's header. */
  readonly nextField?: (() => readonly [string, string]) | undefined;
  /** The next request's protobuf message; `undefined` when enough have been sent. */
  readonly nextMessage: () => Buffer | undefined;
  /** A call ended; `ok` if a message came back. */
  readonly onAnswer: (seconds: number, ok: boolean) => void;
}

const RECEIVED_BYTES_PER_UPDATE = 1 << 20;
const GRPC_PREFIX_BYTES = 5;
/** How often paced calls are begun. */
const PACE_MS = 2;

interface Call {
  readonly started: number;
  answered: boolean;
}

export function startConnection(target: LoadTarget, plan: LoadPlan): LoadConnection {
  const socket = connect({
    host: target.host,
    port: target.port,
    ca: target.ca,
    cert: target.cert,
    key: target.key,
    ALPNProtocols: ["h2"],
    servername: "localhost",
  });
  socket.setNoDelay(true);
  const ended = new Promise<never>((_, reject) => {
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("The server closed the connection")));
  });
  // Seen by whoever waits for one of the two below.
  ended.catch(() => undefined);
  const calls = new Calls(socket, target, plan);
  return {
    connected: Promise.race([calls.connect(), ended]),
    run: () => Promise.race([calls.run(), ended]),
  };
}

class Calls {
  readonly #socket: TLSSocket;
  readonly #plan: LoadPlan;
  #onSettings: () => void = () => undefined;
  #onEnd: () => void = () => undefined;
  readonly #blocks: { readonly first: Buffer; readonly next: Buffer };
  readonly #calls = new Map<number, Call>();
  #nextStream = 1;
  #rest: Buffer = Buffer.alloc(0);
  #received = 0;
  #out: Buffer[] = [];
  #finished = false;
  #timer: NodeJS.Timeout | undefined;
  #isOver = true;
  /** As the server set it. */
  #streamsMax = Number.MAX_SAFE_INTEGER;

  constructor(socket: TLSSocket, target: LoadTarget, plan: LoadPlan) {
    this.#socket = socket;
    this.#plan = plan;
    const fields: [string, string][] = [
      [":method", "POST"],
      [":scheme", "https"],
      [":path", plan.path],
      [":authority", `localhost:${target.port}`],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ["user-agent", "coffer-bench"],
    ];
    if (target.token !== "") fields.push(["authorization", `Bearer ${target.token}`]);
    this.#blocks = headerBlocks(fields);
  }

  connect(): Promise<void> {
    this.#socket.on("secureConnect", () => this.#socket.write(clientHello()));
    this.#socket.on("data", (chunk: Buffer) => {
      this.#take(chunk);
      this.#flush();
    });
    return new Promise((resolve) => (this.#onSettings = resolve));
  }

  run(): Promise<void> {
    const ended = new Promise<void>((resolve) => (this.#onEnd = resolve));
    this.#isOver = false;
    if (this.#plan.perSecond !== undefined) {
      this.#pace(this.#plan.perSecond);
    } else {
      this.#fill();
      if (this.#plan.isResting !== undefined) this.#refill();
    }
    this.#flush();
    return ended;
  }

  #pace(perSecond: number): void {
    let due = 0;
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      due = Math.min(due + ((now - last) * perSecond) / 1000, perSecond);
      last = now;
      // What the server takes no more of is not sent later.
      for (; due >= 1; due--) if (this.#hasRoom()) this.#call();
      this.#flush();
    }, PACE_MS);
  }

  /** A rest ends while no call is under way whose end would begin the next. */
  #refill(): void {
    this.#timer = setInterval(() => {
      this.#fill();
      this.#flush();
    }, PACE_MS);
  }

  /** As many calls as are wanted and the server allows. */
  #fill(): void {
    if (this.#plan.perSecond !== undefined) return;
    while (!this.#isOver && this.#hasRoom()) this.#call();
  }

  #hasRoom(): boolean {
    if (this.#plan.isResting?.() === true) return false;
    return this.#calls.size < Math.min(this.#plan.streams, this.#streamsMax);
  }

  #call(): void {
    const message = this.#plan.nextMessage();
    if (message === undefined) {
      this.#isOver = true;
      clearInterval(this.#timer);
      if (this.#calls.size === 0) this.#end();
      return;
    }
    const stream = this.#nextStream;
    this.#nextStream += 2;
    const field = this.#plan.nextField?.();
    const fixed = stream === 1 ? this.#blocks.first : this.#blocks.next;
    const block = field === undefined ? fixed : Buffer.concat([fixed, plainField(...field)]);
    const body = GRPC_PREFIX_BYTES + message.length;
    const out = Buffer.allocUnsafe(2 * FRAME_HEADER_BYTES + block.length + body);
    let at = writeFrameHeader(out, 0, {
      length: block.length,
      type: frameType.headers,
      flags: FLAG_END_HEADERS,
      stream,
    });
    at += block.copy(out, at);
    at = writeFrameHeader(out, at, {
      length: body,
      type: frameType.data,
      flags: FLAG_END_STREAM,
      stream,
    });
    out[at] = 0;
    out.writeUInt32BE(message.length, at + 1);
    message.copy(out, at + GRPC_PREFIX_BYTES);
    this.#out.push(out);
    this.#calls.set(stream, { started: performance.now(), answered: false });
  }

  #take(chunk: Buffer): void {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (data.length >= FRAME_HEADER_BYTES) {
      const length = data.readUIntBE(0, 3);
      const end = FRAME_HEADER_BYTES + length;
      if (data.length < end) break;
      this.#frame(data, data.subarray(FRAME_HEADER_BYTES, end));
      data = data.subarray(end);
    }
    this.#rest = data;
  }

  #frame(header: Buffer, payload: Buffer): void {
    const type = header[3];
    const flags = header[4] ?? 0;
    const stream = header.readUInt32BE(5) & 0x7fffffff;
    const call = this.#calls.get(stream);
    switch (type) {
      case frameType.data:
        this.#received += payload.length;
        if (call !== undefined && payload.length > 0) call.answered = true;
        if (this.#received >= RECEIVED_BYTES_PER_UPDATE) {
          this.#out.push(windowUpdate(this.#received));
          this.#received = 0;
        }
        break;
      case frameType.settings:
        if ((flags & FLAG_ACK) === 0) {
          this.#streamsMax = maxConcurrentStreams(payload) ?? this.#streamsMax;
          // Before what it allows: the server counts by it from the acknowledgement on.
          this.#out.push(frame(frameType.settings, FLAG_ACK, 0, Buffer.alloc(0)));
          this.#fill();
          this.#onSettings();
        }
        return;
      case frameType.ping:
        if ((flags & FLAG_ACK) === 0) {
          this.#out.push(frame(frameType.ping, FLAG_ACK, 0, Buffer.from(payload)));
        }
        return;
      case frameType.goaway:
        this.#socket.destroy(new Error("The server went away"));
        return;
      default:
    }
    const ends =
      type === frameType.rstStream ||
      ((type === frameType.headers || type === frameType.data) && (flags & FLAG_END_STREAM) !== 0);
    if (!ends || call === undefined) return;
    this.#calls.delete(stream);
    this.#plan.onAnswer((performance.now() - call.started) / 1000, call.answered);
    if (this.#isOver && this.#calls.size === 0) this.#end();
    else this.#fill();
  }

  #flush(): void {
    if (this.#out.length === 0) return;
    const out = this.#out.length === 1 ? this.#out[0] : Buffer.concat(this.#out);
    this.#out = [];
    if (out !== undefined && !this.#finished) this.#socket.write(out);
  }

  #end(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#onEnd();
    this.#socket.destroy();
  }
}
