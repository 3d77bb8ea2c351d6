import type { LeaseClock } from "../core/lease/mod.ts";
import {
  type Actor,
  type ApplyResult,
  type Command,
  type TenantId,
  systemActor,
} from "../core/types/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { StateMachine } from "./ports.ts";

/** Expired leases that one tick revokes (etcd lessor.go: 500). */
const EXPIRED_LEASES_PER_TICK = 500;
/**
 * Milliseconds of lease time that may pass without an entry, while there are leases. A member that
 * starts takes the clock from the newest entry it applies, so by so much a lease may outlast its time
 * when that member leads next.
 */
const CARRY_ON_MS = 500;

export interface LeaseKeeperDeps {
  readonly machine: StateMachine;
  readonly clock: Clock;
  readonly leaseClock: LeaseClock;
  readonly logger: Logger;
  propose(tenant: TenantId, command: Command): Promise<ApplyResult>;
  /** Appends a batch without proposals, which carries the lease clock. */
  carryOn(): void;
}

/** What only the leader does about leases. */
export class LeaseKeeper {
  readonly #deps: LeaseKeeperDeps;
  readonly #expiring = new Set<string>();
  /** The lease time that was last given to the log for its own sake. */
  #carried = 0;

  constructor(deps: LeaseKeeperDeps) {
    this.#deps = deps;
  }

  tick(): void {
    const { machine, clock, leaseClock } = this.#deps;
    const leaseNow = leaseClock.read(clock.now());
    this.#expire(leaseNow);
    if (leaseNow - Math.max(machine.leaseTime, this.#carried) >= CARRY_ON_MS) this.carryOn();
  }

  /** So that whoever leads next knows how far the clock is. */
  carryOn(): void {
    const { machine, clock, leaseClock, carryOn } = this.#deps;
    if (machine.nextLeaseDeadline() === undefined) return;
    this.#carried = leaseClock.read(clock.now());
    carryOn();
  }

  /** Proposes the end of leases past their deadline; apply checks it again. */
  #expire(leaseNow: number): void {
    const { machine, logger, propose } = this.#deps;
    for (const { tenant, id } of machine.expiredLeases(leaseNow, EXPIRED_LEASES_PER_TICK)) {
      const name = `${tenant}/${id}`;
      if (this.#expiring.has(name)) continue;
      this.#expiring.add(name);
      propose(tenant, { kind: "lease-revoke", id, cause: "expired" })
        .catch((error: unknown) => {
          logger.warn("Lease expiry was not proposed, it will be again", { cause: error });
        })
        .finally(() => this.#expiring.delete(name));
    }
  }
}

/** Who revokes a lease that has expired. */
export const LEASE_ACTOR: Actor = systemActor("lease-expired");
