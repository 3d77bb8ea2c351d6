import type { Logger } from "../telemetry/mod.ts";
import type { AuditEvent, AuditPort } from "./ports.ts";

/**
 * Records of refused requests that come by the thousand. The first ones of a subject, or of an address
 * that shows no credentials that are good, are recorded as any other; those that follow within a second
 * are counted, and one record at its end tells how many they were. A flood thus costs the disk some lines
 * a second and not what it asks for: who fills the disk stops the member, and who makes the log outgrow
 * its retention ends the proof of what they did before.
 */
const WINDOW_MS = 1000;
/** Subjects and addresses that have a window of their own; past it those of a tenant share one. */
const SUBJECTS_MAX = 1000;
/** Of an address without credentials, within a second: enough to tell a mistake from an attack. */
const ANONYMOUS_RECORDS_MAX = 100;

interface Window {
  readonly timer: NodeJS.Timeout;
  /** How many more are recorded by themselves in this second. */
  left: number;
  /** Refusals since the last record, and the last of them. */
  count: number;
  last: AuditEvent | undefined;
}

export class RefusalRecords {
  readonly #audit: Pick<AuditPort, "append">;
  readonly #log: Logger;
  readonly #windows = new Map<string, Window>();

  constructor({ audit, log }: { readonly audit: Pick<AuditPort, "append">; readonly log: Logger }) {
    this.#audit = audit;
    this.#log = log;
  }

  /** Resolves once the refusal is recorded or counted; rejects with `audit-blocked`. */
  add(event: AuditEvent): Promise<void> {
    const key = this.#keyOf(event);
    const window = this.#windows.get(key) ?? this.#open(key, event);
    if (window.left > 0) {
      window.left--;
      return this.#audit.append(event);
    }
    window.count++;
    window.last = event;
    return Promise.resolve();
  }

  /** Records what was counted, and ends. */
  close(): void {
    for (const key of this.#windows.keys()) {
      this.#tell(key);
      this.#end(key);
    }
  }

  #open(key: string, { actor: { subject } }: AuditEvent): Window {
    const timer = setInterval(() => this.#tell(key), WINDOW_MS).unref();
    const left = subject === "" ? ANONYMOUS_RECORDS_MAX : 1;
    const window = { timer, left, count: 0, last: undefined };
    this.#windows.set(key, window);
    return window;
  }

  #keyOf({ tenant, actor, peerAddress }: AuditEvent): string {
    const { issuer, subject } = actor;
    // Each connection has a port of its own.
    const who = subject === "" ? peerAddress.replace(/:\d+$/, "") : subject;
    const key = JSON.stringify([tenant, issuer, who]);
    const isFull = this.#windows.size >= SUBJECTS_MAX && !this.#windows.has(key);
    return isFull ? JSON.stringify([tenant]) : key;
  }

  /** The record of one second; a second without any ends the window. */
  #tell(key: string): void {
    const window = this.#windows.get(key);
    if (window?.last === undefined) return this.#end(key);
    const { count, last } = window;
    window.count = 0;
    window.last = undefined;
    const event = {
      ...last,
      action: "requests-refused",
      key: "",
      rangeEnd: "",
      reason: `${last.reason}: ${count} more since the record before`,
    };
    this.#audit.append(event).catch((cause: unknown) => {
      this.#log.error("Audit record of refused requests was not written", { count, cause });
    });
  }

  #end(key: string): void {
    clearInterval(this.#windows.get(key)?.timer);
    this.#windows.delete(key);
  }
}
