import type { Server } from "../api/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import { CofferError } from "../errors.ts";
import { watchFiles } from "../pki/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type ClientTls, readTls } from "./client-port.ts";

/**
 * Keeps the client port's certificates as the files have them, without a restart: by watching them,
 * and at once at SIGHUP.
 *
 * All files are read and checked together, and served together or not at all: while they do not fit,
 * as between the two writes of who replaces a certificate and its key, the former ones are served.
 * Connections are asked about anew, since the reason to change authorities or lists may be one of
 * them. To close them all instead would be simpler, but a list is renewed daily, and each time all
 * watches of the cluster would begin anew at once.
 */
export function keepTls(
  first: ClientTls,
  deps: {
    readonly config: ServerConfig;
    readonly server: Pick<Server, "setSecureContext">;
    readonly log: Logger;
    readonly clock: Clock;
  },
): () => void {
  const kept = new KeptTls(first, deps);
  const { config } = deps;
  const paths = [config.tlsCert, config.tlsKey, config.clientCa, config.clientCrl];
  const given = paths.filter((path) => path !== undefined);
  const reload = (): void => kept.reload();
  const end = watchFiles(given, reload);
  process.on("SIGHUP", reload);
  return () => {
    process.off("SIGHUP", reload);
    end();
  };
}

class KeptTls {
  readonly #deps: Parameters<typeof keepTls>[1];
  #current: ClientTls;
  /** What was said to be wrong with the files, while those read before are kept. */
  #wrong: string | undefined;
  /** One reload after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(first: ClientTls, deps: Parameters<typeof keepTls>[1]) {
    this.#deps = deps;
    this.#current = first;
    this.#warnOfMissingLists(first);
  }

  reload(): void {
    this.#work = this.#work.then(() => this.#reload());
  }

  async #reload(): Promise<void> {
    const { config, server, log, clock } = this.#deps;
    try {
      const next = readTls(config);
      this.#wrong = undefined;
      if (next === undefined || isSame(next, this.#current)) return;
      const { tls, trust } = next;
      const asked = server.setSecureContext(tls, ({ raw }) => trust?.problemOf(raw, clock.now()));
      // Served from here on; connections are still asked about.
      await asked;
      this.#current = next;
      log.info("Certificates of the client port read anew", { cert: config.tlsCert });
      this.#warnOfMissingLists(next);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!(error instanceof CofferError))
        log.debug("TLS does not take the files", { cause: error });
      if (this.#wrong !== reason) {
        log.warn(`the former certificates of the client port are kept: ${reason}`);
      }
      this.#wrong = reason;
    }
  }

  #warnOfMissingLists({ trust }: ClientTls): void {
    for (const name of trust?.withoutList ?? []) {
      const { config, log } = this.#deps;
      const path = config.clientCrl ?? "";
      log.warn(`--client-crl '${path}' has no list of ${name}: its certificates are all refused`);
    }
  }
}

function isSame(a: ClientTls, b: ClientTls): boolean {
  return JSON.stringify(a.tls) === JSON.stringify(b.tls);
}
