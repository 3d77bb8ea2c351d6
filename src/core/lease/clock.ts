import { assert } from "../../stdx/mod.ts";

/**
 * The cluster's lease clock as one member sees it. Deadlines are in its milliseconds, and the entries of
 * the log carry it, so it goes on where the last leader left it, whatever anybody's wall clock says:
 *
 * - A follower's stands at the newest stamp applied here, plus what has passed here since that entry
 *   was saved: it may be applied much later, as when its leader is lost before it tells of the commit.
 *   What a follower saves late it counts late: leases then last a little longer, never shorter.
 * - A leader's runs on by itself. It does not go back to its own entries as they come back applied, or it
 *   would lose the time of each commit and, under load, stand still.
 * - A member that was down begins at what it had applied: nothing passes while no member runs.
 * - A change of leader loses what the newest stamp took to be saved at the next one, about as long as a
 *   message: by so much longer a lease lasts, for each change. In etcd it has its whole TTL again
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
  /** When entries that are not applied yet were saved, in the order of the log; each up to `last`. */
  readonly #saved: { readonly last: number; readonly at: number }[] = [];

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

  /** The log's entries from `first` to `last` are on the disk, in the place of any from `first` on. */
  saved({ first, last }: { readonly first: number; readonly last: number }, now: number): void {
    while ((this.#saved.at(-1)?.last ?? 0) >= first) this.#saved.pop();
    this.#saved.push({ last, at: now });
  }

  /**
   * The state machine has come to `leaseTime`, `now`, by the entry at `index`; or by a snapshot, of
   * which nobody knows how long ago it was taken.
   */
  applied(leaseTime: number, now: number, index?: number): void {
    const at = (index === undefined ? undefined : this.#takeSaved(index)) ?? now;
    // What has no stamp, such as a new leader's first entry, says nothing of the clock.
    if (leaseTime === this.#applied) return;
    this.#applied = leaseTime;
    if (this.#leads) return;
    this.#base = leaseTime;
    this.#since = at;
  }

  /** The member has applied an entry of its own term, as leader; or it leads no more. */
  leads(isLeader: boolean): void {
    // One on, so that the stamps of two leaders differ and followers see which are newer.
    if (isLeader && !this.#leads) this.#base++;
    this.#leads = isLeader;
  }

  /** When the entry at `index` was saved, if that was in this life; forgets all up to it. */
  #takeSaved(index: number): number | undefined {
    let passed = 0;
    while ((this.#saved[passed]?.last ?? index) < index) passed++;
    const at = this.#saved[passed]?.at;
    if (this.#saved[passed]?.last === index) passed++;
    this.#saved.splice(0, passed);
    return at;
  }
}
