/** Time as the effectful rooms see it; tests and the simulator inject their own. */
export interface Clock {
  /**
   * Milliseconds since the Unix epoch. Never goes back while the process lives, and does not jump
   * when the operator sets the wall clock.
   */
  now(): number;
}
