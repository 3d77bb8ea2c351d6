import { RULES, type Rules } from "../../src/core/raft/rules.ts";
import type { ApplyResult, Proposal } from "../../src/core/types/mod.ts";
import type { MemberNode, StateMachine } from "../../src/node/mod.ts";
import { NODE_RULES, type NodeRules } from "../../src/node/rules.ts";
import { SeenWindow } from "../../src/node/seen-window.ts";

/** A way in which members break a rule. The simulator must notice each. */
export interface Mutant {
  /** Faults without which it would not show. */
  readonly needs?: readonly string[];
  /** No other faults than those that it needs, and those often. */
  readonly isHasty?: boolean;
  readonly members?: number;
  /** Logs are compacted after few entries. */
  readonly compacts?: boolean;
  readonly nodeRules?: NodeRules;
  /** Changes the code under test; returns what puts it back. */
  readonly breakCode?: () => () => void;
  /** Saves are on the disk only so many milliseconds after `save` returned. */
  readonly saveLagMs?: number;
  /** The members' clocks follow the wall clock. */
  readonly wallClock?: boolean;
  readonly checkpointLies?: boolean;
  readonly keepsLogAtInstall?: boolean;
  readonly forgetsConfState?: boolean;
  readonly machine?: (machine: StateMachine) => StateMachine;
  readonly readIndex?: (node: MemberNode) => Promise<void> | undefined;
  readonly propose?: (node: MemberNode, proposal: Proposal) => Promise<ApplyResult>;
}

export const NO_MUTANT: Mutant = {};

const STORM = ["crash", "power", "partition", "one-way", "pause", "transfer", "loss"] as const;

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  "acknowledges before its save is on the disk": {
    needs: ["power", "crash-in-write"],
    saveLagMs: 40,
  },
  "sends what had to wait for the save before it": {
    needs: ["power", "crash-in-write"],
    saveLagMs: 1,
  },
  "answers reads without asking whether it leads": {
    needs: ["partition", "pause", "offline"],
    readIndex: (node) => (node.status().role === "leader" ? undefined : node.readIndex()),
  },
  "answers linearizable reads from the state of a follower": {
    readIndex: () => undefined,
  },
  "proposes again what may be in the log": {
    needs: STORM,
    nodeRules: { ...NODE_RULES, isLost: (batchTerm, appliedTerm) => batchTerm <= appliedTerm },
  },
  "takes batches that were meant for the leader of another term": {
    needs: ["slow-net", "partition", "pause", "one-way"],
    isHasty: true,
    members: 3,
    nodeRules: { ...NODE_RULES, takes: () => true },
  },
  "takes a batch of another member twice": {
    needs: ["loss", "pause", "slow-net", "slow-disk"],
    breakCode: () => patched(SeenWindow.prototype, { look: () => "new" }),
  },
  "proposes again without an end what was not answered in time": {
    needs: STORM,
    propose: async (node, proposal) => {
      try {
        return await node.propose(proposal);
      } catch {
        return node.propose(proposal);
      }
    },
  },
  "leaves the times of others' batches as they are": {
    needs: ["pause", "crash"],
    nodeRules: { ...NODE_RULES, stamp: () => undefined },
  },
  "gives times before it knows what was committed before it": {
    needs: ["pause", "crash", "transfer", "partition", "slow-net"],
    nodeRules: { ...NODE_RULES, mayStamp: () => true },
  },
  "hands over each time that it is to be removed": {
    needs: ["replace"],
    isHasty: true,
    members: 3,
    nodeRules: { ...NODE_RULES, mayGiveWay: () => true },
  },
  "takes the wall clock for the clock of leases": { needs: ["wall-clock"], wallClock: true },
  "forgets the configuration that it has applied": {
    needs: ["crash", "replace", "add"],
    members: 3,
    forgetsConfState: true,
  },
  "keeps its log when a snapshot is installed": {
    needs: ["crash", "pause", "partition"],
    compacts: true,
    keepsLogAtInstall: true,
  },
  "compacts its log past what the state has on the disk": {
    needs: ["power"],
    compacts: true,
    checkpointLies: true,
  },
  "begins a watch anew after a snapshot": {
    needs: ["crash", "pause", "partition", "offline"],
    compacts: true,
    machine: withoutHistoryBeforeReload,
  },
  "votes twice in a term": broken({ mayVote: () => true }),
  "votes for a candidate with an older log": broken({ isUpToDate: () => true }),
  "takes entries without comparing the one before": broken({
    prevAgrees: (mine) => mine !== undefined,
  }),
  "tells a peer of a commit past what it is known to have": broken({
    commitFor: (_, commit) => commit,
  }),
  "answers reads before an entry of its own term is committed": broken({ mayRead: () => true }),
  "answers reads without a quorum": broken({ roundAcknowledged: () => true }),
  "listens to messages of older terms": broken({ isStale: () => false }),
};

/**
 * Rules of consensus, which all members of a run break. The others of MUTANTS in test/raft/simulation
 * show only with messages or saves that overtake each other, which whole members never see.
 */
function broken(rules: Partial<Rules>): Mutant {
  return { needs: STORM, breakCode: () => patched(RULES, rules) };
}

function patched<T extends object>(target: T, changes: Partial<T>): () => void {
  const before = { ...target };
  for (const name of Object.keys(changes) as (keyof T)[]) before[name] = target[name];
  Object.assign(target, changes);
  return () => {
    for (const name of Object.keys(changes) as (keyof T)[]) target[name] = before[name];
  };
}

/** After a snapshot the machine tells watches of nothing that was before it. */
function withoutHistoryBeforeReload(machine: StateMachine): StateMachine {
  let from = 0;
  const { watchSource } = machine;
  return Object.create(machine, {
    reload: {
      value: () => {
        machine.reload();
        from = Math.max(...machine.reader.tenants().map(({ revision }) => Number(revision) + 1));
      },
    },
    watchSource: {
      value: {
        revisions: (tenant: Parameters<typeof watchSource.revisions>[0]) =>
          watchSource.revisions(tenant),
        changes: (...args: Parameters<typeof watchSource.changes>) =>
          watchSource.changes(...args).filter(({ revision }) => revision >= from),
      },
    },
  }) as StateMachine;
}
