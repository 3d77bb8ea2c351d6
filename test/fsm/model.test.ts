import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkTxn } from "../../src/core/mvcc/mod.ts";
import {
  type AppliedChange,
  type Command,
  type Compare,
  type LeaseId,
  NO_LEASE,
  type PutRequest,
  type RangeRequest,
  CLUSTER_SCOPE,
  type RequestOp,
  type LimitChanges,
  type TxnRequest,
  key,
  leaseId,
} from "../../src/core/types/mod.ts";
import { type Machine, TENANT, machineOn, tempStore } from "./fixtures.ts";
import { createMemoryBackend } from "./memory-backend.ts";
import {
  type Model,
  modelCompact,
  modelDelete,
  modelGrant,
  modelPut,
  modelRange,
  modelRenew,
  modelRevoke,
  modelTxn,
  modelUpdate,
  modelUsage,
  newModel,
} from "./model.ts";

const NAMES = ["a", "a\0", "ab", "b", "c\xff", "d"].map(key);
const name = fc.constantFrom(...NAMES);
const end = fc.constantFrom(...["", "", "\0", "b", "c", "\xff", "a"].map(key));
const lease: fc.Arbitrary<LeaseId> = fc.constantFrom(
  NO_LEASE,
  NO_LEASE,
  leaseId(7n),
  leaseId(-(2n ** 63n)),
);
const realLease = fc.constantFrom(leaseId(7n), leaseId(-(2n ** 63n)));
const value = fc.uint8Array({ maxLength: 4 });
/** Small, so that it often meets a revision that exists. */
const rev = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: -2, max: 30 }));
const bound = fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 25 }));

const rangeRequest: fc.Arbitrary<RangeRequest> = fc.record({
  key: fc.constantFrom(key("a"), key("a"), ...NAMES),
  rangeEnd: fc.oneof({ weight: 2, arbitrary: fc.constant(key("\0")) }, end),
  limit: fc.constantFrom(0, 0, 1, 2, 3),
  revision: rev,
  sortOrder: fc.constantFrom("none", "ascend", "descend"),
  sortTarget: fc.constantFrom("key", "version", "create", "mod"),
  serializable: fc.boolean(),
  keysOnly: fc.boolean(),
  countOnly: fc.constantFrom(false, false, false, true),
  minModRevision: bound,
  maxModRevision: bound,
  minCreateRevision: bound,
  maxCreateRevision: bound,
});
const flag = fc.constantFrom(false, false, false, true);
const putRequest: fc.Arbitrary<PutRequest> = fc
  .record({ key: name, value, lease, prevKv: fc.boolean(), ignoreValue: flag, ignoreLease: flag })
  .map((r) => ({
    ...r,
    value: r.ignoreValue && r.value.length < 4 ? new Uint8Array(0) : r.value,
    lease: r.ignoreLease && r.prevKv ? NO_LEASE : r.lease,
  }));
const deleteRequest = fc.record({ key: name, rangeEnd: end, prevKv: fc.boolean() });
const result = fc.constantFrom("equal" as const, "not-equal", "greater", "less");
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({
    key: name,
    rangeEnd: end,
    result,
    target: fc.constantFrom("version" as const, "create", "mod"),
    operand: fc.integer({ min: 0, max: 6 }),
  }),
  fc.record({ key: name, rangeEnd: end, result, target: fc.constant("lease"), operand: lease }),
  fc.record({ target: fc.constant("decided"), holds: fc.boolean() }),
);

function txnRequest(depth: number): fc.Arbitrary<TxnRequest> {
  const plain: fc.Arbitrary<RequestOp>[] = [
    fc.record({ kind: fc.constant("range"), request: rangeRequest }),
    fc.record({ kind: fc.constant("put"), request: putRequest }),
    fc.record({ kind: fc.constant("put"), request: putRequest }),
    fc.record({ kind: fc.constant("delete-range"), request: deleteRequest }),
  ];
  const nested: fc.Arbitrary<RequestOp>[] =
    depth === 0 ? [] : [fc.record({ kind: fc.constant("txn"), request: txnRequest(depth - 1) })];
  const ops = fc.array(fc.oneof(...plain, ...nested), { maxLength: 4 });
  return fc.record({ compare: fc.array(compare, { maxLength: 2 }), success: ops, failure: ops });
}

