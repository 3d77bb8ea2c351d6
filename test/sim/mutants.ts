import type { MemberNode, StateMachine } from "../../src/node/mod.ts";
import type { ApplyResult, Proposal } from "../../src/core/types/mod.ts";

/** A way in which members break a rule. The simulator must notice each. */
export interface Mutant {
  /** Faults without which it would not show. */
  readonly needs?: readonly string[];
  readonly members?: number;
  /** Changes rules of the code under test; returns what puts them back. */
  readonly breakRules?: () => () => void;
  /** Saves are on the disk only so many milliseconds after `save` returned. */
  readonly saveLagMs?: number;
  /** The members' clocks follow the wall clock. */
  readonly wallClock?: boolean;
  readonly checkpointLies?: boolean;
  readonly keepsLogAtInstall?: boolean;
  readonly machine?: (machine: StateMachine) => StateMachine;
  readonly readIndex?: (node: MemberNode) => Promise<void> | undefined;
  readonly propose?: (node: MemberNode, proposal: Proposal) => Promise<ApplyResult>;
}

export const NO_MUTANT: Mutant = {};
