import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CofferError } from "../errors.ts";
import { makeFolders } from "../files/mod.ts";
import { natsConfig } from "../transport/mod.ts";
import { type Child, type ChildDeps, type ChildEnd, createChild } from "./child.ts";
import { clusterIdOf, clusterIdText } from "../server/mod.ts";
import { type DevFolder, writePrivate } from "./dev-folder.ts";
import type { TlsFiles } from "./dev-pki.ts";
import { freePort, isFree } from "./ports.ts";

/** The one NATS server of a laptop. */
export interface DevNats {
  readonly url: string;
  readonly child: Child;
}

const PORT_FILE = "port";
/** In its log, once it takes connections. */
const SERVES = "Server is ready";
const TRIES = 3;
const LOOK_MS = 25;
const START_MS_MAX = 10_000;

/**
 * Starts nats-server with mutual TLS on the port of the last time, or on another if that is taken, and
 * resolves once it takes connections.
 */
export async function startDevNats(
  options: {
    readonly program: string;
    readonly folder: DevFolder;
    readonly tls: TlsFiles;
    readonly members: readonly string[];
  },
  deps: ChildDeps,
): Promise<DevNats> {
  const { program, folder } = options;
  makeFolders(folder.nats);
  const config = join(folder.nats, "nats.conf");
  const logFile = join(folder.logs, "nats.log");
  let end: ChildEnd | undefined;
  for (let tries = 0; tries < TRIES; tries++) {
    const port = await choosePort(join(folder.nats, PORT_FILE));
    writePrivate(config, configText(options, port));
    end = undefined;
    let serves = false;
    const child = createChild(
      { name: "nats-server", file: program, args: () => ["--config", config], logFile },
      {
        ...deps,
        onEnd: (self, how) => {
          end = how;
          if (serves) deps.onEnd(self, how);
        },
      },
    );
    child.start();
    const until = Date.now() + START_MS_MAX;
    while (child.isRunning && Date.now() < until) {
      if (child.written().includes(SERVES)) {
        serves = true;
        return { url: `tls://127.0.0.1:${port}`, child };
      }
      await delay(LOOK_MS);
    }
    await child.stop(START_MS_MAX);
  }
  const why = end?.problem ?? end?.how ?? "it takes no connections";
  throw new CofferError("invalid-argument", `nats-server does not start: ${why}; see ${logFile}`);
}

async function choosePort(file: string): Promise<number> {
  const last = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
  const isUsable = Number.isInteger(last) && last > 0 && last <= 65_535;
  const port = isUsable && (await isFree(last)) ? last : await freePort();
  writePrivate(file, `${port}\n`);
  return port;
}

function configText(
  { folder, tls, members }: Parameters<typeof startDevNats>[0],
  port: number,
): string {
  return natsConfig({
    serverName: "coffer-dev",
    listen: { host: "127.0.0.1", port },
    tls,
    cluster: clusterIdText(clusterIdOf(folder.clusterToken)),
    group: "g0",
    members,
  });
}
