import assert from "node:assert/strict";
import { test } from "node:test";
import { type Raft, type RaftConfig, type ReadState, createRaft } from "../../src/core/raft/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import { createMemoryLog, type MemoryLog, NO_CONF } from "./memory-log.ts";

const ONE = memberId(1n);

function start(log: MemoryLog, more: Partial<RaftConfig> = {}): Raft {
  return createRaft({
    id: ONE,
    log,
    hardState: log.hardState,
    confState: { ...NO_CONF, voters: [ONE] },
    applied: log.firstIndex - 1,
    random: createPrng(1),
    electionTicks: 10,
    heartbeatTicks: 1,
    ...more,
  });
}

interface Done {
  readonly applied: string[];
  readonly reads: ReadState[];
  readonly sent: number;
}

/** Does all work there is, as the simplest node would. */
function run(raft: Raft, log: MemoryLog): Done {
  const applied: string[] = [];
  const reads: ReadState[] = [];
  let sent = 0;
  for (let ready = raft.ready(); ready !== undefined; ready = raft.ready()) {
    log.save(ready);
    sent += ready.messages.length + ready.messagesAfterSave.length;
    reads.push(...ready.readStates);
    for (const entry of ready.committedEntries) {
      if (entry.kind === "conf-change") raft.applyConfChange(entry);
      else applied.push(`${entry.index}/${entry.term} ${Buffer.from(entry.data).toString()}`);
    }
    raft.advance();
  }
  return { applied, reads, sent };
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

test("the only voter leads without waiting for time to pass", () => {
  const log = createMemoryLog();
  const raft = start(log);
  const { applied, sent } = run(raft, log);
  assert.equal(raft.role, "leader");
  assert.deepEqual(applied, ["1/1 "]);
  assert.equal(sent, 0);
  assert.deepEqual(log.hardState.vote, ONE);
});

test("the term and the vote are saved before the only voter leads", () => {
  const log = createMemoryLog();
  const raft = start(log);
  const ready = raft.ready();
  assert.equal(raft.role, "candidate");
  assert.deepEqual(ready?.hardState, { term: 1, vote: ONE, commit: 0 });
  assert.equal(ready.mustSync, true);
});

test("a disk slower than the election timeout does not restart the only voter's election", () => {
  const log = createMemoryLog();
  const raft = start(log);
  const ready = raft.ready();
  assert.ok(ready?.save !== undefined);
  for (let i = 0; i < 100; i++) raft.tick();
  raft.campaign();
  log.save(ready);
  raft.saved(ready.save);
  assert.deepEqual([raft.role, raft.term], ["leader", 1]);
});

test("a proposal is applied only after its save was confirmed", () => {
  const log = createMemoryLog();
  const raft = start(log);
  run(raft, log);
  assert.deepEqual(raft.propose(bytes("a")), { kind: "appended", index: 2, term: 1 });
  const ready = raft.ready();
  assert.ok(ready?.save !== undefined);
  assert.deepEqual(
    ready.entries.map((entry) => entry.index),
    [2],
  );
  assert.deepEqual(ready.committedEntries, []);
  assert.equal(raft.ready(), undefined);
  log.save(ready);
  raft.saved(ready.save);
  assert.deepEqual(run(raft, log).applied, ["2/1 a"]);
});

test("several saves may be under way, and are confirmed in order", () => {
  const log = createMemoryLog();
  const raft = start(log);
  run(raft, log);
  raft.propose(bytes("a"));
  const first = raft.ready();
  raft.propose(bytes("b"));
  const second = raft.ready();
  assert.ok(first?.save !== undefined && second?.save !== undefined);
  assert.deepEqual(
    second.entries.map((entry) => entry.index),
    [3],
  );
  log.save(first);
  raft.saved(first.save);
  assert.equal(raft.commit, 2);
  log.save(second);
  raft.saved(second.save);
  assert.equal(raft.commit, 3);
  assert.deepEqual(run(raft, log).applied, ["2/1 a", "3/1 b"]);
});

test("a read waits for an entry of the leader's own term, then is answered at once", () => {
  const log = createMemoryLog();
  const raft = start(log);
  assert.deepEqual(raft.readIndex(1), {
    kind: "refused",
    code: "no-leader",
    reason: "no leader is known",
  });
  let ready = raft.ready();
  assert.ok(ready !== undefined);
  log.save(ready);
  raft.advance();
  assert.equal(raft.role, "leader");
  assert.deepEqual(raft.readIndex(2), { kind: "accepted" });
  ready = raft.ready();
  assert.deepEqual(ready?.readStates, []);
  log.save(ready);
  raft.advance();
  assert.deepEqual(run(raft, log).reads, [{ ctx: 2, index: 1 }]);
  raft.readIndex(3);
  assert.deepEqual(raft.ready()?.readStates, [{ ctx: 3, index: 1 }]);
});

test("a restart finds log, term and vote again and applies what was not applied", () => {
  const log = createMemoryLog();
  let raft = start(log);
  run(raft, log);
  for (const text of ["a", "b", "c"]) raft.propose(bytes(text));
  run(raft, log);
  log.compact(2);
  raft = start(log, { applied: 3 });
  assert.deepEqual(run(raft, log).applied, ["4/1 c", "5/2 "]);
  assert.equal(raft.term, 2);
  raft.propose(bytes("d"));
  assert.deepEqual(run(raft, log).applied, ["6/2 d"]);
});

test("a saved entry whose commit was never saved is committed after the restart", () => {
  const log = createMemoryLog();
  let raft = start(log);
  run(raft, log);
  raft.propose(bytes("a"));
  const ready = raft.ready();
  assert.ok(ready !== undefined);
  log.save(ready);
  // The crash: the save reached the disk, its confirmation nobody.
  raft = start(log, { applied: 1 });
  assert.deepEqual(run(raft, log).applied, ["2/1 a", "3/2 "]);
});

test("an entry whose save was lost in a crash is gone, and was never applied", () => {
  const log = createMemoryLog();
  let raft = start(log);
  run(raft, log);
  raft.propose(bytes("a"));
  assert.deepEqual(raft.ready()?.committedEntries, []);
  raft = start(log, { applied: 1 });
  assert.deepEqual(run(raft, log).applied, ["2/2 "]);
});

test("a start that would lose applied entries is refused", () => {
  const log = createMemoryLog();
  assert.throws(() => start(log, { applied: 7 }), /More was applied than the saved log holds/);
  const compacted = createMemoryLog({ index: 5, term: 1, confState: NO_CONF });
  assert.throws(() => start(compacted, { applied: 3 }), /not applied have been compacted/);
});

test("proposals past the bound of uncommitted bytes are refused until some are committed", () => {
  const log = createMemoryLog();
  const raft = start(log, { limits: { uncommittedBytesMax: 10 } });
  run(raft, log);
  assert.equal(raft.propose(new Uint8Array(8)).kind, "appended");
  assert.deepEqual(raft.propose(new Uint8Array(8)), {
    kind: "refused",
    code: "too-many-requests",
    reason: "too many bytes wait to be committed",
  });
  run(raft, log);
  assert.equal(raft.propose(new Uint8Array(8)).kind, "appended");
});

test("one proposal larger than the bound is still taken when nothing else waits", () => {
  const log = createMemoryLog();
  const raft = start(log, { limits: { uncommittedBytesMax: 10 } });
  run(raft, log);
  assert.equal(raft.propose(new Uint8Array(100)).kind, "appended");
});

test("what is committed is handed out in slices of bounded size", () => {
  const log = createMemoryLog();
  const raft = start(log, { limits: { applyBytesMax: 10 } });
  run(raft, log);
  for (let i = 0; i < 4; i++) raft.propose(new Uint8Array(4));
  let ready = raft.ready();
  assert.ok(ready !== undefined);
  log.save(ready);
  raft.advance();
  const sizes: number[] = [];
  for (ready = raft.ready(); ready !== undefined; ready = raft.ready()) {
    sizes.push(ready.committedEntries.length);
    raft.advance();
  }
  assert.deepEqual(sizes, [2, 2]);
});
