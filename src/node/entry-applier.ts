import type { AppliedBatch, CommittedEntry } from "../core/fsm/mod.ts";
import { type ConfState, type Entry, type Raft } from "../core/raft/mod.ts";
import type { MemberId } from "../core/types/mod.ts";
import { assert } from "../stdx/mod.ts";
import { type BatchHeader, encodeConfState } from "../wire/mod.ts";
import type { Applier } from "./applier.ts";
import { type ConfOutcome, equalConfStates, readEntry } from "./entries.ts";
import type { ProposalQueue } from "./proposal-queue.ts";

export interface EntryApplierDeps {
  readonly self: MemberId;
  readonly raft: Raft;
  readonly queue: ProposalQueue;
  readonly applier: Applier;
}

/** Committed entries made ready for the state machine, once; a full disk may hold them up then. */
export interface Prepared {
  readonly entries: readonly CommittedEntry[];
  readonly headers: readonly (BatchHeader | undefined)[];
  /** The newest entry that carries a lease time. */
  readonly stampedIndex: number | undefined;
  /** Of the entries whose change of members did not come about. */
  readonly passedOver: ReadonlySet<number>;
  readonly bytes: number;
}

/** Takes committed entries to the state machine, and its answers to those who wait for them. */
export class EntryApplier {
  readonly #deps: EntryApplierDeps;
  #confState: ConfState;
  #sharedUpTo = 0;

  constructor(deps: EntryApplierDeps, confState: ConfState) {
    this.#deps = deps;
    this.#confState = confState;
  }

  /** The configuration in force. */
  get confState(): ConfState {
    return this.#confState;
  }

  /** The newest entry that members of an earlier configuration may have. */
  get sharedUpTo(): number {
    return this.#sharedUpTo;
  }

  /** Puts changes of members into force, and reads what is to be applied. */
  prepare(entries: readonly Entry[]): Prepared {
    const committed: CommittedEntry[] = [];
    const headers: (BatchHeader | undefined)[] = [];
    const passedOver = new Set<number>();
    let bytes = 0;
    let stampedIndex: number | undefined;
    for (const entry of entries) {
      bytes += entry.data.length;
      const conf = entry.kind === "conf-change" ? this.#changeConf(entry) : undefined;
      if (conf?.holds === false) passedOver.add(entry.index);
      const read = readEntry(entry, conf, (header) => this.#known(header));
      committed.push(read.committed);
      headers.push(read.header);
      if (read.header !== undefined) stampedIndex = entry.index;
    }
    return { entries: committed, headers, stampedIndex, passedOver, bytes };
  }

  /** Throws `no-space`; nothing is applied then, and it can be called again. */
  apply(prepared: Prepared): AppliedBatch {
    const { self, raft, queue, applier } = this.#deps;
    const applied = applier.apply(prepared.entries, prepared.bytes);
    const last = prepared.entries[prepared.entries.length - 1];
    assert(last !== undefined, "A batch without entries was applied");
    raft.applied(last.index);
    for (const [i, header] of prepared.headers.entries()) {
      if (header?.origin !== self) continue;
      const index = prepared.entries[i]?.index ?? 0;
      if (prepared.passedOver.has(index)) queue.passedOver(header);
      else queue.landed(header, applied.results[i] ?? []);
    }
    queue.settle(last.term);
    return applied;
  }

  /** A snapshot was installed. */
  stateReplaced(confState: ConfState): void {
    this.#confState = confState;
    this.#deps.applier.stateReplaced();
    this.#deps.queue.stateReplaced();
  }

  #known(header: BatchHeader): ReturnType<ProposalQueue["proposalsOf"]> {
    return header.origin === this.#deps.self ? this.#deps.queue.proposalsOf(header) : undefined;
  }

  #changeConf(entry: Entry): ConfOutcome {
    const before = this.#confState;
    this.#confState = this.#deps.raft.applyConfChange(entry);
    this.#sharedUpTo = this.#deps.raft.status().lastIndex;
    return {
      confState: encodeConfState(this.#confState),
      holds: !equalConfStates(before, this.#confState),
    };
  }
}
