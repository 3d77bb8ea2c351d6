import { RULES, type Rules } from "../../../src/core/raft/rules.ts";
import { NO_MEMBER } from "../../../src/core/raft/mod.ts";
import { type Fault } from "./world.ts";
import { NO_FAULT } from "./run.ts";

/**
 * Members that break one rule of Raft each. The simulation must notice every one of them. The ABA
 * race of saves needs five members in one order of events; its scenario is the mutant's judge.
 */
export const MUTANTS: Readonly<Record<string, Fault>> = {
  "votes twice in a term": broken({ mayVote: () => true }),
  "votes for a candidate with an older log": broken({ isUpToDate: () => true }),
  "takes entries without comparing the one before": broken({
    prevAgrees: (mine) => mine !== undefined,
  }),
  "commits entries of an older term by counting": broken({
    mayCommit: (entryTerm) => entryTerm !== undefined,
  }),
  "tells a peer of a commit past what it is known to have": broken({
    commitFor: (_, commit) => commit,
  }),
  "answers reads before an entry of its own term is committed": broken({ mayRead: () => true }),
  "answers reads without a quorum": broken({ roundAcknowledged: () => true }),
  "starts a second change of members before the first is applied": broken({
    mayChangeConf: () => true,
  }),
  "listens to messages of older terms": broken({ isStale: () => false }),
  "acknowledges before the save is on the disk": { ...NO_FAULT, earlyAck: true },
  "forgets its vote in a crash": {
    ...NO_FAULT,
    save: (ready) => {
      const { hardState } = ready;
      return hardState === undefined
        ? ready
        : { ...ready, hardState: { ...hardState, vote: NO_MEMBER } };
    },
  },
};

function broken(rules: Partial<Rules>): Fault {
  return { ...NO_FAULT, rules: { ...RULES, ...rules } };
}
