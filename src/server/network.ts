import { randomBytes } from "node:crypto";
import type { ServerConfig } from "../config/mod.ts";
import type { ClusterId } from "../core/types/mod.ts";
import { createFrameCrypto, keyFileProvider } from "../seal/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import {
  type Channel,
  type Transport,
  type TransportObserver,
  openTransport,
} from "../transport/mod.ts";
import { fineClock } from "./clock.ts";
import { clusterIdText } from "./member-file.ts";

/** Takes what arrives from other members. */
export interface Receiver {
  receive(from: string, channel: Channel, payload: Uint8Array): void;
  unreachable(name: string): void;
}

/** The way to the other members; what arrives goes to one receiver at a time, and to nobody at first. */
export interface Network {
  readonly transport: Transport;
  /** HOST:PORT of the NATS servers while there is no connection to any of them. */
  missing(): readonly string[] | undefined;
  deliverTo(receiver: Receiver | undefined): void;
  observeWith(observer: TransportObserver): void;
  stop(): Promise<void>;
}

/** Tenants will be placed on several Raft groups; today there is one. */
const GROUP = "g0";

/** Undefined for a member that was given no NATS servers. Waits for one of them, until `signal`. */
export async function openNetwork(
  config: ServerConfig,
  cluster: ClusterId,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<Network | undefined> {
  const { natsUrls, natsCa: ca, natsCert: cert, natsKey: key } = config;
  if (natsUrls.length === 0 || ca === undefined || cert === undefined || key === undefined) {
    return undefined;
  }
  const name = clusterIdText(cluster);
  const provider = keyFileProvider({ path: config.rootKeyFile });
  const crypto = await createFrameCrypto({ provider, cluster: name, group: GROUP });
  let receiver: Receiver | undefined;
  let observer: TransportObserver | undefined;
  try {
    const transport = await openTransport(
      {
        name: config.name,
        cluster: name,
        group: GROUP,
        servers: natsUrls,
        tls: { ca, cert, key },
        crypto,
        clock: fineClock,
        log,
        random: (bytes) => randomBytes(bytes),
        onMessage: (from, channel, payload) => receiver?.receive(from, channel, payload),
        onUnreachable: (peer) => receiver?.unreachable(peer),
        observer: {
          sent: (peer, channel, bytes) => observer?.sent(peer, channel, bytes),
          received: (peer, channel, bytes) => observer?.received(peer, channel, bytes),
          refused: (reason) => observer?.refused(reason),
          roundTrip: (peer, ms) => observer?.roundTrip(peer, ms),
        },
      },
      signal,
    );
    const reload = (): void => transport.reload();
    process.on("SIGHUP", reload);
    return {
      transport,
      missing: () => (transport.connected ? undefined : addressesOf(natsUrls)),
      deliverTo: (next) => {
        receiver = next;
      },
      observeWith: (next) => {
        observer = next;
      },
      stop: async () => {
        process.off("SIGHUP", reload);
        await transport.stop();
        crypto.close();
      },
    };
  } catch (error) {
    crypto.close();
    throw error;
  }
}

/** HOST:PORT of each, and nothing else that a URL may hold. */
export function addressesOf(urls: readonly string[]): readonly string[] {
  return urls.map((url) => new URL(url).host);
}