type Step =
  | { readonly kind: "command"; readonly command: Command; readonly wait: number }
  | { readonly kind: "range"; readonly request: RangeRequest }
  | { readonly kind: "clean"; readonly rows: number };

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("put"), request: putRequest }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("delete-range"), request: deleteRequest }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("txn"),
      request: txnRequest(2),
      guards: fc.constant([]),
    }),
  },
  fc.record({ kind: fc.constant("compact"), revision: fc.integer({ min: -1, max: 30 }) }),
  fc.record({
    kind: fc.constant("lease-grant"),
    id: realLease,
    ttl: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({
    kind: fc.constant("lease-revoke"),
    id: realLease,
    cause: fc.constantFrom("revoked", "expired"),
  }),
  fc.record({ kind: fc.constant("lease-renew"), id: realLease }),
);

/** Small, so that tenants often come to them. */
const limits: fc.Arbitrary<LimitChanges> = fc
  .record(
    {
      bytesMax: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined }),
      keysMax: fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined }),
      leasesMax: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
    },
    { requiredKeys: [] },
  )
  .map((drawn): LimitChanges => ({ ...drawn }));
const update: fc.Arbitrary<Command> = fc.oneof(
  limits.map((drawn): Command => ({ kind: "tenant-update", id: TENANT, limits: drawn })),
  fc.boolean().map((on): Command => ({ kind: "tenant-update", id: TENANT, suspended: on })),
  // Often resumed, or most of what follows would be refused.
  fc.constant<Command>({ kind: "tenant-update", id: TENANT, suspended: false }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("command"),
      command: fc.oneof({ weight: 8, arbitrary: command }, update),
      wait: fc.constantFrom(0, 0, 500, 1000, -500),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("range"), request: rangeRequest }) },
  fc.record({ kind: fc.constant("clean"), rows: fc.integer({ min: 1, max: 4 }) }),
);

function modelAnswer(model: Model, wanted: Command, leaseTime: number): unknown {
  if (wanted.kind === "tenant-update") return modelUpdate(model, wanted, leaseTime);
  if (model.suspended) return { kind: "error", code: "tenant-suspended" };
  switch (wanted.kind) {
    case "put":
      return modelPut(model, wanted.request);
    case "delete-range":
      return modelDelete(model, wanted.request);
    case "txn": {
      const code = checkTxn(wanted.request, 128);
      if (code !== undefined) return { kind: "error", code };
      return modelTxn(model, wanted.request);
    }
    case "compact":
      return modelCompact(model, wanted.revision);
    case "lease-grant":
      return modelGrant(model, wanted.id, wanted.ttl, leaseTime);
    case "lease-renew":
      return modelRenew(model, wanted.id, leaseTime);
    case "lease-revoke":
      return modelRevoke(model, wanted.id, wanted.cause === "expired" ? leaseTime : undefined);
    default:
      throw new Error(`The model does not know ${wanted.kind}`);
  }
}

/** Buffers and arrays of equal bytes are equal. */
export function plain(found: unknown): unknown {
  if (found instanceof Uint8Array) return Buffer.from(found).toString("hex");
  if (Array.isArray(found)) return found.map(plain);
  if (typeof found !== "object" || found === null) return found;
  return Object.fromEntries(Object.entries(found).map(([field, inner]) => [field, plain(inner)]));
}

