import { createHash } from "node:crypto";
import { deserialize, serialize } from "node:v8";
import type { SnapshotMeta } from "../../src/core/raft/mod.ts";
import { CofferError } from "../../src/errors.ts";
import type {
  IncomingSnapshot,
  OutgoingSnapshot,
  SnapshotOffer,
  SnapshotStore,
} from "../../src/node/mod.ts";
import { decodeConfState } from "../../src/wire/mod.ts";
import type { SavedState } from "../fsm/memory-backend.ts";
import type { Disk } from "./disk.ts";

export interface SnapshotDiskDeps {
  readonly disk: Disk;
  /** Waits as the disk does; never ends once the process is dead. */
  work(ms: number): Promise<void>;
  /** Called at each point at which a crash may come. */
  gate(what: string): void;
  /** Commits the state. */
  commit(): void;
  /** Bytes that a snapshot has beside the state, so that it is several chunks. */
  readonly padding: number;
  /** A mutant's: whether the log is reset when a snapshot is installed. */
  readonly resetsLog: boolean;
  onInstalled(meta: SnapshotMeta): void;
}

/** Snapshots of the state on a member's disk. */
export function createSnapshotStore(deps: SnapshotDiskDeps): SnapshotStore {
  const { disk, work, gate, padding } = deps;
  let newest: (SnapshotOffer & { readonly data: Uint8Array }) | undefined;
  let open: object | undefined;

  const outgoing = (): OutgoingSnapshot => {
    const { data, ...offer } = newest!;
    return {
      ...offer,
      read: async (offset, length) => {
        await work(1);
        return data.slice(offset, offset + length);
      },
      release: () => undefined,
    };
  };

  return {
    async create(minIndex) {
      if (newest !== undefined && newest.meta.index >= minIndex) return outgoing();
      deps.commit();
      if (disk.isFull) throw new CofferError("no-space");
      const saved = disk.committed;
      await work(5);
      const data = bytesOf(saved, padding);
      const sha256 = createHash("sha256").update(data).digest();
      newest = { meta: metaOf(saved), bytes: data.length, sha256, data };
      return outgoing();
    },

    async receive(offer) {
      const sha256 = Buffer.from(offer.sha256).toString("hex");
      await work(1);
      if (disk.incoming?.sha256 !== sha256) {
        disk.incoming = { sha256, data: new Uint8Array(offer.bytes), size: 0, synced: 0 };
      }
      const token = {};
      open = token;
      return incoming({ ...deps, isOpen: () => open === token, end: () => (open = undefined) });
    },

    install(meta) {
      const saved = disk.received;
      if (saved?.tables.applied.index !== meta.index)
        throw new Error("No such snapshot was received");
      gate("install: before the point of no return");
      disk.next = saved;
      gate("install: before the log is reset");
      if (deps.resetsLog) disk.log.reset({ index: meta.index, term: meta.term });
      gate("install: before the state is replaced");
      disk.replaceState(saved);
      newest = undefined;
      deps.onInstalled(meta);
    },
  };
}

function incoming(deps: SnapshotDiskDeps & { isOpen(): boolean; end(): void }): IncomingSnapshot {
  const { disk, work, isOpen, end } = deps;
  const file = disk.incoming!;
  const check = (): void => {
    if (!isOpen()) throw new CofferError("canceled");
    if (disk.isFull) throw new CofferError("no-space");
  };
  return {
    have: file.size,
    async write(offset, data) {
      check();
      if (offset !== file.size) throw new Error("A write with a gap, or twice");
      file.data.set(data, offset);
      file.size += data.length;
      await work(1);
      check();
    },
    async finish() {
      check();
      await work(3);
      check();
      file.synced = file.size;
      end();
      disk.incoming = undefined;
      const found = createHash("sha256").update(file.data).digest("hex");
      if (found !== file.sha256) throw new CofferError("corrupt");
      disk.received = savedOf(file.data);
    },
    suspend: () => Promise.resolve(end()),
    discard() {
      disk.incoming = undefined;
      return Promise.resolve(end());
    },
  };
}

function metaOf({ tables }: SavedState): SnapshotMeta {
  const { applied, confState } = tables;
  if (confState === undefined) throw new CofferError("storage-failed");
  return { index: applied.index, term: applied.term, confState: decodeConfState(confState) };
}

/** Four bytes with the size of the state, the state, and the padding. */
function bytesOf(saved: SavedState, padding: number): Uint8Array {
  const content = serialize(saved);
  const bytes = new Uint8Array(4 + content.length + padding);
  new DataView(bytes.buffer).setUint32(0, content.length);
  bytes.set(content, 4);
  return bytes;
}

function savedOf(bytes: Uint8Array): SavedState {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  return deserialize(bytes.subarray(4, 4 + size)) as SavedState;
}
