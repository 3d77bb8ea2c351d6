import { CofferError } from "../../src/errors.ts";
import type { SnapshotOffer, SnapshotStore } from "../../src/node/mod.ts";
import type { SnapshotMeta } from "../../src/core/raft/mod.ts";
import { decodeConfState } from "../../src/wire/mod.ts";
import { type SavedState, loadState, saveState } from "../fsm/memory-backend.ts";
import { sha256 } from "../fsm/fixtures.ts";
import { type Disk, resetLog } from "./fake-disk.ts";

/** What a snapshot's bytes stand for: the states themselves never leave the process. */
export type Snapshots = Map<string, SavedState>;

/** Bytes of every fake snapshot: several chunks. */
const SNAPSHOT_BYTES = 600_000;

/** Snapshots of states in memory. All members of a cluster share `known`. */
export function createFakeSnapshots(disk: Disk, known: Snapshots): SnapshotStore {
  const nameOf = (offer: SnapshotOffer): string => Buffer.from(offer.sha256).toString("hex");
  let finished: { readonly index: number; readonly name: string } | undefined;
  return {
    create: async (minIndex) => {
      const [index, term] = [disk.backend.appliedIndex(), disk.backend.appliedTerm()];
      const confState = disk.backend.confState();
      if (confState === undefined || index < minIndex) throw new CofferError("storage-failed");
      const bytes = new Uint8Array(SNAPSHOT_BYTES);
      new DataView(bytes.buffer).setFloat64(0, index);
      new DataView(bytes.buffer).setFloat64(8, known.size);
      const meta: SnapshotMeta = { index, term, confState: decodeConfState(confState) };
      const offer = { meta, bytes: bytes.length, sha256: sha256(bytes) };
      known.set(nameOf(offer), saveState(disk.backend));
      return {
        ...offer,
        read: async (offset, length) => bytes.subarray(offset, offset + length),
        release: () => undefined,
      };
    },
    receive: async (offer) => {
      const parts: Uint8Array[] = [];
      return {
        have: 0,
        write: async (_, data) => void parts.push(data),
        finish: async () => {
          const bytes = Buffer.concat(parts);
          if (Buffer.compare(sha256(bytes), offer.sha256) !== 0) throw new CofferError("corrupt");
          finished = { index: offer.meta.index, name: nameOf(offer) };
        },
        suspend: async () => undefined,
        discard: async () => undefined,
      };
    },
    install: (meta) => {
      const state = finished?.index === meta.index ? known.get(finished.name) : undefined;
      if (state === undefined) throw new Error("No such snapshot has arrived");
      loadState(disk.backend, state);
      resetLog(disk, meta);
    },
  };
}
