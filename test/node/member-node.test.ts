import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createFsm } from "../../src/core/fsm/mod.ts";
import { NO_LEASE, type Proposal, leaseId, memberId } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { decodeBatch } from "../../src/wire/mod.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";
import { TENANT, proposal, put, range, sha256 } from "../fsm/fixtures.ts";
import {
  type Fake,
  HEARTBEAT_MS,
  ME,
  REQUEST_TIMEOUT_MS,
  ending,
  endingSoon,
  makeTenant,
  proposePut,
  startFake,
} from "./fakes.ts";
import { createDisk, noSpace } from "./fake-disk.ts";

function revisionOf({ node }: Fake): number {
  return node.state.tenant(TENANT)?.revision ?? 0;
}

/** Ends of leases that were saved. */
function revokesIn({ saves }: Fake): readonly Proposal[] {
  return saves
    .flat()
    .flatMap(({ data }) => (data.length === 0 ? [] : decodeBatch(data).proposals))
    .filter(({ command }) => command.kind === "lease-revoke");
}

test("group commit: what is proposed in one turn is one entry, one save, one apply", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  const { saves, applies } = fake;
  const [savesBefore, appliesBefore] = [saves.length, applies.length];
  const puts = Array.from({ length: 100 }, (_, n) => proposePut(fake, `k${n}`));
  assert.equal(saves.length, savesBefore, "something was saved before the turn ended");
  const results = await Promise.all(puts);
  assert.equal(saves.length, savesBefore + 1);
  assert.equal(saves.at(-1)?.length, 1);
  assert.equal(applies.length, appliesBefore + 1);
  assert.equal(decodeBatch(saves.at(-1)?.[0]?.data ?? new Uint8Array()).proposals.length, 100);
  assert.deepEqual(
    results.map((result) => result.kind === "put" && result.revision),
    Array.from({ length: 100 }, (_, n) => n + 2),
  );
});

test("a batch too large for one entry becomes several in order, in one save", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  const before = fake.saves.length;
  const puts = ["a", "b", "c"].map((name) => proposePut(fake, name, "v".repeat(200_000)));
  const results = await Promise.all(puts);
  assert.equal(fake.saves.length, before + 1);
  assert.equal(fake.saves.at(-1)?.length, 3);
  const revisions = results.map((result) => result.kind === "put" && result.revision);
  assert.deepEqual(revisions, [2, 3, 4]);
});

test("too many proposals at once are refused, the others are answered", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  const endings = await Promise.all(
    Array.from({ length: 20_010 }, () => ending(proposePut(fake, "k"))),
  );
  assert.equal(endings.filter((one) => one === "put").length, 20_000);
  assert.equal(endings.filter((one) => one === "too-many-requests").length, 10);
});

test("a full disk refuses writes, allows reads, and is over without a restart", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  await proposePut(fake, "k", "old");
  fake.disk.saveFails = noSpace();
  const held = proposePut(fake, "k", "held");
  assert.equal(await endingSoon(held), "waiting");
  assert.equal(await ending(proposePut(fake, "k", "refused")), "no-space");
  assert.equal(await ending(fake.node.readIndex()), "at once");
  assert.equal(fake.node.state.lastChange(TENANT, { lo: put("k", "").key, hi: undefined }), 2);
  await fake.advance(3 * HEARTBEAT_MS);
  assert.equal(await ending(proposePut(fake, "k", "refused")), "no-space");

  fake.disk.saveFails = undefined;
  await fake.advance(HEARTBEAT_MS);
  assert.equal(await endingSoon(held), "put");
  assert.equal(await ending(proposePut(fake, "k", "new")), "put");
  assert.equal(revisionOf(fake), 4);
  assert.deepEqual(fake.fatals, []);
});

test("a state that takes no more keeps the entry, which is applied once when there is room", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  fake.disk.applyFails = noSpace();
  const held = proposePut(fake, "k");
  assert.equal(await endingSoon(held), "waiting");
  assert.equal(await ending(proposePut(fake, "k")), "no-space");
  assert.equal(await ending(fake.node.readIndex()), "at once");
  const saves = fake.saves.length;
  fake.disk.applyFails = undefined;
  await fake.advance(HEARTBEAT_MS);
  assert.equal(await endingSoon(held), "put");
  assert.equal(fake.saves.length, saves, "the entry was saved twice");
  assert.equal(revisionOf(fake), 2);
  assert.deepEqual(fake.fatals, []);
});

