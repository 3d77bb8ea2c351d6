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
  readonly #queues = new Map<TenantId, Queue>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `work` when it is its turn. Rejects with `too-many-requests` past WAITING_MAX. */
  async take<T>(scope: TenantId, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(scope) ?? { last: Promise.resolve(), waiting: 0 };
    if (queue.waiting >= WAITING_MAX) throw new CofferError("too-many-requests");
    this.#queues.set(scope, queue);
    queue.waiting++;
    const before = queue.last;
    let began = 0;
    const done = (async () => {
      await before;
      began = this.#clock.now();
      return await work();
    })().finally(() => queue.waiting--);
    const turn = done.then(
      () => this.#pause(began),
      () => this.#pause(began),
    );
    queue.last = turn;
    void turn.then(() => {
      if (queue.last === turn) this.#queues.delete(scope);
    });
    return await done;
  }

  #pause(began: number): Promise<void> {
    const tookMs = this.#clock.now() - began;
    const pauseMs = Math.min(Math.max(tookMs, PAUSE_MS_MIN), PAUSE_MS_MAX);
    return new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** The turns of one scope. */
interface Queue {
  /** Its pause included. */
  last: Promise<void>;
  waiting: number;
}

/** Of one scope: the people of a tenant keep nobody else from revoking. */
const WAITING_MAX = 1024;
const PAUSE_MS_MIN = 1;
/** A change that took longer has waited for a leader, and moved nothing meanwhile. */
const PAUSE_MS_MAX = 1000;

/**
 * `proposeChecked` for changes of whose credentials are good. `authorise` is asked before the turn as well,
 * of what the caller has caught up with: who may not make the change must not hold up who may.
 */
export function proposeCredentials(
  context: RequestContext,
  authorise: () => void,
  prepare: () => Command | Promise<Command>,
): Promise<ApplyResult> {
  const { credentialTurns } = context.deps;
  authorise();
  return credentialTurns.take(context.scope, () =>
    proposeChecked(context, () => {
      authorise();
      return prepare();
    }),
  );
}
