import { createHash, randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { type DerivedKey, createFrameCrypto } from "../../src/seal/mod.ts";
import type { Logger } from "../../src/telemetry/mod.ts";
import {
  openTransport,
  type Channel,
  type FrameCrypto,
  type RefusalReason,
  type Transport,
  type TransportOptions,
} from "../../src/transport/mod.ts";
import { PLACE, type NatsStand } from "./nats-stand.ts";

export interface Message {
  readonly from: string;
  readonly channel: Channel;
  readonly payload: Uint8Array;
}

/** One transport, and all that it told. */
export class Member {
  readonly name: string;
  readonly lines: string[] = [];
  readonly messages: Message[] = [];
  readonly unreachable: string[] = [];
  readonly refused: RefusalReason[] = [];
  readonly roundTrips: number[] = [];
  sentBytes = 0;
  receivedBytes = 0;
  transport!: Transport;
  readonly #changed = new EventEmitter();
  readonly #abort = new AbortController();

  constructor(name: string) {
    this.name = name;
    this.#changed.setMaxListeners(0);
  }

  async open(stand: NatsStand, wish: Partial<TransportOptions> = {}): Promise<this> {
    this.transport = await openTransport(
      {
        name: this.name,
        ...PLACE,
        servers: stand.urls,
        tls: wish.tls ?? stand.member(this.name),
        crypto: await cryptoOf("root"),
        clock: { now: () => Date.now() },
        log: this.#logger(),
        random: (bytes) => randomBytes(bytes),
        onMessage: (from, channel, payload) => {
          this.messages.push({ from, channel, payload });
          this.#changed.emit("change");
        },
        onUnreachable: (name) => {
          this.unreachable.push(name);
          this.#changed.emit("change");
        },
        observer: {
          sent: (_peer, _channel, bytes) => (this.sentBytes += bytes),
          received: (_peer, _channel, bytes) => (this.receivedBytes += bytes),
          refused: (reason) => {
            this.refused.push(reason);
            this.#changed.emit("change");
          },
          roundTrip: (_peer, ms) => {
            this.roundTrips.push(ms);
            this.#changed.emit("change");
          },
        },
        ...wish,
      },
      this.#abort.signal,
    );
    return this;
  }

  /** Ends an `open` that waits. */
  abort(): void {
    this.#abort.abort();
  }

  /** Resolves when `condition` holds; it is asked after everything that this transport tells. */
  async until(what: string, condition: () => boolean, ms = 15_000): Promise<void> {
    const signal = AbortSignal.timeout(ms);
    while (!condition()) {
      try {
        await once(this.#changed, "change", { signal });
      } catch {
        throw new Error(`${this.name}: ${what} did not come; log:\n${this.lines.join("\n")}`);
      }
    }
  }

  async line(pattern: RegExp, from = 0): Promise<string> {
    const find = (): string | undefined =>
      this.lines.slice(from).find((line) => pattern.test(line));
    await this.until(`a line like ${pattern}`, () => find() !== undefined);
    return find()!;
  }

  linked(peer: string): boolean {
    return this.transport.peers().some((link) => link.name === peer && link.connected);
  }

  /** The texts that came from a peer. */
  texts(from: string, channel: Channel = "raft"): readonly string[] {
    return this.messages
      .filter((message) => message.from === from && message.channel === channel)
      .map(({ payload }) => Buffer.from(payload).toString());
  }

  send(to: string, text: string, channel: Channel = "raft"): boolean {
    return this.transport.send(to, channel, Buffer.from(text));
  }

  #logger(): Logger {
    const write =
      (level: string) =>
      (message: string, fields: object = {}): void => {
        this.lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
        this.#changed.emit("change");
      };
    const logger: Logger = {
      debug: write("debug"),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
      child: () => logger,
    };
    return logger;
  }
}

/** Members with sessions between all of them. */
export async function openMembers(
  stand: NatsStand,
  names: readonly string[],
): Promise<readonly Member[]> {
  const members = await Promise.all(names.map((name) => new Member(name).open(stand)));
  for (const member of members) member.transport.setPeers(names);
  await allLinked(members);
  return members;
}

export async function allLinked(members: readonly Member[]): Promise<void> {
  for (const member of members) {
    for (const peer of members) {
      if (peer === member) continue;
      await member.until(`a session with ${peer.name}`, () => member.linked(peer.name));
    }
  }
}

export async function stopAll(members: readonly Member[]): Promise<void> {
  await Promise.all(members.map((member) => member.transport.stop()));
}

/** The frame keys of a cluster whose root key is `rootKey`. */
export function cryptoOf(rootKey: string, place: typeof PLACE = PLACE): Promise<FrameCrypto> {
  const never = (): never => {
    throw new Error("Frames need no more than derive");
  };
  const derive = (context: Uint8Array): DerivedKey => ({
    keyId: rootKey,
    key: Uint8Array.from(createHash("sha256").update(rootKey).update(context).digest()),
  });
  const provider = { description: rootKey, wrap: never, unwrap: never, derive };
  return createFrameCrypto({ provider, ...place });
}