test("started on a full disk, it refuses reads too: acknowledged entries may not be applied", async (context) => {
  const first = startFake(context);
  await makeTenant(first);
  await proposePut(first, "k");
  first.node.stop();
  // The state was lost with the crash; the log has it all.
  const disk = { ...first.disk, backend: createMemoryBackend(), applyFails: noSpace() };
  const fake = startFake(context, { disk });
  assert.equal(await ending(fake.node.readIndex()), "no-space");
  assert.equal(await ending(proposePut(fake, "k")), "no-space");
  Object.assign(disk, { applyFails: undefined });
  await fake.advance(HEARTBEAT_MS);
  assert.equal(await ending(fake.node.readIndex()), "at once");
  assert.equal(revisionOf(fake), 2);
  assert.equal(await ending(proposePut(fake, "k")), "put");
});

test("any other failure of the disk is fatal", async (context) => {
  const failures = [new Error("the disk is gone"), new CofferError("corrupt")];
  const cases = failures.flatMap((failure) => [
    { place: "saveFails", failure } as const,
    { place: "applyFails", failure } as const,
  ]);
  for (const { place, failure } of cases) {
    const fake = startFake(context);
    await makeTenant(fake);
    fake.disk[place] = failure;
    const work = proposePut(fake, "k");
    await turn();
    assert.deepEqual(fake.fatals, [failure]);
    fake.node.stop();
    assert.equal(await ending(work), "stopped");
  }
});

test("without a leader writes and reads wait until their time is over", async (context) => {
  const fake = startFake(context, { voters: [ME, memberId(2n), memberId(3n)] });
  const write = proposePut(fake, "k");
  const read = fake.node.readIndex();
  await fake.advance(REQUEST_TIMEOUT_MS - HEARTBEAT_MS);
  assert.equal(await endingSoon(read), "waiting");
  assert.equal(await endingSoon(write), "waiting");
  await fake.advance(HEARTBEAT_MS);
  assert.equal(await endingSoon(read), "timeout");
  assert.equal(await endingSoon(write), "timeout");
});

test("a write that is held up too long ends its wait; what it did shows later", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  fake.disk.saveFails = noSpace();
  const held = proposePut(fake, "k");
  await fake.advance(REQUEST_TIMEOUT_MS - HEARTBEAT_MS);
  assert.equal(await endingSoon(held), "waiting");
  await fake.advance(2 * HEARTBEAT_MS);
  assert.equal(await endingSoon(held), "timeout");
  fake.disk.saveFails = undefined;
  await fake.advance(HEARTBEAT_MS);
  assert.equal(revisionOf(fake), 2);
  assert.deepEqual(fake.fatals, []);
});

test("stop carries out what was proposed, and answers all that waits", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  const last = proposePut(fake, "k");
  fake.node.stop();
  assert.equal(await ending(last), "put");
  assert.equal(await ending(proposePut(fake, "k")), "stopped");
  assert.equal(await ending(fake.node.readIndex()), "stopped");
  fake.node.stop();
  const saves = fake.saves.length;
  await fake.advance(10 * HEARTBEAT_MS);
  assert.equal(fake.saves.length, saves);
});

test("stop with a full disk answers what is held", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  fake.disk.saveFails = noSpace();
  const held = proposePut(fake, "k");
  await turn();
  fake.node.stop();
  assert.equal(await ending(held), "stopped");
  assert.deepEqual(fake.fatals, []);
});

test("stop answers reads that wait for a leader", async (context) => {
  const fake = startFake(context, { voters: [ME, memberId(2n), memberId(3n)] });
  const read = fake.node.readIndex();
  await turn();
  fake.node.stop();
  assert.equal(await ending(read), "stopped");
});

