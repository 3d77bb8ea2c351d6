/** The arithmetic of majorities, in one place and without state. */

/**
 * The highest number that a majority of `values` has reached. An empty half of a joint
 * configuration agrees to everything, so that the minimum over both halves is right. Sorts `values`
 * in place.
 */
export function majorityReached(values: number[]): number {
  const n = values.length;
  if (n === 0) return Number.MAX_SAFE_INTEGER;
  if (n === 1) return values[0] as number;
  // At most seven members: insertion sort beats the general one, and allocates nothing.
  for (let i = 1; i < n; i++) {
    const value = values[i] as number;
    let at = i;
    while (at > 0 && (values[at - 1] as number) > value) {
      values[at] = values[at - 1] as number;
      at--;
    }
    values[at] = value;
  }
  return values[n - (n >> 1) - 1] as number;
}

export type VoteResult = "won" | "lost" | "pending";

/** The state of an election among `voters` members. An empty half is won. */
export function countVotes(voters: number, granted: number, refused: number): VoteResult {
  if (voters === 0) return "won";
  const needed = (voters >> 1) + 1;
  if (granted >= needed) return "won";
  return voters - refused >= needed ? "pending" : "lost";
}

/** A joint election is won in both halves, and lost in either (Raft §6). */
export function joinVotes(a: VoteResult, b: VoteResult): VoteResult {
  if (a === "lost" || b === "lost") return "lost";
  return a === "won" && b === "won" ? "won" : "pending";
}
