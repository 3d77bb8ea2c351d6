import {
  type Actor,
  type ApplyResult,
  type Command,
  NO_COMPACTION,
  type StateReader,
  type TenantCompaction,
  type TenantId,
  type TenantInfo,
  systemActor,
} from "../core/types/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/** Milliseconds between looks at a tenant that keeps a count of revisions (etcd's revision.go). */
const COUNT_LOOK_MS = 5 * 60_000;
/** Of one that keeps an age: a tenth of the age, within these bounds (etcd's periodic.go). */
const AGE_LOOK_MS_MIN = 1000;
const AGE_LOOK_MS_MAX = 60 * 60_000;

/** Milliseconds from the begin of one round through all tenants to that of the next, at least. */
const ROUND_MS = 1000;
/** Tenants that one tick passes over, and those of them that it looks at: each costs some reads. */
const PASSED_PER_TICK = 500;
const LOOKS_PER_TICK = 16;
/** Compactions proposed and not answered. */
const IN_FLIGHT_MAX = 64;

export interface AutoCompactionDeps {
  readonly state: Pick<StateReader, "tenant" | "tenants" | "revisionAt">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tenants without their own. None unless given. */
  readonly autoCompaction?: TenantCompaction | undefined;
  propose(tenant: TenantId, command: Command): Promise<ApplyResult>;
}

/**
 * What only the leader does about the history of tenants: it proposes their compaction by age or by
 * count. An age keeps at least that much: all that could be read that long ago still can be. It goes by
 * the times that the history itself holds, so whoever leads next goes on at once.
 *
 * Tenants are gone through in rounds, a few with each tick, so thousands of them hold nothing up.
 */
export class AutoCompaction {
  readonly #deps: AutoCompactionDeps;
  /** When to look at a tenant next, and the setting that this came from. */
  readonly #due = new Map<TenantId, { readonly at: number; readonly by: TenantCompaction }>();
  readonly #inFlight = new Set<TenantId>();
  /** Those that the round has not come to yet, the next one last. */
  #round: TenantId[] = [];
  #roundBegan = Number.NEGATIVE_INFINITY;

  constructor(deps: AutoCompactionDeps) {
    this.#deps = deps;
  }

  /** Called with each tick while this member leads and knows all that is committed. */
  tick(): void {
    const now = this.#deps.clock.now();
    if (this.#round.length === 0 && !this.#beginRound(now)) return;
    let looks = 0;
    for (let passed = 0; passed < PASSED_PER_TICK; passed++) {
      if (looks === LOOKS_PER_TICK || this.#inFlight.size >= IN_FLIGHT_MAX) return;
      const id = this.#round.pop();
      if (id === undefined) return;
      if (this.#look(id, now)) looks += 1;
    }
  }

  #beginRound(now: number): boolean {
    if (now - this.#roundBegan < ROUND_MS) return false;
    this.#roundBegan = now;
    const tenants = this.#deps.state.tenants();
    this.#round = tenants.map(({ id }) => id);
    if (this.#due.size > tenants.length) this.#forgetDeleted(new Set(this.#round));
    return true;
  }

  #forgetDeleted(live: ReadonlySet<TenantId>): void {
    for (const id of this.#due.keys()) if (!live.has(id)) this.#due.delete(id);
  }

  /** False if it was not due. */
  #look(id: TenantId, now: number): boolean {
    const tenant = this.#deps.state.tenant(id);
    if (tenant === undefined || tenant.suspended || this.#inFlight.has(id)) return false;
    const by = this.#settingOf(tenant);
    if (by.kind === "none") return false;
    const known = this.#due.get(id);
    // The clock does not go back, but another setting may be due sooner.
    if (known?.by === by && now < known.at) return false;
    this.#due.set(id, { at: now + lookEvery(by), by });
    const target = this.#targetOf(tenant, by, now);
    if (target > Math.max(tenant.compactRevision, 1)) this.#compact(id, target);
    return true;
  }

  #settingOf({ compaction }: TenantInfo): TenantCompaction {
    if (compaction.kind !== "none") return compaction;
    return this.#deps.autoCompaction ?? NO_COMPACTION;
  }

  #targetOf(
    { id, revision }: TenantInfo,
    by: Exclude<TenantCompaction, { readonly kind: "none" }>,
    now: number,
  ): number {
    if (by.kind === "count") return revision - by.revisions;
    return this.#deps.state.revisionAt(id, now - by.seconds * 1000);
  }

  #compact(tenant: TenantId, revision: number): void {
    const { propose, logger } = this.#deps;
    this.#inFlight.add(tenant);
    propose(tenant, { kind: "compact", revision })
      // Refused only if the tenant was compacted, suspended or deleted meanwhile.
      .catch((error: unknown) => {
        logger.warn("Automatic compaction was not proposed, it will be again", { cause: error });
        this.#due.delete(tenant);
      })
      .finally(() => this.#inFlight.delete(tenant));
  }
}

/** Milliseconds between looks at a tenant. */
function lookEvery(by: Exclude<TenantCompaction, { readonly kind: "none" }>): number {
  if (by.kind === "count") return COUNT_LOOK_MS;
  return Math.min(Math.max(by.seconds * 100, AGE_LOOK_MS_MIN), AGE_LOOK_MS_MAX);
}

/** Who compacts by itself. */
export const AUTO_COMPACTION_ACTOR: Actor = systemActor("auto-compaction");
