import type { FsmBackend } from "../../src/core/fsm/mod.ts";
import { CofferError } from "../../src/errors.ts";
import {
  type SavedState,
  createMemoryBackend,
  loadState,
  saveState,
} from "../fsm/memory-backend.ts";
import { LogDisk } from "./log-disk.ts";

/** What a member's data folder holds: it outlives the member's processes. */

/** A snapshot that is being received. */
export interface PartialFile {
  readonly sha256: string;
  readonly data: Uint8Array;
  size: number;
  /** All before it was fsynced. */
  synced: number;
}

const EMPTY: SavedState = saveState(createMemoryBackend());

export class Disk {
  readonly log: LogDisk = new LogDisk();
  readonly state: FsmBackend = createMemoryBackend();
  /** What the death of the process leaves of the state. */
  committed: SavedState = EMPTY;
  /** What a loss of power leaves. */
  durable: SavedState = EMPTY;
  incoming: PartialFile | undefined;
  /** Checked, and complete. */
  received: SavedState | undefined;
  /** `state.db.next`: the install that is under way. */
  next: SavedState | undefined;
  isFull = false;
  /** Milliseconds that a save takes. */
  saveMs = 0;
  #isDirty = false;

  /** The process ends without a word. */
  crash(power: boolean, keep: (bytes: number) => number): void {
    this.log.crash();
    if (power) this.committed = this.durable;
    loadState(this.state, this.committed);
    this.#isDirty = false;
    this.received = undefined;
    const file = this.incoming;
    if (file !== undefined && power) file.size = file.synced + keep(file.size - file.synced);
  }

  /** Makes what is committed safe from a loss of power; answers its applied index. */
  checkpoint(): number {
    this.durable = this.committed;
    return this.durable.tables.applied.index;
  }

  /** What a start does before it opens the state: finishes an install that was cut short. */
  completeInstall(): boolean {
    const { next } = this;
    if (next === undefined) return false;
    const { index, term } = next.tables.applied;
    const base = this.log.log.snapshot;
    if (base.index !== index || base.term !== term) this.log.reset({ index, term });
    this.replaceState(next);
    return true;
  }

  replaceState(saved: SavedState): void {
    this.next = undefined;
    this.received = undefined;
    this.committed = saved;
    this.durable = saved;
    loadState(this.state, saved);
    this.#isDirty = false;
  }

  wipe(): void {
    this.log.wipe();
    this.replaceState(EMPTY);
    this.incoming = undefined;
  }

  /** The state as one life of the member has it; `gate` is called before anything is written. */
  backend(gate: (what: string) => void): FsmBackend {
    const { state } = this;
    return {
      ...state,
      transaction: (work) => {
        gate("state write");
        try {
          const result = state.transaction(work);
          if (this.isFull) throw new CofferError("no-space");
          this.#isDirty = true;
          return result;
        } catch (failure) {
          // As SQLite's: the open transaction holds all that was not committed.
          this.#lose();
          throw failure;
        }
      },
      flush: () => {
        if (!this.#isDirty) return;
        gate("state commit");
        if (this.isFull) {
          this.#lose();
          throw new CofferError("no-space");
        }
        this.committed = saveState(state);
        this.#isDirty = false;
      },
    };
  }

  #lose(): void {
    loadState(this.state, this.committed);
    this.#isDirty = false;
  }
}
