import type { ApplyResult, Command, TenantId } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import type { RequestContext } from "./gate.ts";
import { proposeChecked } from "./propose.ts";

/**
 * Changes of whose credentials are good go one after another, each with as long a pause behind it as it took:
 * every write that is under way meanwhile is asked again (`stale-credentials`), so without pauses a script
 * that revokes a thousand tokens would keep the others' writes from ever being taken.
 */
export class CredentialTurns {
  readonly #clock: Clock;
  /** The last turn of each scope, its pause included. */
  readonly #last = new Map<TenantId, Promise<void>>();
  #waiting = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `work` when it is its turn. Rejects with `too-many-requests` past WAITING_MAX. */
  async take<T>(scope: TenantId, work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX) throw new CofferError("too-many-requests");
    this.#waiting++;
    const before = this.#last.get(scope);
    let began = 0;
    const done = (async () => {
      await before;
      began = this.#clock.now();
      return await work();
    })().finally(() => this.#waiting--);
    const turn = done.then(
      () => this.#pause(began),
      () => this.#pause(began),
    );
    this.#last.set(scope, turn);
    void turn.then(() => {
      if (this.#last.get(scope) === turn) this.#last.delete(scope);
    });
    return await done;
  }

  #pause(began: number): Promise<void> {
    const tookMs = Math.max(1, this.#clock.now() - began);
    return new Promise((resolve) => setTimeout(resolve, tookMs));
  }
}

/** Of all scopes. */
const WAITING_MAX = 1024;

/** `proposeChecked` for changes of whose credentials are good. */
export function proposeCredentials(
  context: RequestContext,
  prepare: () => Command | Promise<Command>,
): Promise<ApplyResult> {
  const { credentialTurns } = context.deps;
  return credentialTurns.take(context.scope, () => proposeChecked(context, prepare));
}
