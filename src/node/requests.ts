import type { MemberId } from "../core/types/mod.ts";
import type { Cancel, Scheduler } from "../stdx/mod.ts";
import { type ForwardReply, type ForwardRequest, encodeForward } from "../wire/mod.ts";

interface Asked {
  readonly of: MemberId;
  readonly end: (reply: ForwardReply | undefined) => void;
}

/** Contexts that one life can use before it would come to those of the next. */
const LIFE_SPAN_IDS = 2 ** 32;

/** Questions of this member to others that wait for their answer. */
export class Requests {
  readonly #deps: {
    readonly scheduler: Scheduler;
    send(to: MemberId, payload: Uint8Array): boolean;
  };
  readonly #asked = new Map<number, Asked>();
  #next: number;

  /** `life`: 32 bits, drawn for this start, so that answers to an earlier one are not taken. */
  constructor(
    deps: {
      readonly scheduler: Scheduler;
      send(to: MemberId, payload: Uint8Array): boolean;
    },
    life: number,
  ) {
    this.#deps = deps;
    this.#next = (life % 2 ** 20) * LIFE_SPAN_IDS + 1;
  }

  /** Answers `undefined` if there was no reply within `ms`, or it could not be asked. */
  ask(of: MemberId, body: ForwardRequest, ms: number): Promise<ForwardReply | undefined> {
    const id = this.#next++;
    return new Promise((resolve) => {
      let cancel: Cancel = () => undefined;
      const end = (reply: ForwardReply | undefined): void => {
        this.#asked.delete(id);
        cancel();
        resolve(reply);
      };
      this.#asked.set(id, { of, end });
      cancel = this.#deps.scheduler.after(ms, () => end(undefined));
      if (!this.#deps.send(of, encodeForward({ kind: "request", id, body }))) end(undefined);
    });
  }

  /** Takes a reply; one that nobody waits for, or of somebody else, is dropped. */
  answered(from: MemberId, id: number, reply: ForwardReply): void {
    const asked = this.#asked.get(id);
    if (asked?.of === from) asked.end(reply);
  }

  endAll(): void {
    for (const { end } of this.#asked.values()) end(undefined);
  }
}
