import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Command, type Proposal, key, leaseId } from "../../src/core/types/mod.ts";
import { type Fsm, createFsm } from "../../src/core/fsm/mod.ts";
import { openStateStore } from "../../src/storage/mod.ts";
import {
  type Machine,
  OTHER,
  TENANT,
  del,
  entryOf,
  machineOn,
  put,
  sha256,
  statePath,
  tempStore,
} from "./fixtures.ts";
import { createMemoryBackend } from "./memory-backend.ts";
import { TEST_MAC } from "../storage/test-mac.ts";

const hex = (fsm: Fsm, at = 0): string =>
  Buffer.from(fsm.chainAt(TENANT, at)?.at.hash ?? []).toString("hex");

const PUT: Command = { kind: "put", request: put("k", "value") };

const commands: fc.Arbitrary<readonly Command[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("put"),
      request: fc
        .tuple(fc.constantFrom("a", "b", "c"), fc.string({ maxLength: 3 }))
        .map(([name, text]) => put(name, text, { lease: leaseId(0n) })),
    }),
    fc.record({
      kind: fc.constant("delete-range"),
      request: fc.constantFrom(del("a"), del("a", "c"), del("\0", "\0")),
    }),
    fc.record({ kind: fc.constant("compact"), revision: fc.integer({ min: 0, max: 20 }) }),
  ),
  { maxLength: 40 },
);

test("two machines fed the same entries have equal chains, however they clean", () => {
  fc.assert(
    fc.property(commands, fc.integer({ min: 1, max: 5 }), (list, rows) => {
      const one = machineOn(createMemoryBackend());
      const two = machineOn(createMemoryBackend());
      for (const command of list) {
        assert.deepEqual(one.run(command), two.run(command));
        one.fsm.compactStep(rows);
      }
      const { revision = 0, compactRevision = 0 } = one.fsm.reader.tenant(TENANT) ?? {};
      for (let at = Math.max(compactRevision, 1); at <= revision; at++) {
        assert.equal(hex(one.fsm, at), hex(two.fsm, at));
        assert.equal(hex(one.fsm, at).length, 64);
      }
    }),
    { numRuns: 100 },
  );
});

test("batching and the backend make no difference to the chain", (context) => {
  const one = machineOn(createMemoryBackend());
  const batched = createFsm(tempStore(context), sha256);
  const { fsm } = one;
  const proposals: Proposal[] = [];
  const record = (command: Command, over: Partial<Proposal> = {}): void => {
    one.run(command, over);
    const actor = { issuer: "https://issuer.test", subject: "user:a", requestId: "r1" };
    proposals.push({
      tenant: TENANT,
      policyRevision: undefined,
      actor,
      command,
      ...over,
    });
  };
  for (let i = 0; i < 50; i++) record({ kind: "put", request: put(`k${i % 7}`, `v${i}`) });
  record({ kind: "delete-range", request: del("k1", "k4") });
  const create: Command = { kind: "tenant-create", id: TENANT, name: "acme", records: [] };
  const head = { ...(proposals[0] as Proposal), tenant: "cluster" as Proposal["tenant"] };
  batched.apply([
    entryOf(1, [{ ...head, command: create }, ...proposals.slice(0, 20)]),
    entryOf(2, proposals.slice(20)),
  ]);
  assert.equal(hex(batched), hex(fsm));
});

test("every part of a change moves the chain", () => {
  const chainOf = (command: Command, over: Parameters<Machine["run"]>[1] = {}): string => {
    const machine = machineOn(createMemoryBackend());
    machine.run({ kind: "lease-grant", id: leaseId(5n), ttl: 60 });
    machine.run(command, over);
    return hex(machine.fsm);
  };
  const actor = { issuer: "i", subject: "s", requestId: "r" };
  const chains = [
    chainOf(PUT),
    chainOf({ kind: "put", request: put("j", "value") }),
    chainOf({ kind: "put", request: put("k", "valuf") }),
    chainOf({ kind: "put", request: put("kv", "alue") }),
    chainOf({ kind: "put", request: put("k", "value", { lease: leaseId(5n) }) }),
    chainOf(PUT, { time: 1001 }),
    chainOf(PUT, { actor }),
    chainOf(PUT, { actor: { ...actor, issuer: "is", subject: "" } }),
    chainOf({ kind: "put", request: put("k", "v".repeat(5000)) }),
    chainOf({ kind: "put", request: put("k", "v".repeat(4999) + "w") }),
  ];
  assert.equal(new Set(chains).size, chains.length);
  assert.equal(chainOf(PUT), chains[0]);
});

test("what came before moves the chain", () => {
  const chainAfter = (first: string): string => {
    const machine = machineOn(createMemoryBackend());
    machine.run({ kind: "put", request: put(first, "v") });
    machine.run(PUT);
    return hex(machine.fsm);
  };
  assert.notEqual(chainAfter("x"), chainAfter("y"));
});

test("the chain tells where it can be checked from, and nothing compacted", () => {
  const machine: Machine = machineOn(createMemoryBackend());
  const { fsm } = machine;
  const genesis = hex(fsm, 1);
  for (let i = 0; i < 5; i++) machine.run(PUT);
  const at4 = hex(fsm, 4);
  assert.equal(fsm.chainAt(TENANT, 0)?.compacted.revision, 1);
  machine.run({ kind: "compact", revision: 1 });
  assert.equal(hex(fsm, 1), genesis);
  machine.run({ kind: "compact", revision: 4 });
  while (fsm.compactStep(10));
  assert.equal(fsm.chainAt(TENANT, 3), undefined);
  assert.equal(fsm.chainAt(TENANT, 7), undefined);
  assert.equal(fsm.chainAt(OTHER, 0), undefined);
  assert.equal(hex(fsm, 4), at4);
  assert.deepEqual(fsm.chainAt(TENANT, 0)?.compacted, {
    revision: 4,
    hash: fsm.chainAt(TENANT, 4)?.at.hash,
  });
});

test("a reopened state goes on where it was", (context) => {
  const path = statePath(context);
  const before = openStateStore({ mac: TEST_MAC, path });
  const machine = machineOn(before);
  machine.run({ kind: "lease-grant", id: leaseId(-(2n ** 63n)), ttl: 60 });
  machine.run({ kind: "put", request: put("k\xff", "v", { lease: leaseId(-(2n ** 63n)) }) });
  machine.run(PUT);
  machine.run({ kind: "compact", revision: 2 });
  const index = machine.fsm.appliedIndex;
  const chain = hex(machine.fsm);
  const info = machine.fsm.reader.tenant(TENANT);
  before.close();

  const after = openStateStore({ mac: TEST_MAC, path });
  const again = machineOn(after);
  assert.equal(again.fsm.appliedIndex, index);
  assert.deepEqual(again.fsm.reader.tenant(TENANT), info);
  assert.equal(hex(again.fsm), chain);
  const lease = again.fsm.reader.lease(TENANT, leaseId(-(2n ** 63n)), true);
  assert.deepEqual(lease?.keys, [key("k\xff")]);
  again.run(PUT);
  machineAgrees(again, chain);
  after.close();
});

function machineAgrees(machine: Machine, chainBefore: string): void {
  assert.equal(machine.fsm.reader.tenant(TENANT)?.revision, 4);
  assert.equal(hex(machine.fsm, 3), chainBefore);
  assert.notEqual(hex(machine.fsm), chainBefore);
}
