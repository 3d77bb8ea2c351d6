import { type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";

import type { Caller } from "../../edge/mod.ts";
import { CofferError, grpcStatus } from "../../errors.ts";
import type { Logger } from "../../telemetry/mod.ts";
import { FrameReader } from "../../proto/mod.ts";
import type { MethodCounts } from "./call-counts.ts";
import { endsWithinMessage, errorOfFault, noMessage, tooManyMessages } from "./fault.ts";
import { spareLastError } from "./last-write.ts";
import type { StreamCall, StreamHandler, StreamMethod, UnaryMethod } from "./method.ts";
import type { RequestTurns } from "./request-turns.ts";
import { OK, type Outcome, outcomeOf, percentEncode, timeoutMs } from "./status.ts";
import { stopClient } from "./stop-client.ts";
import { sendOkTrailers } from "./trailers.ts";

/** What all calls of a server share. */
export interface CallContext {
  readonly log: Logger;
  readonly messageBytesMax: number;
  /** Calls whose request is not complete yet, with the time they came: swept by the server. */
  readonly incomplete: Map<ServerCall, number>;
  /** Bytes of their messages so far, all connections together. */
  readonly receiving: { bytes: number };
  readonly turns: RequestTurns;
  /** Open calls of streaming methods, which a stopping server must end itself. */
  readonly streams: Set<ServerCall>;
  readonly now: () => number;
}

/** Bytes of requests under way that all clients together may have us hold. */
const RECEIVING_BYTES_MAX = 64 * 1024 * 1024;

const RESPONSE_HEADERS = { ":status": 200, "content-type": "application/grpc" } as const;
const TRAILERS_FOLLOW = { waitForTrailers: true, sendDate: false } as const;
const NO_BODY = { endStream: true, sendDate: false } as const;
const OK_TRAILERS = { "grpc-status": "0" } as const;

const DEADLINE: Outcome = {
  status: grpcStatus.deadlineExceeded,
  message: "context deadline exceeded",
};

/**
 * One gRPC call on one HTTP/2 stream.
 *
 *     receiving --message(s)--> answering --finish--> done
 *         '-----------fault, deadline, cancel-----------^
 */
export class ServerCall implements StreamCall {
  readonly caller: Caller;
  readonly #stream: ServerHttp2Stream;
  readonly #context: CallContext;
  readonly #path: string;
  readonly #counts: MethodCounts;
  readonly #reader: FrameReader;
  readonly #started: number;
  #handler: StreamHandler | undefined;
  #onLasting: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #heldBytes = 0;
  #paused = false;
  /** The client has sent all it will. */
  #ended = false;
  #done = false;
  #trailers: Readonly<Record<string, string>> = OK_TRAILERS;

  constructor(
    stream: ServerHttp2Stream,
    method: { readonly path: string; readonly counts: MethodCounts },
    caller: Caller,
    context: CallContext,
  ) {
    const { path, counts } = method;
    this.#stream = stream;
    this.#path = path;
    this.#counts = counts;
    this.caller = caller;
    this.#context = context;
    this.#reader = new FrameReader({
      bytesMax: context.messageBytesMax,
      errorOf: errorOfFault,
    });
    this.#started = context.now();
    counts.started();
    spareLastError(stream);
    stream.on("wantTrailers", () => this.#sendTrailers());
    stream.on("close", () => this.#closed());
    stream.on("error", (error: unknown) => {
      context.log.debug("Stream ended on an error", { path, error });
    });
  }

  /** Reads one message, and answers with one. */
  serveUnary(method: UnaryMethod, headers: IncomingHttpHeaders): void {
    if (!this.#arm(headers)) return;
    this.#context.incomplete.set(this, this.#started);
    let message: Buffer | undefined;
    this.#stream.on("data", (chunk: Buffer) => {
      if (this.#done) return;
      try {
        this.#hold(chunk.length);
        this.#reader.push(chunk);
        for (let next = this.#reader.next(); next !== undefined; next = this.#reader.next()) {
          if (message !== undefined) throw tooManyMessages();
          message = next;
          this.#counts.received(next);
        }
      } catch (error) {
        this.finish(error);
      }
    });
    this.#stream.on("end", () => {
      this.#ended = true;
      this.#letGo();
      if (this.#done) return;
      if (this.#reader.partial) return this.finish(endsWithinMessage());
      const whole = message;
      if (whole === undefined) return this.finish(noMessage());
      this.#context.turns.run({
        bytes: whole.length,
        isDone: () => this.#done,
        begin: () => {
          method.handle(this.caller, whole).then((frame) => this.#answer(frame), this.finish);
        },
      });
    });
  }

  /** Reads and writes any number; `onLasting` is called before the first is written. */
  serveStream(method: StreamMethod, headers: IncomingHttpHeaders, onLasting: () => void): void {
    if (!this.#arm(headers)) return;
    this.#onLasting = onLasting;
    const stream = this.#stream;
    if (this.#isGone) return this.#closed();
    this.#context.streams.add(this);
    // Headers go out at once: clients hold a stream for open from then on.
    stream.respond(RESPONSE_HEADERS, TRAILERS_FOLLOW);
    this.#handler = method.serve(this);
    stream.on("data", (chunk: Buffer) => {
      this.#reader.push(chunk);
      this.#deliver();
    });
    stream.on("end", () => {
      this.#ended = true;
      this.#deliver();
    });
    stream.on("drain", () => {
      if (!this.#done) this.#handler?.onWritable();
    });
    if (this.#paused) stream.pause();
  }

  get writable(): boolean {
    return !this.#done && !this.#stream.writableNeedDrain;
  }

  write(frame: Buffer): void {
    if (this.#done) return;
    this.#onLasting?.();
    this.#onLasting = undefined;
    this.#stream.write(frame);
    this.#counts.sent(frame);
  }

  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused || this.#done) return;
    this.#paused = false;
    this.#stream.resume();
    this.#deliver();
  }

  readonly finish = (error: unknown): void => {
    if (this.#done) return;
    const outcome = error === undefined ? OK : outcomeOf(error, this.#context.log, this.#path);
    this.#end(outcome);
  };

  /** Refuses the call with `error` before a method took it. */
  refuse(error: unknown): void {
    this.finish(error);
  }

  /** Counts what has come of a message before anybody has looked who sends it. */
  #hold(bytes: number): void {
    const { receiving } = this.#context;
    this.#heldBytes += bytes;
    receiving.bytes += bytes;
    if (receiving.bytes > RECEIVING_BYTES_MAX) throw new CofferError("too-many-requests");
  }

  #letGo(): void {
    this.#context.incomplete.delete(this);
    this.#context.receiving.bytes -= this.#heldBytes;
    this.#heldBytes = 0;
  }

  #deliver(): void {
    try {
      while (!this.#paused && !this.#done) {
        const message = this.#reader.next();
        if (message !== undefined) {
          this.#counts.received(message);
          this.#handler?.onMessage(message);
          continue;
        }
        if (!this.#ended) return;
        if (this.#reader.partial) throw endsWithinMessage();
        return this.#handler?.onHalfClose();
      }
    } catch (error) {
      this.finish(error);
    }
  }

  /** The unary answer: headers, one frame, trailers. */
  #answer(frame: Buffer): void {
    if (this.#done) return;
    this.#settle(OK);
    if (this.#isGone) return;
    const stream = this.#stream;
    stream.respond(RESPONSE_HEADERS, TRAILERS_FOLLOW);
    stream.end(frame);
    this.#counts.sent(frame);
    // Where trailers follow, node closes the write side only after the frame has left, and asks for
    // the trailers a turn of the event loop later. Closed here, it asks as the frame leaves; node's own
    // call then finds it done. Without trailers node does the same (lib/internal/http2/core.js).
    stream._final(() => undefined);
  }

  #end(outcome: Outcome): void {
    this.#settle(outcome);
    if (this.#isGone) return;
    const stream = this.#stream;
    this.#trailers = trailersOf(outcome);
    if (stream.headersSent) {
      // Whatever the client still sends is dropped, so that the stream can end.
      stream.end();
      stream.resume();
      return;
    }
    stream.respond({ ...RESPONSE_HEADERS, ...this.#trailers }, NO_BODY);
    if (!this.#ended) stopClient(stream);
  }

  /** Leaves nothing behind that could act on this call again. */
  #settle(outcome: Outcome): void {
    this.#done = true;
    clearTimeout(this.#timer);
    this.#letGo();
    this.#context.streams.delete(this);
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onClose();
    this.#counts.handled(outcome.status, this.#context.now() - this.#started);
  }

  /**
   * Reset by the client, or lost with its connection. node says so here at once, but tells of the end of
   * what was sent before it tells of the close, and throws if the stream is answered in between.
   */
  get #isGone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  #sendTrailers(): void {
    if (this.#isGone) return;
    const isSent = this.#trailers === OK_TRAILERS && sendOkTrailers(this.#stream);
    if (!isSent) this.#stream.sendTrailers(this.#trailers);
    // node sends trailers in a setImmediate of its own, which comes before this one.
    if (!this.#ended) setImmediate(() => stopClient(this.#stream));
  }

  /** The stream is gone: a reset by the client, the end of the connection, or our own end. */
  #closed(): void {
    if (this.#done) return;
    this.#settle({ status: grpcStatus.canceled, message: "" });
  }

  /** Starts the deadline; false if the call is over already. */
  #arm(headers: IncomingHttpHeaders): boolean {
    const header = headers["grpc-timeout"];
    if (header === undefined) return true;
    try {
      const limit = timeoutMs(String(header));
      if (limit === undefined) return true;
      this.#timer = setTimeout(() => {
        if (!this.#done) this.#end(DEADLINE);
      }, limit);
      return true;
    } catch (error) {
      this.finish(error);
      return false;
    }
  }
}

function trailersOf({ status, message }: Outcome): Readonly<Record<string, string>> {
  if (status === grpcStatus.ok) return OK_TRAILERS;
  const trailers = { "grpc-status": String(status), "grpc-message": percentEncode(message) };
  return status === grpcStatus.unimplemented
    ? { ...trailers, "grpc-accept-encoding": "identity" }
    : trailers;
}
