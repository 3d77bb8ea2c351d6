import type { StateReader } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { NodeOptions } from "./options.ts";

const REMOVED = "this member was removed from the cluster";

export type RemovalDeps = Pick<
  NodeOptions,
  "memberId" | "scheduler" | "times" | "logger" | "onRemoved"
> & {
  readonly state: Pick<StateReader, "isRemovedMember">;
  /** Nothing is served any more; what waits is told `error`. */
  onServesNoMore(error: CofferError): void;
};

/** The end of this member by its removal from the cluster. */
export class Removal {
  readonly #deps: RemovalDeps;
  #isKnown = false;
  #isEnding = false;

  constructor(deps: RemovalDeps) {
    this.#deps = deps;
  }

  /** Whether this member was removed, to its own knowledge. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Why nothing is served any more. */
  get refusal(): CofferError | undefined {
    return this.#isKnown ? new CofferError("stopped", REMOVED) : undefined;
  }

  /** Whether another member has said so, and this one ends. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** Looks what the log says. */
  look(): void {
    if (this.#deps.state.isRemovedMember(this.#deps.memberId)) this.#serveNoMore();
  }

  /**
   * Another member has applied the removal. Only then this one may end: it may have been the only one
   * to know that the removal is committed, and the others could not elect a leader without it.
   */
  heard(by: string): void {
    this.#serveNoMore();
    if (this.#isEnding) return;
    this.#isEnding = true;
    const { scheduler, times, onRemoved } = this.#deps;
    // Those who asked for it are still answered.
    scheduler.after(times.heartbeatMs, () => onRemoved(`${REMOVED}, as "${by}" says`));
  }

  #serveNoMore(): void {
    if (this.#isKnown) return;
    this.#isKnown = true;
    this.#deps.logger.error("This member was removed from the cluster: it serves nothing more");
    this.#deps.onServesNoMore(new CofferError("stopped", REMOVED));
  }
}
