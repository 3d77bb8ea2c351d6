import { assert } from "../../stdx/mod.ts";

/**
 * The cluster's lease clock as one member sees it. Deadlines are in its milliseconds, and the entries of
 * the log carry it, so it goes on where the last leader left it, whatever anybody's wall clock says:
 *
 * - A follower's stands at the newest stamp applied here, plus what has passed here since. What a
 *   follower applies late it counts late: leases then last a little longer, never shorter.
 * - A leader's runs on by itself. It does not go back to its own entries as they come back applied, or it
 *   would lose the time of each commit and, under load, stand still.
 * - A member that was down begins at what it had applied: nothing passes while no member runs.
 * - A change of leader loses what the newest stamp took to be applied at the next one, about as long as
 *   a commit: by so much longer a lease lasts, for each change. In etcd it has its whole TTL again
 *   (server/lease/lessor.go Promote).
 *
 * A member leads, in the sense of this clock, from when it has applied an entry of its own term; it must
 * not stamp before. Until then a stamp may come from a leader whose clock was behind this one's, and
 * what this clock is ahead would be taken from a lease that was granted by it.
 *
 * `now` is in milliseconds of a clock of this member that never goes back.
 */
export class LeaseClock {
  /** The newest stamp applied. */
  #applied: number;
  /** The clock stood at `#base` at the moment `#since`. */
  #base: number;
  #since: number;
  #leads = false;

  /** `leaseTime`: as of the state that the member starts with. */
  constructor(leaseTime: number, now: number) {
    this.#applied = leaseTime;
    this.#base = leaseTime;
    this.#since = now;
  }

  /** An integer. While the member leads it does not go back. */
  read(now: number): number {
    return this.#base + Math.max(0, Math.floor(now - this.#since));
  }

  /** As `read`, for an entry that is about to be appended. Asserts that the member leads. */
  stamp(now: number): number {
    assert(this.#leads, "A member that does not lead stamped an entry");
    return this.read(now);
  }

  /** The state machine has come to `leaseTime`, `now`. */
  applied(leaseTime: number, now: number): void {
    // What has no stamp, such as a new leader's first entry, says nothing of the clock.
    if (leaseTime === this.#applied) return;
    this.#applied = leaseTime;
    if (this.#leads) return;
    this.#base = leaseTime;
    this.#since = now;
  }

  /** The member has applied an entry of its own term, as leader; or it leads no more. */
  leads(isLeader: boolean): void {
    // One on, so that the stamps of two leaders differ and followers see which are newer.
    if (isLeader && !this.#leads) this.#base++;
    this.#leads = isLeader;
  }
}
