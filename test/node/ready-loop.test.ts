import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { AppliedBatch } from "../../src/core/fsm/mod.ts";
import {
  type ConfState,
  type Entry,
  type Raft,
  createRaft,
  encodeConfChange,
} from "../../src/core/raft/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import { ReadyLoop } from "../../src/node/ready-loop.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import { createMemoryLog } from "../raft/memory-log.ts";
import { noSpace } from "./fake-disk.ts";

/** What raft hands out is done in its order, whatever comes between two pieces of it. */

const ME = memberId(1n);
const LEADER = memberId(2n);
const CONF: ConfState = {
  voters: [ME, LEADER, memberId(3n)],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};
const ADD_LEARNER = encodeConfChange({
  transition: "auto",
  changes: [{ type: "add-learner", id: memberId(4n) }],
  context: new Uint8Array(0),
});
const SNAPSHOT = { index: 50, term: 1, confState: CONF };

function entry(index: number, data?: Uint8Array): Entry {
  const kind = data === undefined ? "normal" : "conf-change";
  return { index, term: 1, kind, data: data ?? new Uint8Array(0) };
}

describe("a snapshot that comes while a change of members is handed out and not applied", () => {
  let raft: Raft;
  let loop: ReadyLoop;
  let isFull: boolean;
  let done: string[];

  beforeEach(() => {
    isFull = false;
    done = [];
    const log = createMemoryLog();
    const none = { term: 0, vote: memberId(0n), commit: 0 };
    const ticks = { electionTicks: 10, heartbeatTicks: 1 };
    const random = createPrng(1);
    raft = createRaft({
      id: ME,
      log,
      hardState: none,
      applied: 0,
      confState: CONF,
      random,
      ...ticks,
    });
    loop = new ReadyLoop({
      raft,
      log: {
        ...log,
        save: ({ hardState, entries }) => {
          if (isFull) throw noSpace();
          log.save({ hardState, snapshot: undefined, entries });
        },
      },
      applier: {
        prepare: (entries) => {
          for (const one of entries) if (one.kind === "conf-change") raft.applyConfChange(one);
          const committed = entries.map(({ index, term }) => ({
            index,
            term,
            time: 0,
            leaseTime: 0,
            proposals: [],
          }));
          const of = { headers: [], stampedIndex: undefined, passedOver: new Set<number>() };
          return { entries: committed, ...of, bytes: 0 };
        },
        apply: ({ entries }) => {
          const last = entries.at(-1)?.index ?? 0;
          raft.applied(last);
          done.push(`applied up to ${last}`);
          return {} as AppliedBatch;
        },
      },
      clock: { now: () => 0 },
      install: (meta) => {
        log.save({ hardState: log.hardState, snapshot: meta, entries: [] });
        done.push(`installed ${meta.index}`);
      },
      send: () => undefined,
      onSending: () => undefined,
      onConfChange: () => undefined,
      onLeadership: () => undefined,
      onReads: () => undefined,
      onSaved: () => undefined,
      onApplied: () => undefined,
      onBlocked: () => done.push("full"),
      onUnblocked: () => undefined,
    });
    append(0, [entry(1), entry(2, ADD_LEARNER)], 0);
    loop.drain();
  });

  function append(prevIndex: number, entries: readonly Entry[], commit: number): void {
    const place = { prevIndex, prevTerm: prevIndex === 0 ? 0 : 1 };
    raft.step({ kind: "append", from: LEADER, to: ME, term: 1, ...place, entries, commit });
  }

  function snapshot(): void {
    const message = {
      kind: "snapshot",
      from: LEADER,
      to: ME,
      term: 1,
      snapshot: SNAPSHOT,
    } as const;
    loop.whenDone(() => raft.step(message));
  }

  test("takes its place when that is applied, which waits for an acknowledgement to leave", () => {
    append(2, [entry(3)], 2);
    loop.drain();
    assert.deepEqual(done, []);
    snapshot();
    loop.drain();
    assert.deepEqual(done, ["applied up to 2", "installed 50"]);
  });

  test("takes its place when that is applied, which waits for room on the disk", () => {
    isFull = true;
    append(2, [entry(3)], 2);
    loop.drain();
    snapshot();
    loop.retry();
    loop.drain();
    assert.deepEqual(done, ["full", "full"]);
    isFull = false;
    loop.retry();
    loop.drain();
    loop.drain();
    assert.deepEqual(done, ["full", "full", "applied up to 2", "installed 50"]);
  });
});
