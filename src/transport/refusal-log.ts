import type { Clock } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { WIRE_VERSION } from "./frame.ts";
import type { RefusalReason, TransportObserver } from "./ports.ts";

/**
 * Counts refused frames and says why, once at first and then at most so often for each reason: a
 * broker can send as many as it likes.
 */

const QUIET_MS = 10_000;

interface Said {
  at: number;
  /** Refused since without a line of their own. */
  unsaid: number;
}

export interface Refusal {
  readonly reason: RefusalReason;
  /** Who sent it, as the subject says. */
  readonly from: string;
  /** Of a newer wire version. */
  readonly version?: number | undefined;
  /** It came before this member was told who its peers are, as happens when members start together. */
  readonly early?: boolean;
}

export class RefusalLog {
  readonly #deps: {
    readonly log: Logger;
    readonly clock: Clock;
    readonly observer: TransportObserver;
  };
  readonly #said = new Map<RefusalReason, Said>();

  constructor(deps: {
    readonly log: Logger;
    readonly clock: Clock;
    readonly observer: TransportObserver;
  }) {
    this.#deps = deps;
  }

  add(refusal: Refusal): void {
    const { log, clock, observer } = this.#deps;
    observer.refused(refusal.reason);
    const now = clock.now();
    // What is expected takes no turn: the first line of what is not would wait for it.
    if (refusal.early === true) {
      log.debug(`frame from member '${refusal.from}' refused: no peers are known yet`);
      return;
    }
    const said = this.#said.get(refusal.reason);
    if (said !== undefined && now - said.at < QUIET_MS) {
      said.unsaid++;
      return;
    }
    const more = said?.unsaid ?? 0;
    this.#said.set(refusal.reason, { at: now, unsaid: 0 });
    const fields = more === 0 ? {} : { moreSinceLastLine: more };
    const line = `frame from member '${refusal.from}' refused: ${textOf(refusal)}`;
    if (isOrdinary(refusal.reason)) log.debug(line, fields);
    else log.warn(line, fields);
  }
}

/** What happens when members start and NATS servers go, without anything being wrong. */
function isOrdinary(reason: RefusalReason): boolean {
  return reason === "life" || reason === "counter";
}

function textOf(refusal: Refusal): string {
  switch (refusal.reason) {
    case "wire-version":
      return `it is of wire version ${refusal.version ?? "unknown"} and this build reads ${WIRE_VERSION}; upgrade this member`;
    case "malformed":
      return "it is no frame";
    case "unknown-peer":
      return "no such member is known";
    case "not-authentic":
      return "it does not open: it was altered, or that member has another root key file or cluster token";
    case "life":
      return "it belongs to an earlier start of one of the two members";
    case "counter":
      return "a frame sent after it came before it, or it came twice";
    case "too-large":
      return "its message is above the bound";
  }
}
