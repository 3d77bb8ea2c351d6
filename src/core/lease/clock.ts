/**
 * The cluster's lease clock as one member sees it. Deadlines are in its milliseconds, and the entries of
 * the log carry it, so it goes on where the last leader left it, whatever that one's wall clock said:
 *
 * - A follower's stands at the lease time of the newest entry applied here, plus what has passed here
 *   since. What a follower applies late, as under a slow network, it counts late: a lease then lasts a
 *   little longer, never shorter.
 * - A leader's runs on by itself from where it stood when the member began to lead. It may not go back to
 *   the entries that come back applied, or it would lose the time of each commit and, under load, stand.
 * - A member that was down begins at what it had applied: nothing passed for leases while no member ran.
 *
 * `now` in milliseconds of a clock of this member that never goes back.
 */
export class LeaseClock {
  /** The lease time of the newest entry applied. */
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

  /** An integer. As long as the member leads it does not go back. */
  read(now: number): number {
    return this.#base + Math.max(0, Math.floor(now - this.#since));
  }

  /** The state machine has come to `leaseTime`, `now`. */
  applied(leaseTime: number, now: number): void {
    // An entry without a time of its own, such as a new leader's first, says nothing of the clock.
    if (leaseTime === this.#applied) return;
    this.#applied = leaseTime;
    if (this.#leads && leaseTime <= this.read(now)) return;
    this.#base = leaseTime;
    this.#since = now;
  }

  /** The member begins to lead, or ends. */
  leads(isLeader: boolean): void {
    this.#leads = isLeader;
  }
}
