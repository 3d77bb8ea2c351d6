import { dateText, readCredentials, type Credentials } from "./credentials.ts";
import { probeTls } from "./explain.ts";
import { codeOf, describeFailure, isHangUp } from "./failures.ts";
import { NatsLink } from "./nats-link.ts";
import type { TransportOptions } from "./ports.ts";
import { inboundSubject } from "./subjects.ts";

/**
 * Keeps one connection to one of the NATS servers.
 *
 *     dialing --connected--> up --lost--> dialing          any --stop--> stopped
 *
 * Each round of dialing tries every server in the order given, beginning behind the one that was
 * lost: members with one list come together on one server, and need no route. Between rounds it
 * waits longer each time, up to a bound. The certificate files are read for each round.
 */

const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 1000;
/** Why there is no connection is said so often. */
const COMPLAIN_MS = 5000;
const EXPIRY_WARNING_MS = 7 * 86_400_000;
/** A connection that is lost sooner counts as one that failed. */
const STEADY_MS = 1000;

export interface ConnectionEvents {
  readonly onUp: () => void;
  readonly onFrame: (subject: string, frame: Uint8Array) => void;
}

export class Connection {
  readonly #options: TransportOptions;
  readonly #events: ConnectionEvents;
  #link: NatsLink | undefined;
  #stopped = false;
  /** The server to begin the next round with. */
  #next = 0;
  #failures = 0;
  #complainedAt = -Infinity;
  #upAt = 0;
  #good: Credentials | undefined;
  /** What was said to be wrong with the files, while those read before are kept. */
  #wrong: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Ends the wait between rounds. */
  #wake: () => void = () => undefined;

  constructor(options: TransportOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
  }

  get link(): NatsLink | undefined {
    return this.#link;
  }

  /** Begins to dial. */
  start(): void {
    void this.#dial();
  }

  /** Reads the certificate files; the next connection uses them. */
  reload(): void {
    const before = this.#good;
    const problem = this.#refresh();
    const { log, tls } = this.#options;
    if (problem === undefined && before?.cert !== this.#good?.cert) {
      log.info("certificate for NATS read anew", { cert: tls.cert });
    }
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    const link = this.#link;
    this.#link = undefined;
    await link?.drain();
  }

  async #dial(): Promise<void> {
    while (!this.#stopped && this.#link === undefined) {
      if (this.#failures > 0) await this.#pause();
      if (this.#stopped) return;
      const problems = await this.#round();
      if (problems.length === 0) return;
      this.#failures++;
      this.#complain(problems);
    }
  }

  /** Tries every server once. Answers why none was reached, or nothing. */
  async #round(): Promise<readonly string[]> {
    const { servers } = this.#options;
    const problem = this.#refresh();
    const credentials = this.#good;
    if (credentials === undefined) return [problem ?? "no certificate"];
    const problems: string[] = [];
    for (let tried = 0; tried < servers.length; tried++) {
      const server = servers[this.#next] as string;
      this.#next = (this.#next + 1) % servers.length;
      try {
        this.#up(await NatsLink.dial(this.#linkOptions(server, credentials)));
        return [];
      } catch (error) {
        if (this.#stopped) return [];
        problems.push(await this.#explain(error, server, credentials));
      }
    }
    return problems;
  }

  #linkOptions(server: string, credentials: Credentials): Parameters<typeof NatsLink.dial>[0] {
    const { name, log } = this.#options;
    return {
      server,
      name: `coffer member ${name}`,
      credentials,
      subject: inboundSubject(this.#options, name),
      onFrame: this.#events.onFrame,
      onEnd: (link, reason) => this.#lost(link, reason),
      onViolation: (operation, subject) => {
        log.error("NATS does not permit this member's subject; see its configuration", {
          operation,
          subject,
          server,
        });
      },
    };
  }

  async #explain(error: unknown, server: string, credentials: Credentials): Promise<string> {
    const { name, tls } = this.#options;
    const told = isHangUp(error) ? ((await probeTls(server, credentials)) ?? error) : error;
    return describeFailure(told, { server, name, tls, credentials });
  }

  #up(link: NatsLink): void {
    if (this.#stopped) {
      link.stop();
      return;
    }
    this.#link = link;
    this.#upAt = this.#options.clock.now();
    this.#complainedAt = -Infinity;
    this.#options.log.info("connected to NATS", { server: link.server });
    this.#warnOfExpiry();
    this.#events.onUp();
  }

  /** A connection outlives its certificate, and then cannot be made again. */
  #warnOfExpiry(): void {
    const { log, clock, tls } = this.#options;
    const notAfter = this.#good?.info.notAfter;
    if (notAfter === undefined || notAfter - clock.now() > EXPIRY_WARNING_MS) return;
    log.warn(
      `this member's certificate '${tls.cert}' expires at ${dateText(notAfter)}; replace it`,
    );
  }

  #lost(link: NatsLink, reason: unknown): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    const { log, clock } = this.#options;
    log.warn("connection to NATS lost", { server: link.server, reason: codeOf(reason) });
    const steady = clock.now() - this.#upAt >= STEADY_MS;
    this.#failures = steady ? 0 : this.#failures + 1;
    void this.#dial();
  }

  #complain(problems: readonly string[]): void {
    const { log, clock } = this.#options;
    if (this.#stopped) return;
    if (clock.now() - this.#complainedAt < COMPLAIN_MS) return;
    this.#complainedAt = clock.now();
    log.warn(`not connected to NATS, trying again: ${[...new Set(problems)].join("; ")}`);
  }

  /**
   * Reads the files. What was good is kept while the files are wrong, as they are in the moment
   * between the two writes of an operator who replaces them. Answers what is wrong.
   */
  #refresh(): string | undefined {
    const { tls, name, clock, log } = this.#options;
    const result = readCredentials(tls, name, clock.now());
    if (result.kind === "ok") {
      this.#good = result.credentials;
      this.#wrong = undefined;
      return undefined;
    }
    const kept = this.#good;
    if (kept === undefined) return result.problem;
    if (clock.now() > kept.info.notAfter) {
      this.#good = undefined;
    } else if (this.#wrong !== result.problem) {
      log.warn(`the former certificate for NATS is kept: ${result.problem}`);
    }
    this.#wrong = result.problem;
    return result.problem;
  }

  /** Doubles with each failure, and is drawn from the upper half, so that members do not come together. */
  #pause(): Promise<void> {
    const longest = Math.min(
      BACKOFF_MS_MAX,
      BACKOFF_MS_MIN * 2 ** Math.min(this.#failures - 1, 10),
    );
    const share = (this.#options.random(1)[0] ?? 0) / 255;
    return new Promise((resolve) => {
      this.#wake = () => {
        clearTimeout(this.#timer);
        resolve();
      };
      this.#timer = setTimeout(this.#wake, longest * (0.5 + share / 2));
    });
  }
}