test("leases end by the clock that was given, once, and by the log", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  const { node } = fake;
  const id = leaseId(5n);
  await node.propose(proposal({ kind: "lease-grant", id, ttl: 10 }));
  const request = { ...put("k", "v"), lease: id };
  await node.propose(proposal({ kind: "put", request }));
  const watch = node.openWatch(TENANT);
  const key = put("k", "").key;
  watch.create({
    key,
    rangeEnd: put("", "").key,
    startRevision: 0,
    progressNotify: false,
    noPut: false,
    noDelete: false,
    prevKv: false,
    watchId: 1,
    fragment: false,
  });
  assert.equal(watch.next()?.created, true);
  await fake.advance(9900);
  assert.equal(node.state.lease(TENANT, id, true)?.keys.length, 1);
  await fake.advance(2 * HEARTBEAT_MS);
  assert.equal(node.state.lease(TENANT, id, true), undefined);
  const found = node.state.range(TENANT, range("k"));
  assert.ok(found.ok && found.value.kvs.length === 0);
  assert.equal(watch.next()?.events[0]?.type, "delete");
  const revokes = revokesIn(fake);
  assert.equal(revokes.length, 1);
  assert.equal(revokes[0]?.actor.subject, "system:lease-expired");
  assert.notEqual(id, NO_LEASE);
});

test("a lease that ended during a pause of the process is revoked once", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  const id = leaseId(7n);
  const grant = { kind: "lease-grant", id, ttl: 1 } as const;
  await fake.node.propose(proposal(grant));
  fake.disk.now += 5000;
  fake.tick(3);
  await turn();
  await turn();
  assert.equal(fake.node.state.lease(TENANT, id, false), undefined);
  const revokes = revokesIn(fake);
  assert.equal(revokes.length, 1);
});

test("a lease whose end is held up by a full disk is proposed once", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  const id = leaseId(6n);
  const grant = { kind: "lease-grant", id, ttl: 1 } as const;
  await fake.node.propose(proposal(grant));
  fake.disk.saveFails = noSpace();
  await fake.advance(3000);
  fake.disk.saveFails = undefined;
  await fake.advance(500);
  assert.equal(fake.node.state.lease(TENANT, id, false), undefined);
  assert.equal(revokesIn(fake).length, 1);
});

test("a restart applies the tail of the log that the state lacks, and nothing twice", async (context) => {
  const first = startFake(context);
  await makeTenant(first);
  for (let n = 0; n < 10; n++) await proposePut(first, `k${n}`, `v${n}`);
  const whole = first.node.state.range(TENANT, range("k", "l"));
  const applied = first.applies.flat();
  first.node.stop();
  const last = first.disk.log.lastIndex;
  for (const known of [0, 5, last - 1, last]) {
    const backend = createMemoryBackend();
    const before = applied.filter(({ index }) => index <= known);
    createFsm(backend, sha256).apply(before);
    const log = createDisk().log;
    log.save({
      hardState: first.disk.log.hardState,
      snapshot: undefined,
      entries: first.disk.log.all(),
    });
    const fake = startFake(context, { disk: { ...createDisk(backend), log } });
    const replayed = fake.applies.flat().map(({ index }) => index);
    // The tail, and the entry with which every leader begins.
    const tail = Array.from({ length: last + 1 - known }, (_, n) => known + 1 + n);
    assert.deepEqual(replayed, tail, `from ${known}`);
    assert.deepEqual(fake.node.state.range(TENANT, range("k", "l")), whole);
    assert.equal(await ending(fake.node.readIndex()), "at once");
    fake.node.stop();
  }
});

test("the log is compacted behind what the state has made durable, and no further", async (context) => {
  const fake = startFake(context, { snapshotEntries: 50 });
  await makeTenant(fake);
  for (let n = 0; n < 1200; n++) await proposePut(fake, "k");
  fake.disk.durable = 1100;
  await fake.advance(HEARTBEAT_MS);
  assert.deepEqual(fake.compactions, [1050]);
  assert.equal(fake.disk.log.firstIndex, 1051);
  fake.disk.durable = 900;
  for (let n = 0; n < 100; n++) await proposePut(fake, "k");
  await fake.advance(HEARTBEAT_MS);
  assert.deepEqual(fake.compactions, [1050], "compacted past what is durable");
});

test("changed records are told to those who listen, after they can be read", async (context) => {
  const fake = startFake(context);
  await makeTenant(fake);
  const told: unknown[] = [];
  const end = fake.node.onRecords(({ scope, table }) => {
    told.push([scope, table, fake.node.state.records(scope, "policy").length]);
  });
  const change = { table: "policy", id: "x", data: new Uint8Array(1), expect: "any" } as const;
  await fake.node.propose(proposal({ kind: "records", changes: [change] }));
  end();
  await fake.node.propose(proposal({ kind: "records", changes: [{ ...change, id: "y" }] }));
  assert.deepEqual(told, [[TENANT, "policy", 1]]);
});
