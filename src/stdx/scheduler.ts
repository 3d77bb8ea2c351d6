/** Ends what was scheduled; harmless once it has happened. */
export type Cancel = () => void;

/**
 * When work is done, as the effectful rooms ask for it; tests and the simulator run it in virtual
 * time. Nothing scheduled keeps the process alive by itself.
 */
export interface Scheduler {
  /** After all that is ready now has had its turn; in the order asked for. */
  soon(work: () => void): void;
  /** Once, `ms` milliseconds from now. */
  after(ms: number, work: () => void): Cancel;
  /** Each `ms` milliseconds. */
  every(ms: number, work: () => void): Cancel;
}
