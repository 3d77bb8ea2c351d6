import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

/**
 * One TCP link of a member to a NATS server, which can be cut, made slow, or made to swallow what goes
 * one way. What is swallowed is held, not lost: as in a network that drops packets, TCP delivers it once
 * the link heals, if the connection lives that long.
 */

export type Way = "out" | "in";

export interface LinkState {
  /** Ways that carry nothing: "out" from the member, "in" to it. */
  readonly held: readonly Way[];
  /** New connections are refused, and none is left open. */
  readonly cut: boolean;
  /** Least delay of what goes through, each way. */
  readonly delayMs: number;
  /** What comes on top, drawn anew for each piece. */
  readonly jitterMs: number;
}

export const HEALTHY: LinkState = { held: [], cut: false, delayMs: 0, jitterMs: 0 };

/** Pieces of one way that are held back before the sender is stopped. */
const HELD_BYTES_MAX = 1024 * 1024;

export class LinkProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #to: { readonly host: string; readonly port: number };
  readonly #random: () => number;
  readonly #pipes = new Set<Pipe>();
  readonly #sockets = new Set<Socket>();
  #state: LinkState = HEALTHY;

  private constructor(to: { readonly host: string; readonly port: number }, random: () => number) {
    this.#to = to;
    this.#random = random;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async open(
    to: { readonly host: string; readonly port: number },
    random: () => number,
  ): Promise<LinkProxy> {
    const proxy = new LinkProxy(to, random);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get state(): LinkState {
    return this.#state;
  }

  set(change: Partial<LinkState>): void {
    this.#state = { ...HEALTHY, ...change };
    if (this.#state.cut) this.disconnect();
    for (const pipe of this.#pipes) pipe.pump();
  }

  /** Resets all connections; new ones are taken unless it is cut. */
  disconnect(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.disconnect();
    if (this.#server.listening) await once(this.#server, "close");
  }

  #accept(member: Socket): void {
    if (this.#state.cut) {
      member.resetAndDestroy();
      return;
    }
    const broker = connect(this.#to);
    const delay = (): number => this.#state.delayMs + this.#random() * this.#state.jitterMs;
    const isHeld = (way: Way) => (): boolean => this.#state.held.includes(way);
    const pipes = [
      new Pipe(member, broker, { isHeld: isHeld("out"), delay }),
      new Pipe(broker, member, { isHeld: isHeld("in"), delay }),
    ];
    for (const pipe of pipes) this.#pipes.add(pipe);
    for (const socket of [member, broker]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        for (const pipe of pipes) this.#pipes.delete(pipe);
        for (const pipe of pipes) pipe.end();
        member.destroy();
        broker.destroy();
      });
    }
  }
}

interface Piece {
  readonly due: number;
  readonly bytes: Buffer;
}

/** One way of one connection: pieces in order, each after its delay. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #rules: { readonly isHeld: () => boolean; readonly delay: () => number };
  readonly #queue: Piece[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #last = 0;

  constructor(
    from: Socket,
    to: Socket,
    rules: { readonly isHeld: () => boolean; readonly delay: () => number },
  ) {
    this.#from = from;
    this.#to = to;
    this.#rules = rules;
    from.on("data", (bytes: Buffer) => {
      // Never ahead of what came before it.
      this.#last = Math.max(this.#last, performance.now() + rules.delay());
      this.#queue.push({ due: this.#last, bytes });
      this.#bytes += bytes.length;
      if (this.#bytes > HELD_BYTES_MAX) from.pause();
      this.pump();
    });
    to.on("drain", () => this.pump());
  }

  pump(): void {
    clearTimeout(this.#timer);
    while (!this.#rules.isHeld() && !this.#to.writableNeedDrain) {
      const [first] = this.#queue;
      if (first === undefined) break;
      const wait = first.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.pump(), wait);
        break;
      }
      this.#queue.shift();
      this.#bytes -= first.bytes.length;
      if (!this.#to.destroyed) this.#to.write(first.bytes);
    }
    if (this.#bytes <= HELD_BYTES_MAX && this.#from.isPaused()) this.#from.resume();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }
}
