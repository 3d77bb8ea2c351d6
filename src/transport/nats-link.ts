import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { ConnectionOptions, Msg, NatsConnection } from "nats";
import type { Credentials } from "./credentials.ts";

/**
 * One connection to one NATS server, from its handshake to its end. It never connects again by
 * itself: the nats client would hide why it fails, and would keep frames for later that Raft has
 * long sent anew.
 *
 * The client takes any amount of bytes and does not tell what is unsent. So this counts: a flush is
 * answered by the server when it has read everything before it, and what was published since the
 * last answer is unconfirmed.
 */

const DIAL_TIMEOUT_MS = 2000;
const CHECK_MS = 500;
/** So many checks without an answer to a flush, and the server is taken for dead. */
const SILENT_CHECKS_MAX = 3;
/** With less, a frame would be little more than its header. */
const PAYLOAD_BYTES_MIN = 4096;
/** Far beyond: the client's own heartbeat waits for its last write, for ever if the server is stuck. */
const CLIENT_PING_MS = 3_600_000;
/** Unconfirmed bytes at which a flush is asked for, apart from the checks. */
const FLUSH_BYTES = 256 * 1024;
const DRAIN_TIMEOUT_MS = 2000;

export interface NatsLinkOptions {
  readonly server: string;
  readonly name: string;
  readonly credentials: Credentials;
  /** What to subscribe to. */
  readonly subject: string;
  readonly onFrame: (subject: string, frame: Uint8Array) => void;
  /** Once, unless it was stopped from here. */
  readonly onEnd: (link: NatsLink, reason: unknown) => void;
  /** A subject that the server does not let this member use. */
  readonly onViolation: (operation: string, subject: string) => void;
}

export class NatsLink {
  readonly server: string;
  readonly maxPayload: number;
  readonly #nats: NatsConnection;
  readonly #options: NatsLinkOptions;
  readonly #timer: NodeJS.Timeout;
  #ended = false;
  #published = 0;
  #confirmed = 0;
  #flushing = false;
  #silentChecks = 0;

  /** Rejects with the client's or TLS's error. */
  static async dial(options: NatsLinkOptions): Promise<NatsLink> {
    // Loaded when it is needed: a member without peers, and the commands, are better off without.
    const { connect } = await import("nats");
    const nats = await connect(connectionOptions(options));
    const maxPayload = nats.info?.max_payload ?? 0;
    if (maxPayload >= PAYLOAD_BYTES_MIN) return new NatsLink(nats, options);
    await nats.close();
    throw new Error(`it takes messages of ${maxPayload} bytes; set its max_payload to 1MB`);
  }

  private constructor(nats: NatsConnection, options: NatsLinkOptions) {
    this.server = options.server;
    this.#nats = nats;
    this.#options = options;
    this.maxPayload = nats.info?.max_payload ?? 0;
    nats.subscribe(options.subject, {
      callback: (error, message) => {
        if (error === null) this.#receive(message); // An error is told by `status` too.
      },
    });
    void nats.closed().then((reason) => this.#end(reason ?? undefined));
    void this.#watch();
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
    this.#timer.unref(); // The socket keeps the process alive, as long as it should.
    this.#flush();
  }

  /** Bytes that the server may not have read yet. */
  get unconfirmedBytes(): number {
    return this.#published - this.#confirmed;
  }

  /** False if the connection takes nothing any more. */
  publish(subject: string, frame: Uint8Array): boolean {
    if (this.#ended) return false;
    try {
      this.#nats.publish(subject, frame);
    } catch {
      return false;
    }
    this.#published += frame.length;
    if (this.unconfirmedBytes > FLUSH_BYTES) this.#flush();
    return true;
  }

  /** Waits, for a bounded time, until the server has read everything, then ends. */
  async drain(): Promise<void> {
    if (!this.#ended) await within(this.#nats.flush(), DRAIN_TIMEOUT_MS);
    this.stop();
  }

  /** Ends at once. */
  stop(): void {
    if (!this.#ended) this.#destroy();
  }

  #receive(message: Msg): void {
    if (this.#ended) return;
    try {
      this.#options.onFrame(message.subject, message.data);
    } catch (error) {
      // Thrown from here it would end the client's reading, and nothing else.
      process.nextTick(() => {
        throw error;
      });
    }
  }

  /** Asks for an answer, unless one is awaited. */
  #flush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    const mark = this.#published;
    this.#nats.flush().then(
      () => {
        this.#flushing = false;
        this.#silentChecks = 0;
        this.#confirmed = mark;
      },
      () => undefined, // Told by `closed`.
    );
  }

  /**
   * Counts checks, not time: after a long turn of the event loop one check is due at once, and the
   * answers that came meanwhile are read after it.
   */
  #check(): void {
    if (!this.#flushing) {
      this.#flush();
      return;
    }
    this.#silentChecks++;
    if (this.#silentChecks < SILENT_CHECKS_MAX) return;
    this.#end(new Error(`no answer for ${(SILENT_CHECKS_MAX * CHECK_MS) / 1000} s`));
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nats.status()) {
      const violation = status.permissionContext;
      if (violation !== undefined && !this.#ended) {
        this.#options.onViolation(violation.operation, violation.subject);
      }
    }
  }

  #end(reason: unknown): void {
    if (this.#ended) return;
    this.#destroy();
    this.#options.onEnd(this, reason);
  }

  /** The client closes the socket at once, whatever is unsent. */
  #destroy(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    void this.#nats.close().catch(() => undefined);
  }
}

function connectionOptions(options: NatsLinkOptions): ConnectionOptions {
  const { ca, cert, key } = options.credentials;
  const host = hostOf(options.server);
  // For an address the client gives TLS no name, and TLS then takes the certificate of "localhost".
  const checks = {
    checkServerIdentity: (_name: string, theirs: PeerCertificate) =>
      checkServerIdentity(host, theirs),
  };
  return {
    servers: [options.server],
    name: options.name,
    tls: { ca, cert, key, ...checks },
    reconnect: false,
    ignoreClusterUpdates: true,
    noEcho: true,
    resolve: false,
    timeout: DIAL_TIMEOUT_MS,
    pingInterval: CLIENT_PING_MS,
  };
}

/** The host of a URL, without the brackets that an IPv6 address has there. */
export function hostOf(server: string): string {
  return new URL(server).hostname.replace(/^\[(.*)\]$/, "$1");
}

/** Waits for `work`, whatever becomes of it, at most so long. */
async function within(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => undefined), timeout]);
  clearTimeout(timer);
}
