import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type ConfState, type Entry, NO_MEMBER } from "../../src/core/raft/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import { CofferError, type ErrorCode } from "../../src/errors.ts";
import type { Cancel, Scheduler } from "../../src/stdx/mod.ts";
import {
  type FileSnapshotStore,
  type RaftLog,
  type SnapshotStoreOptions,
  type StateStore,
  completeInstall,
  openRaftLog,
  openSnapshotStore,
  openStateStore,
} from "../../src/storage/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { encodeConfState } from "../../src/wire/mod.ts";
import { type Machine, TENANT, machineOn, put, range } from "../fsm/fixtures.ts";
import { TEST_MAC } from "./test-mac.ts";

/** What the tests of snapshots share: members as far as they are files. */

export const CONF: ConfState = {
  voters: [memberId(1n), memberId(2n)],
  learners: [memberId(3n)],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

/** A scheduler whose time stands still until `pass` is called. */
export interface ManualScheduler extends Scheduler {
  /** Runs what is due within `ms` from now. */
  pass(ms: number): void;
}

export function manualScheduler(): ManualScheduler {
  let now = 0;
  const due: { at: number; every: number | undefined; work: () => void }[] = [];
  const add = (at: number, every: number | undefined, work: () => void): Cancel => {
    const item = { at, every, work };
    due.push(item);
    return () => {
      const place = due.indexOf(item);
      if (place >= 0) due.splice(place, 1);
    };
  };
  return {
    soon: (work) => void add(now, undefined, work),
    after: (ms, work) => add(now + ms, undefined, work),
    every: (ms, work) => add(now + ms, ms, work),
    pass(ms) {
      const end = now + ms;
      for (;;) {
        const next = due.toSorted((a, b) => a.at - b.at)[0];
        if (next === undefined || next.at > end) break;
        now = next.at;
        due.splice(due.indexOf(next), 1);
        if (next.every !== undefined) {
          next.at += next.every;
          due.push(next);
        }
        next.work();
      }
      now = end;
    },
  };
}

export interface FileMember {
  readonly dataDir: string;
  readonly raftLog: RaftLog;
  readonly store: StateStore;
  readonly machine: Machine;
  readonly snapshots: FileSnapshotStore;
  readonly scheduler: ManualScheduler;
  /** Whether the start had an install to finish. */
  readonly completed: boolean;
  /** Names of the files in the folder of snapshots. */
  files(): readonly string[];
  /** Puts `count` more keys of about `bytes` each. */
  fill(count: number, bytes?: number): void;
  /** All keys and values, and the hash chain, as one hash. */
  digest(): string;
  close(): void;
}

export type MemberOptions = Partial<
  Pick<SnapshotStoreOptions, "volume" | "commit" | "beforeStep">
> & { readonly dataDir?: string; readonly confState?: ConfState | undefined };

/** A folder that goes with the test. */
export function newFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "coffer-snapshot-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Opens a member's files as a start does. */
export function openMember(context: TestContext, options: MemberOptions = {}): FileMember {
  const member = openFiles({ dataDir: newFolder(context), ...options });
  context.after(() => member.close());
  return member;
}

export function openFiles(options: MemberOptions & { readonly dataDir: string }): FileMember {
  const { dataDir } = options;
  const confState = "confState" in options ? options.confState : CONF;
  const log = silentLogger;
  const raftLog = openRaftLog({ mac: TEST_MAC, path: join(dataDir, "raft.db"), log });
  try {
    const completed = completeInstall({ dataDir, raftLog, mac: TEST_MAC, log });
    const store = openStateStore({
      mac: TEST_MAC,
      path: join(dataDir, "state.db"),
      commit: "later",
    });
    const machine = machineOn(store);
    if (confState !== undefined && store.confState() === undefined) {
      store.transaction(() => store.setConfState(encodeConfState(confState)));
    }
    const scheduler = manualScheduler();
    const { volume, beforeStep, commit = () => machine.fsm.flush() } = options;
    const snapshots = openSnapshotStore({
      dataDir,
      store,
      raftLog,
      log,
      scheduler,
      commit,
      ...(volume && { volume }),
      ...(beforeStep && { beforeStep }),
    });
    const parts = { dataDir, raftLog, store, machine, snapshots, scheduler, completed };
    return { ...parts, ...toolsOf(parts) };
  } catch (error) {
    raftLog.close();
    throw error;
  }
}

function toolsOf({
  dataDir,
  raftLog,
  store,
  machine,
  snapshots,
}: Pick<FileMember, "dataDir" | "raftLog" | "store" | "machine" | "snapshots">): Pick<
  FileMember,
  "files" | "fill" | "digest" | "close"
> {
  let isClosed = false;
  return {
    files: () => readdirSync(join(dataDir, "snapshots")).toSorted(),
    fill(count, bytes = 100) {
      const { fsm } = machine;
      for (let i = 0; i < count; i++) {
        const index = fsm.appliedIndex + 1;
        const value = createHash("sha256").update(String(index)).digest("hex");
        const text = value.repeat(Math.ceil(bytes / 64)).slice(0, bytes);
        machine.run({ kind: "put", request: put(`key-${index}`, text) });
      }
      fsm.flush();
    },
    digest() {
      machine.fsm.flush();
      const hash = createHash("sha256");
      const read = machine.fsm.reader.range(TENANT, range("k", "l"));
      for (const { key, value } of read.ok ? read.value.kvs : []) hash.update(key).update(value);
      const chain = machine.fsm.chainAt(TENANT, 0);
      hash.update(chain?.at.hash ?? new Uint8Array()).update(String(machine.fsm.appliedIndex));
      return hash.digest("hex");
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      snapshots.close();
      store.close();
      raftLog.close();
    },
  };
}

/** Fills the log with entries of `term` up to `lastIndex`, all of them committed up to `commit`. */
export function fillLog(
  { raftLog }: Pick<FileMember, "raftLog">,
  to: { readonly lastIndex: number; readonly commit: number; readonly term: number },
): void {
  const entries: Entry[] = [];
  for (let index = raftLog.lastIndex + 1; index <= to.lastIndex; index++) {
    entries.push({ index, term: to.term, kind: "normal", data: new Uint8Array([index % 256]) });
  }
  raftLog.save({ hardState: { term: to.term, vote: NO_MEMBER, commit: to.commit }, entries });
}

type Outgoing = Awaited<ReturnType<FileSnapshotStore["create"]>>;
type Incoming = Awaited<ReturnType<FileSnapshotStore["receive"]>>;

/** Carries the bytes from `from` on over, up to `upTo`. */
export async function carry(
  out: Outgoing,
  into: Incoming,
  upTo: number = out.bytes,
): Promise<void> {
  for (let offset = into.have; offset < upTo;) {
    const data = await out.read(offset, Math.min(64 * 1024, upTo - offset));
    await into.write(offset, data);
    offset += data.length;
  }
}

/** All of the leader's state, received and checked by the follower, not installed. */
export async function transfer(leader: FileMember, follower: FileMember): Promise<Outgoing> {
  const out = await leader.snapshots.create(leader.machine.fsm.appliedIndex);
  const into = await follower.snapshots.receive(out);
  await carry(out, into);
  await into.finish();
  out.release();
  return out;
}

/** The error that refuses the work; fails if it is none of ours or has another code. */
export async function refusal(work: Promise<unknown>, code: ErrorCode): Promise<CofferError> {
  try {
    await work;
  } catch (failure) {
    assert.ok(failure instanceof CofferError, String(failure));
    assert.equal(failure.code, code, failure.message);
    return failure;
  }
  return assert.fail("nothing was refused");
}

export function sha256Of(path: string): Buffer {
  return createHash("sha256").update(readFileSync(path)).digest();
}
