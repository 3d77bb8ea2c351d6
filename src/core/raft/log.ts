import { assert } from "../../stdx/mod.ts";
import type { Entry, LogReader, SaveAck, SnapshotMeta } from "./types.ts";

/**
 * The log as this member sees it: the saved part behind the LogReader, and in memory the newest
 * entries, whether saved or not. The cursors, each with its invariant:
 *
 *     firstIndex - 1 <= applied <= applying <= min(commit, saved) <= saved <= handed <= lastIndex
 *
 * (saved: durable; handed: handed out to be saved; applying: handed out to be applied.) An entry is
 * applied only where it is saved, so after a crash the saved log always reaches to what was
 * applied.
 */
export class Log {
  readonly #reader: LogReader;
  readonly #cacheBytesMax: number;
  /** Entries `#first ..`, from array position `#head`; positions before it are empty. */
  #cache: (Entry | undefined)[] = [];
  #head = 0;
  /** Index of the entry at `#head`; `lastIndex + 1` if none. */
  #first: number;
  #cacheBytes = 0;
  #lastIndex: number;
  #lastTerm: number;
  #saved: number;
  #handed: number;
  #pendingSnapshot: SnapshotMeta | undefined;
  #snapshotHanded = false;
  commit: number;
  applied: number;
  applying: number;

  constructor(
    reader: LogReader,
    at: { readonly commit: number; readonly applied: number; readonly cacheBytesMax: number },
  ) {
    const { firstIndex, lastIndex } = reader;
    assert(firstIndex >= 1 && lastIndex >= firstIndex - 1, "Log reader's bounds are crossed");
    assert(at.applied >= firstIndex - 1, "Entries that are not applied have been compacted");
    assert(at.applied <= lastIndex, "More was applied than the saved log holds");
    // A crash may take the newest commit index, never a saved entry; what was applied is committed.
    this.commit = Math.max(at.commit, at.applied);
    assert(this.commit <= lastIndex, "The commit index is past the end of the saved log");
    this.applied = at.applied;
    this.applying = at.applied;
    this.#reader = reader;
    this.#cacheBytesMax = at.cacheBytesMax;
    this.#first = lastIndex + 1;
    this.#lastIndex = lastIndex;
    const lastTerm = reader.term(lastIndex);
    assert(lastTerm !== undefined, "Log reader does not know the term of its last entry");
    this.#lastTerm = lastTerm;
    this.#saved = lastIndex;
    this.#handed = lastIndex;
  }

  get firstIndex(): number {
    return this.#pendingSnapshot === undefined
      ? this.#reader.firstIndex
      : this.#pendingSnapshot.index + 1;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get lastTerm(): number {
    return this.#lastTerm;
  }

  get saved(): number {
    return this.#saved;
  }

  get hasPendingSnapshot(): boolean {
    return this.#pendingSnapshot !== undefined;
  }

  get hasUnhanded(): boolean {
    return this.#handed < this.#lastIndex || this.hasUnhandedSnapshot;
  }

  get hasUnhandedSnapshot(): boolean {
    return this.#pendingSnapshot !== undefined && !this.#snapshotHanded;
  }

  /** Whether something handed out waits for its acknowledgement. */
  get hasUnsaved(): boolean {
    return this.#saved < this.#lastIndex || this.#pendingSnapshot !== undefined;
  }

