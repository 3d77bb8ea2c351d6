/** What the main thread and the snapshot worker tell each other. */

/** What the thread is to do: copy the state, or check a copy that has been received. */
export type SnapshotTask =
  | { readonly kind: "copy"; readonly source: string; readonly target: string }
  | { readonly kind: "check"; readonly path: string; readonly sha256: Uint8Array };

export interface SnapshotWorkerData {
  readonly task: SnapshotTask;
  /** Two 32-bit words: 1 in the first asks the thread to stop, 1 in the second says that it is done. */
  readonly control: SharedArrayBuffer;
}

/** What a state.db says of itself. */
export interface StateContent {
  readonly index: number;
  readonly term: number;
  /** As `encodeConfState` wrote it; undefined if the state holds none. */
  readonly confState: Uint8Array | undefined;
}

export type SnapshotReply =
  | {
      readonly kind: "copied";
      readonly bytes: number;
      readonly sha256: Uint8Array;
      readonly content: StateContent;
    }
  | { readonly kind: "checked"; readonly content: StateContent }
  /** The bytes are not the ones that were offered. */
  | { readonly kind: "wrong-hash" }
  /** They are, and yet no state; `problem` in words. */
  | { readonly kind: "no-state"; readonly problem: string }
  /** They are a state of a newer or an older schema. */
  | { readonly kind: "other-schema"; readonly version: number }
  | { readonly kind: "stopped" }
  | { readonly kind: "failed"; readonly code: string | undefined; readonly message: string };

/** Positions in the control words. */
export const STOP_WORD = 0;
export const ENDED_WORD = 1;
