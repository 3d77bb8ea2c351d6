import type { ConfState, Entry, Leadership, LogReader, Role } from "../../../src/core/raft/mod.ts";

/** What the checks look at of a member: of consensus alone here, of whole members in test/sim. */
export interface CheckedMember {
  readonly id: bigint;
  readonly raft: { readonly role: Role; readonly term: number; readonly commit: number };
  readonly disk: Pick<LogReader, "firstIndex" | "term">;
  readonly applied: { readonly index: number };
}

/** The properties of Raft's Figure 3 and of reads, checked at every step. */
export interface Checks {
  started(confState: ConfState): void;
  became(member: CheckedMember, leadership: Leadership | undefined): void;
  saved(member: CheckedMember, entries: readonly Entry[]): void;
  applied(member: CheckedMember, entry: Entry): void;
  confApplied(index: number, confState: ConfState): void;
  restarted(member: CheckedMember): void;
  /** After anything a member did. */
  acted(member: CheckedMember): void;
  readAsked(member: CheckedMember, ctx: number): void;
  readAnswered(member: CheckedMember, ctx: number, index: number): void;
  /** The highest index that any member has applied. */
  readonly appliedMax: number;
}

export class Violation extends Error {
  override readonly name = "Violation";
}

interface Committed {
  readonly term: number;
  readonly text: string;
  /** The lowest term of a leader that was seen to have it committed. */
  inTerm: number;
}

export function createChecks(): Checks {
  const leaders = new Map<number, bigint>();
  const entries = new Map<string, string>();
  const committed = new Map<number, Committed>();
  /** Index -> lowest term of a leader whose commit index reached it. */
  const commitTerms = new Map<number, number>();
  const confs = new Map<number, string>();
  const reads = new Map<string, number>();
  const commits = new Map<bigint, number>();
  let appliedMax = 0;
  return {
    get appliedMax() {
      return appliedMax;
    },
    started: (confState) => void confs.set(0, describe(confState)),
    became(member, leadership) {
      if (leadership?.role !== "leader") return;
      const { term } = leadership;
      const other = leaders.get(term);
      check(other === undefined || other === member.id, `two leaders in term ${term}`);
      leaders.set(term, member.id);
      checkCompleteness(member, term, committed);
    },
    saved(member, list) {
      for (const entry of list) {
        const before = member.disk.term(entry.index - 1);
        const text = `${describeEntry(entry)} after ${before}`;
        const known = entries.get(`${entry.index}/${entry.term}`);
        check(known === undefined || known === text, `log matching: ${known} and ${text}`);
        entries.set(`${entry.index}/${entry.term}`, text);
      }
    },
    applied(member, entry) {
      const text = describeEntry(entry);
      const known = committed.get(entry.index);
      check(
        known === undefined || known.text === text,
        `state machine safety: ${member.id} applies ${text}, another ${known?.text}`,
      );
      check(entry.index === member.applied.index + 1, "entries were not applied one by one");
      check(member.disk.term(entry.index) === entry.term, "an entry was applied but not saved");
      if (known === undefined) {
        const inTerm = commitTerms.get(entry.index) ?? member.raft.term;
        committed.set(entry.index, { term: entry.term, text, inTerm });
      }
      appliedMax = Math.max(appliedMax, entry.index);
    },
    confApplied(index, confState) {
      const text = describe(confState);
      const known = confs.get(index);
      check(known === undefined || known === text, `configurations differ: ${known} and ${text}`);
      confs.set(index, text);
    },
    restarted: (member) => void commits.delete(member.id),
    acted(member) {
      const { raft } = member;
      if (raft.role !== "leader") return;
      for (let i = (commits.get(member.id) ?? 0) + 1; i <= raft.commit; i++) {
        const before = commitTerms.get(i);
        if (before === undefined || raft.term < before) commitTerms.set(i, raft.term);
      }
      commits.set(member.id, raft.commit);
    },
    readAsked: (member, ctx) => void reads.set(`${member.id}/${ctx}`, appliedMax),
    readAnswered(member, ctx, index) {
      const least = reads.get(`${member.id}/${ctx}`);
      check(least !== undefined, "an answer to a read that was not asked");
      check(index >= least, `stale read: ${index}, but ${least} was applied before it was asked`);
    },
  };
}

/** Raft §5.4: a leader has all entries that were committed in earlier terms. */
function checkCompleteness(
  member: CheckedMember,
  term: number,
  committed: ReadonlyMap<number, Committed>,
): void {
  const { disk } = member;
  for (const [index, entry] of committed) {
    if (entry.inTerm >= term || index < disk.firstIndex) continue;
    check(
      disk.term(index) === entry.term,
      `leader completeness: leader of term ${term} lacks ${entry.text}`,
    );
  }
}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Violation(message);
}

function describeEntry(entry: Entry): string {
  const data = Buffer.from(entry.data).toString("hex");
  return `${entry.index}/${entry.term} ${entry.kind} ${data}`;
}

function describe(confState: ConfState): string {
  return JSON.stringify(confState, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
}