function runSteps(machine: Machine, steps: readonly Step[]): void {
  const model = newModel();
  let { leaseTime } = machine.fsm;
  let time = leaseTime;
  for (const next of steps) {
    if (next.kind === "clean") {
      machine.fsm.compactStep(next.rows);
    } else if (next.kind === "range") {
      const found = machine.fsm.reader.range(TENANT, next.request);
      const wanted = modelRange(model, next.request);
      assert.deepEqual(plain(found.ok ? found.value : found.code), plain(wanted));
    } else {
      time += next.wait;
      leaseTime = Math.max(leaseTime, time); // It does not go back.
      const isOfCluster = next.command.kind === "tenant-update";
      const over = { leaseTime: time, ...(isOfCluster && { tenant: CLUSTER_SCOPE }) };
      const found = machine.run(next.command, over);
      assert.deepEqual(plain(found), plain(modelAnswer(model, next.command, leaseTime)));
      assert.equal(machine.fsm.reader.tenant(TENANT)?.revision, model.revision);
      assert.deepEqual(machine.fsm.reader.tenant(TENANT)?.usage, modelUsage(model));
    }
    checkLeases(machine, model, leaseTime, false);
  }
  checkAllRevisions(machine, model);
  while (machine.fsm.compactStep(1000));
  checkAllRevisions(machine, model);
  checkLeases(machine, model, leaseTime, true);
  checkLeases(machine, model, leaseTime + 5000, true);
}

/**
 * The deadlines are those of the model, however far the rows have followed a suspension. None is found
 * to have ended before it has, or while its tenant is suspended; once the rows have followed, all are.
 */
function checkLeases({ fsm }: Machine, model: Model, leaseTime: number, isSettled: boolean): void {
  const wanted = [...model.leases].map(([id, { deadline }]) => `${id} ends ${deadline}`);
  const found = fsm.reader.leases(TENANT).map(({ id, deadline }) => `${id} ends ${deadline}`);
  assert.deepEqual(found.toSorted(), wanted.toSorted());
  const ended = fsm.expiredLeases(leaseTime, 9).map(({ id }) => id);
  const due = [...model.leases.keys()].filter(
    (id) => !model.suspended && (model.leases.get(id)?.deadline ?? 0) <= leaseTime,
  );
  if (isSettled) assert.deepEqual(ended.toSorted(), due.toSorted());
  else assert.ok(ended.every((id) => due.includes(id)));
}

/** Replayed from history, changes are as they were when applied; before-rows may be compacted. */
function checkReplay(machine: Machine, model: Model): void {
  const from = Math.max(model.compactRevision, 1);
  const replayed: AppliedChange[] = [];
  for (let at = from; at <= model.revision; at += 3) {
    replayed.push(...machine.fsm.watchSource.changes(TENANT, at, 3, 1_000_000));
  }
  const wanted = machine.changes
    .filter((change) => change.revision >= from)
    .map((change) =>
      change.revision > from || model.compactRevision < 0
        ? change
        : { ...change, events: change.events.map((e) => ({ ...e, prevKv: undefined })) },
    );
  assert.deepEqual(plain(replayed), plain(wanted));
}

function checkAllRevisions(machine: Machine, model: Model): void {
  checkReplay(machine, model);
  for (let at = Math.max(model.compactRevision, 1); at <= model.revision; at++) {
    const all: RangeRequest = { ...everything, revision: at };
    const found = machine.fsm.reader.range(TENANT, all);
    assert.deepEqual(plain(found.ok && found.value), plain(modelRange(model, all)));
  }
}

const everything: RangeRequest = {
  key: key("\0"),
  rangeEnd: key("\0"),
  limit: 0,
  revision: 0,
  sortOrder: "none",
  sortTarget: "key",
  serializable: false,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

const steps = fc.array(step, { minLength: 1, maxLength: 100, size: "max" });

test("keys and leases in memory answer as the model", () => {
  fc.assert(
    fc.property(steps, (list) => runSteps(machineOn(createMemoryBackend()), list)),
    { numRuns: 1500 },
  );
});

test("keys and leases on SQLite answer as the model", (context) => {
  const store = tempStore(context);
  fc.assert(
    fc.property(steps, (list) => {
      // One file for all runs: each run works in a fresh tenant, after the last one is deleted.
      const machine = machineOn(store);
      try {
        runSteps(machine, list);
      } finally {
        machine.run({ kind: "tenant-delete", id: TENANT });
        while (machine.fsm.compactStep(1000));
      }
    }),
    { numRuns: 700 },
  );
});
