import type { AppliedBatch } from "../core/fsm/mod.ts";
import { CLUSTER_SCOPE, type RecordTable, type TenantId } from "../core/types/mod.ts";
import {
  type WatchHub,
  type WatchHubStatus,
  type WatchStream,
  createWatchHub,
} from "../core/watch/mod.ts";
import type { Clock, Prng, Scheduler } from "../stdx/mod.ts";
import type { RecordListener } from "./node-port.ts";
import type { StateMachine } from "./ports.ts";

/** Changes kept in memory for watches that lag a little; further back they read the store. */
const RECENT_CHANGES_BYTES_MAX = 4 * 1024 * 1024;

const TABLES: readonly RecordTable[] = [
  "policy",
  "wrapped-key",
  "issuer",
  "revocation",
  "checkpoint",
  "setting",
  "former-tenant",
  "certificate-rule",
];

/** Tells of what has changed in the state: watches, and those who keep what they read of it. */
export class StateEvents {
  readonly #machine: StateMachine;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #hub: WatchHub;
  readonly #isBehind: () => boolean;
  readonly #recordListeners = new Set<RecordListener>();
  readonly #deletionListeners: ((tenant: TenantId) => void)[] = [];
  readonly #changeListeners = new Set<(tenant: TenantId) => void>();
  readonly #replacedListeners = new Set<() => void>();
  #pumpScheduled = false;
  #isStopped = false;

  constructor(deps: {
    readonly machine: StateMachine;
    readonly clock: Clock;
    readonly scheduler: Scheduler;
    readonly random: Prng;
    readonly progressIntervalMs: number;
    /** Whether the state has lost what was published, until it is applied again. */
    readonly isBehind: () => boolean;
  }) {
    this.#isBehind = deps.isBehind;
    this.#machine = deps.machine;
    this.#clock = deps.clock;
    this.#scheduler = deps.scheduler;
    this.#hub = createWatchHub(deps.machine.watchSource, {
      prng: deps.random,
      progressIntervalMs: deps.progressIntervalMs,
      recentBytesMax: RECENT_CHANGES_BYTES_MAX,
      onWork: () => this.#pumpSoon(),
    });
  }

  openWatch(tenant: TenantId): WatchStream {
    return this.#hub.openStream(tenant);
  }

  watchStatus(): WatchHubStatus {
    return this.#hub.status();
  }

  onRecords(listener: RecordListener): () => void {
    this.#recordListeners.add(listener);
    return () => this.#recordListeners.delete(listener);
  }

  onTenantDeleted(listener: (tenant: TenantId) => void): void {
    this.#deletionListeners.push(listener);
  }

  onTenantChanged(listener: (tenant: TenantId) => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  onStateReplaced(listener: () => void): () => void {
    this.#replacedListeners.add(listener);
    return () => this.#replacedListeners.delete(listener);
  }

  /**
   * Records and tenants first: a batch may take a right away and then write what it was a right to, and a watch that
   * lost it must be cancelled before it sees that.
   */
  applied({ changes, tenantsChanged, tenantsDeleted, recordChanges }: AppliedBatch): void {
    for (const change of recordChanges) {
      for (const listener of this.#recordListeners) listener(change);
    }
    for (const tenant of tenantsChanged) this.#tenantChanged(tenant);
    if (changes.length > 0) this.#hub.publish(changes);
    for (const tenant of tenantsDeleted) this.#tenantDeleted(tenant);
  }

  /** Runs `replace`, which puts another state in place, and tells of all that may be different. */
  stateReplaced(replace: () => void): void {
    const { reader } = this.#machine;
    const before = reader.tenants().map(({ id }) => id);
    replace();
    const after = new Set(reader.tenants().map(({ id }) => id));
    for (const scope of [CLUSTER_SCOPE, ...after]) {
      for (const table of TABLES) {
        for (const listener of this.#recordListeners) listener({ scope, table });
      }
    }
    for (const tenant of after) this.#tenantChanged(tenant);
    for (const listener of this.#replacedListeners) listener();
    this.#hub.stateReplaced();
    for (const tenant of before) if (!after.has(tenant)) this.#tenantDeleted(tenant);
  }

  /** One slice of catching up watches; the next one lets requests in between. */
  pump(): void {
    // While the state is behind nobody can catch up; the next tick of the node looks again.
    if (this.#hub.tick(this.#clock.now()) && !this.#isBehind()) this.#pumpSoon();
  }

  stop(): void {
    this.#isStopped = true;
  }

  #tenantChanged(tenant: TenantId): void {
    for (const listener of this.#changeListeners) listener(tenant);
  }

  #tenantDeleted(tenant: TenantId): void {
    this.#hub.tenantDeleted(tenant);
    for (const listener of this.#deletionListeners) listener(tenant);
  }

  #pumpSoon(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    this.#scheduler.soon(() => {
      this.#pumpScheduled = false;
      if (!this.#isStopped) this.pump();
    });
  }
}
