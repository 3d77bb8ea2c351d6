import { stampTimes } from "../wire/mod.ts";

/**
 * The conditions that "applied once" and the cluster's lease clock rest on, each by itself. They are
 * one value so that the tests can break one at a time and see that the checks of the simulation
 * notice; production code always runs NODE_RULES.
 */
export interface NodeRules {
  /** A batch given out in one term is lost once an entry of a later one is applied without it. */
  isLost(batchTerm: number, appliedTerm: number): boolean;
  /** Only the leader of the term that its sender believes in takes a batch. */
  takes(batchTerm: number, term: number): boolean;
  /** The leader's clock alone counts, in the batches of others too. */
  stamp(data: Uint8Array, time: number, leaseTime: number): void;
  /** A leader gives times once it has applied an entry of its own term, and so all before it. */
  mayStamp(readableTerm: number, term: number): boolean;
  /** A leader that is to go hands over once within a request's time. */
  mayGiveWay(sinceMs: number, requestTimeoutMs: number): boolean;
}

export const NODE_RULES: NodeRules = {
  isLost: (batchTerm, appliedTerm) => batchTerm < appliedTerm,
  takes: (batchTerm, term) => batchTerm === term,
  stamp: (data, time, leaseTime) => stampTimes(data, time, leaseTime),
  mayStamp: (readableTerm, term) => readableTerm === term,
  mayGiveWay: (sinceMs, requestTimeoutMs) => sinceMs >= requestTimeoutMs,
};