  get hasApplicable(): boolean {
    return this.applying < Math.min(this.commit, this.#saved) && !this.hasPendingSnapshot;
  }

  /** The term at `index`; undefined if compacted or not yet there. */
  term(index: number): number | undefined {
    if (index > this.#lastIndex) return undefined;
    if (index >= this.#first) return this.#at(index).term;
    if (index === this.#lastIndex) return this.#lastTerm;
    const snapshot = this.#pendingSnapshot;
    if (snapshot !== undefined) return index === snapshot.index ? snapshot.term : undefined;
    return index < this.#reader.firstIndex - 1 ? undefined : this.#reader.term(index);
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Entries [lo, hi) as far as `bytesMax` allows, at least one; undefined if `lo` is compacted. */
  entries(lo: number, hi: number, bytesMax: number): readonly Entry[] | undefined {
    assert(hi <= this.#lastIndex + 1, "Entries past the end of the log were asked for");
    if (lo >= hi) return NO_ENTRIES;
    if (lo >= this.#first) return this.#slice(lo, hi, bytesMax);
    if (lo < this.firstIndex) return undefined;
    const old = this.#reader.entries(lo, Math.min(hi, this.#first), bytesMax);
    assert(old.length > 0 && old[0]?.index === lo, "Log reader did not give the entry asked for");
    return old;
  }

  /** Appends `entry`, which must be the next. */
  push(entry: Entry): void {
    assert(entry.index === this.#lastIndex + 1, "Appended entry is not the next one");
    assert(entry.term >= this.#lastTerm, "Appended entry's term is lower than the last one's");
    this.#cache.push(entry);
    this.#cacheBytes += entry.data.length;
    this.#lastIndex = entry.index;
    this.#lastTerm = entry.term;
  }

  /**
   * Takes a leader's entries that follow an entry known to agree (Raft §5.3): what is there already
   * stays, a conflict and all after it is replaced. Gives the last index of `entries`.
   */
  merge(prevIndex: number, entries: readonly Entry[]): number {
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry;
      assert(entry.index === prevIndex + 1 + i, "Entries of a message are not consecutive");
      if (entry.index <= this.#lastIndex) {
        if (this.matches(entry.index, entry.term)) continue;
        this.#truncate(entry.index);
      }
      this.push(entry);
    }
    return prevIndex + entries.length;
  }

  /**
   * The highest index up to `index` whose term is at most `term`: where a log that has `term` at
   * `index` can agree at the highest. Terms never fall along a log, so a binary search finds it.
   */
  lastWithTermAtMost(index: number, term: number): { index: number; term: number } {
    let lo = this.firstIndex - 1;
    let hi = Math.min(index, this.#lastIndex);
    if (hi <= lo) return { index: Math.max(hi, 0), term: this.term(hi) ?? 0 };
    while (lo < hi) {
      const mid = Math.ceil((lo + hi) / 2);
      const at = this.term(mid);
      if (at === undefined || at <= term) lo = mid;
      else hi = mid - 1;
    }
    return { index: lo, term: this.term(lo) ?? 0 };
  }

  commitTo(index: number): boolean {
    if (index <= this.commit) return false;
    assert(
      index <= this.#lastIndex,
      "Commit index is past the end of the log: log lost or damaged",
    );
    this.commit = index;
    return true;
  }

  /** The entries to save, each handed out once. */
  takeUnhanded(): readonly Entry[] {
    if (this.#handed === this.#lastIndex) return NO_ENTRIES;
    const entries = this.#slice(this.#handed + 1, this.#lastIndex + 1, Number.MAX_SAFE_INTEGER);
    this.#handed = this.#lastIndex;
    return entries;
  }

  takeUnhandedSnapshot(): SnapshotMeta | undefined {
    if (!this.hasUnhandedSnapshot) return undefined;
    this.#snapshotHanded = true;
    return this.#pendingSnapshot;
  }

  /** The next committed and saved entries, each handed out once. */
  takeApplicable(bytesMax: number): readonly Entry[] {
    if (!this.hasApplicable) return NO_ENTRIES;
    const hi = Math.min(this.commit, this.#saved) + 1;
    const entries = this.entries(this.applying + 1, hi, bytesMax);
    assert(entries !== undefined, "Entries that are not applied have been compacted");
    this.applying += entries.length;
    return entries;
  }

  /** Takes an acknowledgement of the present term. One of a replaced entry changes nothing. */
  savedTo(ack: SaveAck): boolean {
    if (!this.matches(ack.index, ack.logTerm)) return false;
    const snapshot = this.#pendingSnapshot;
    if (snapshot !== undefined) {
      if (ack.index < snapshot.index || !this.#snapshotHanded) return false;
      assert(this.#reader.firstIndex === snapshot.index + 1, "Saved snapshot is not in the log");
      this.#pendingSnapshot = undefined;
      this.applied = Math.max(this.applied, snapshot.index);
      this.applying = Math.max(this.applying, snapshot.index);
    }
    if (ack.index <= this.#saved) return snapshot !== undefined;
    this.#saved = ack.index;
    return true;
  }

  appliedTo(index: number): void {
    assert(index <= this.applying, "More was applied than was handed out");
    if (index > this.applied) this.applied = index;
  }

  /** Replaces everything by a snapshot (Raft §7). */
  restore(snapshot: SnapshotMeta): void {
    assert(snapshot.index > this.commit, "A snapshot must not undo what is committed");
    this.#pendingSnapshot = snapshot;
    this.#snapshotHanded = false;
    this.#cache = [];
    this.#head = 0;
    this.#cacheBytes = 0;
    this.#first = snapshot.index + 1;
    this.#lastIndex = snapshot.index;
    this.#lastTerm = snapshot.term;
    this.#saved = snapshot.index;
    this.#handed = snapshot.index;
    this.commit = snapshot.index;
  }

  /** Forgets entries in memory that are saved and applied, but for the newest `keep` allows. */
  trim(keep: boolean): void {
    const end = Math.min(this.applied, this.#saved);
    const bytesMax = keep ? this.#cacheBytesMax : 0;
    const countMax = keep ? CACHE_ENTRIES_MAX : 0;
    while (
      this.#first <= end &&
      (this.#cacheBytes > bytesMax || this.#lastIndex - this.#first >= countMax)
    ) {
      this.#cacheBytes -= this.#at(this.#first).data.length;
      this.#cache[this.#head] = undefined;
      this.#head++;
      this.#first++;
    }
    if (this.#head > 256 && this.#head * 2 > this.#cache.length) {
      this.#cache = this.#cache.slice(this.#head);
      this.#head = 0;
    }
  }

  #truncate(from: number): void {
    assert(from > this.commit, "A committed entry would be replaced: two leaders or a damaged log");
    const before = this.term(from - 1);
    assert(before !== undefined, "The entry before a conflict is not known");
    if (from <= this.#first) {
      this.#cache = [];
      this.#head = 0;
      this.#cacheBytes = 0;
      this.#first = from;
    } else {
      for (let i = from; i <= this.#lastIndex; i++) this.#cacheBytes -= this.#at(i).data.length;
      this.#cache.length = this.#head + (from - this.#first);
    }
    this.#lastIndex = from - 1;
    this.#lastTerm = before;
    this.#saved = Math.min(this.#saved, from - 1);
    this.#handed = Math.min(this.#handed, from - 1);
  }

  #at(index: number): Entry {
    return this.#cache[this.#head + index - this.#first] as Entry;
  }

  #slice(lo: number, hi: number, bytesMax: number): readonly Entry[] {
    let end = lo + 1;
    let bytes = this.#at(lo).data.length;
    while (end < hi) {
      bytes += this.#at(end).data.length;
      if (bytes > bytesMax) break;
      end++;
    }
    const at = this.#head - this.#first;
    return this.#cache.slice(at + lo, at + end) as Entry[];
  }
}

/** Entries kept in memory whatever their size, so that empty ones cannot pile up. */
const CACHE_ENTRIES_MAX = 65_536;

export const NO_ENTRIES: readonly Entry[] = Object.freeze([]);
