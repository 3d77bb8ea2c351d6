import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { decodePut, decodeRange, decodeTxn } from "../../src/api/grpc/decode.ts";
import { frameTxn, frameWatch } from "../../src/api/grpc/encode.ts";
import {
  type Compare,
  type KeyValue,
  type RequestOp,
  type ResponseOp,
  clusterId,
  key,
  leaseId,
  memberId,
  revision,
} from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { mvcc, rpc } from "../../src/proto/mod.ts";

/** The generated code judges our own codecs. */

const MAX = Number.MAX_SAFE_INTEGER;
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -3n, max: 300n }),
);
const bytes = fc.uint8Array({ maxLength: 20 });
const bool = fc.boolean();

function clamped(value: bigint): number {
  const max = BigInt(MAX);
  return Number(value > max ? max : value < -max ? -max : value);
}

const chars = (value: Uint8Array): string => Buffer.from(value).toString("latin1");

const rangeMessage: fc.Arbitrary<rpc.RangeRequest> = fc.record({
  key: bytes,
  rangeEnd: bytes,
  limit: int64,
  revision: int64,
  sortOrder: fc.constantFrom(0, 1, 2),
  sortTarget: fc.constantFrom(0, 1, 2, 3, 4),
  serializable: bool,
  keysOnly: bool,
  countOnly: bool,
  minModRevision: int64,
  maxModRevision: int64,
  minCreateRevision: int64,
  maxCreateRevision: int64,
});

const putMessage: fc.Arbitrary<rpc.PutRequest> = fc.record({
  key: bytes,
  value: bytes,
  lease: int64,
  prevKv: bool,
  ignoreValue: bool,
  ignoreLease: bool,
});

const SORT_ORDERS = ["none", "ascend", "descend"] as const;
const SORT_TARGETS = ["key", "version", "create", "mod", "value"] as const;

function plainRange(m: rpc.RangeRequest): unknown {
  return {
    key: chars(m.key),
    rangeEnd: chars(m.rangeEnd),
    limit: clamped(m.limit),
    revision: clamped(m.revision),
    sortOrder: SORT_ORDERS[m.sortOrder],
    sortTarget: SORT_TARGETS[m.sortTarget],
    serializable: m.serializable,
    keysOnly: m.keysOnly,
    countOnly: m.countOnly,
    minModRevision: clamped(m.minModRevision),
    maxModRevision: clamped(m.maxModRevision),
    minCreateRevision: clamped(m.minCreateRevision),
    maxCreateRevision: clamped(m.maxCreateRevision),
  };
}

function plainPut(m: rpc.PutRequest): unknown {
  return { ...m, key: chars(m.key), value: Buffer.from(m.value) };
}

function withBuffer<T extends { readonly value: Uint8Array }>(request: T): T {
  return { ...request, value: Buffer.from(request.value) };
}

test("range and put requests are read as the generated code reads them", () => {
  fc.assert(
    fc.property(rangeMessage, putMessage, (range, put) => {
      assert.deepEqual(decodeRange(rpc.RangeRequest.encode(range).finish()), plainRange(range));
      const got = decodePut(rpc.PutRequest.encode(put).finish());
      assert.deepEqual(withBuffer(got), plainPut(put));
    }),
    { numRuns: 500 },
  );
});

test("refusal 6: a limit of 2^63-1 and a negative one are numbers, not errors", () => {
  for (const [limit, expected] of [
    [2n ** 63n - 1n, MAX],
    [-(2n ** 63n), -MAX],
    [-1n, -1],
  ] as const) {
    const message = rpc.RangeRequest.encode(rpc.RangeRequest.create({ limit })).finish();
    assert.equal(decodeRange(message).limit, expected);
  }
});

const compareMessage: fc.Arbitrary<rpc.Compare> = fc.record({
  result: fc.constantFrom(0, 1, 2, 3),
  target: fc.constantFrom(0, 1, 2, 3, 4),
  key: bytes,
  rangeEnd: bytes,
  targetUnion: fc.oneof(
    fc.constant(undefined),
    fc.record({ $case: fc.constant("version" as const), value: int64 }),
    fc.record({ $case: fc.constant("createRevision" as const), value: int64 }),
    fc.record({ $case: fc.constant("modRevision" as const), value: int64 }),
    fc.record({ $case: fc.constant("value" as const), value: bytes }),
    fc.record({ $case: fc.constant("lease" as const), value: int64 }),
  ),
});

const { txn: txnMessage } = fc.letrec<{ op: rpc.RequestOp; txn: rpc.TxnRequest }>((tie) => ({
  op: fc.record({
    request: fc.oneof(
      { maxDepth: 3 },
      fc.constant(undefined),
      fc.record({ $case: fc.constant("requestRange" as const), value: rangeMessage }),
      fc.record({ $case: fc.constant("requestPut" as const), value: putMessage }),
      fc.record({ $case: fc.constant("requestTxn" as const), value: tie("txn") }),
    ),
  }),
  txn: fc.record({
    compare: fc.array(compareMessage, { maxLength: 3 }),
    success: fc.array(tie("op"), { maxLength: 3 }),
    failure: fc.array(tie("op"), { maxLength: 2 }),
  }),
}));

const TARGETS = [
  ["version", "version"],
  ["create", "createRevision"],
  ["mod", "modRevision"],
  ["value", "value"],
  ["lease", "lease"],
] as const;

function checkCompare(got: Compare | undefined, message: rpc.Compare): void {
  assert.ok(got !== undefined && got.target !== "decided");
  const [target, unionCase] = TARGETS[message.target] ?? ["", ""];
  assert.equal(got.target, target);
  assert.equal(got.result, ["equal", "greater", "less", "not-equal"][message.result]);
  assert.equal(got.key, chars(message.key));
  assert.equal(got.rangeEnd, chars(message.rangeEnd));
  const union = message.targetUnion;
  const given = union !== undefined && union.$case === unionCase ? union.value : undefined;
  if (got.target === "value") {
    const expected = given instanceof Uint8Array ? given : new Uint8Array(0);
    assert.deepEqual(Buffer.from(got.operand), Buffer.from(expected));
  } else {
    const expected = typeof given === "bigint" ? given : 0n;
    assert.equal(got.operand, got.target === "lease" ? expected : clamped(expected));
  }
}

function checkOp(got: RequestOp | undefined, message: rpc.RequestOp): void {
  const request = message.request;
  switch (got?.kind) {
    case "empty":
      return assert.equal(request, undefined);
    case "range":
      assert.ok(request?.$case === "requestRange");
      return assert.deepEqual(got.request, plainRange(request.value));
    case "put":
      assert.ok(request?.$case === "requestPut");
      return assert.deepEqual(withBuffer(got.request), plainPut(request.value));
    case "txn":
      assert.ok(request?.$case === "requestTxn");
      return checkTxn(got.request, request.value);
    default:
      assert.fail(`operation ${String(got?.kind)} was not sent`);
  }
}

function checkTxn(got: ReturnType<typeof decodeTxn>, message: rpc.TxnRequest): void {
  assert.equal(got.compare.length, message.compare.length);
  assert.equal(got.success.length, message.success.length);
  assert.equal(got.failure.length, message.failure.length);
  message.compare.forEach((compare, i) => checkCompare(got.compare[i], compare));
  message.success.forEach((op, i) => checkOp(got.success[i], op));
  message.failure.forEach((op, i) => checkOp(got.failure[i], op));
}

test("transactions are read as the generated code reads them, nested ones too", () => {
  fc.assert(
    fc.property(txnMessage, (message) => {
      checkTxn(decodeTxn(rpc.TxnRequest.encode(message).finish()), message);
    }),
    { numRuns: 300 },
  );
});

test("a transaction nested beyond all budgets is refused, not a stack overflow", () => {
  let message: Uint8Array = new Uint8Array(0);
  for (let i = 0; i < 5000; i++) {
    message = rpc.RequestOp.encode({ request: undefined }).raw(tagged(4, message)).finish();
    message = tagged(2, message);
  }
  assert.throws(() => decodeTxn(message), { code: "too-many-ops" });
});

function tagged(field: number, message: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let rest = message.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...length]), message]);
}

test("an unknown sort option is told as etcd tells it", () => {
  const message = rpc.RangeRequest.encode(rpc.RangeRequest.create({ limit: 1n })).finish();
  for (const option of [
    [0x28, 9],
    [0x30, 200, 1],
  ]) {
    assert.throws(
      () => decodeRange(Buffer.concat([message, Buffer.from(option)])),
      new CofferError("invalid-sort-option"),
    );
  }
});

const header = {
  clusterId: clusterId(2n ** 64n - 1n),
  memberId: memberId(7n),
  revision: revision(2 ** 40 + 5),
  term: 3,
};

const keyValue: fc.Arbitrary<KeyValue> = fc
  .record({ k: bytes, create: fc.nat(), mod: fc.maxSafeNat(), value: bytes, lease: int64 })
  .map(({ k, create, mod, value, lease }) => ({
    key: key(chars(k)),
    createRevision: revision(create),
    modRevision: revision(mod),
    version: 1 + (create % 5),
    value,
    lease: leaseId(lease),
  }));

function kvMessage(kv: KeyValue): mvcc.KeyValue {
  return mvcc.KeyValue.create({
    key: Buffer.from(kv.key, "latin1"),
    createRevision: kv.createRevision,
    modRevision: kv.modRevision,
    version: kv.version,
    value: kv.value,
    lease: kv.lease,
  });
}

const headerMessage: rpc.ResponseHeader = {
  clusterId: 2n ** 64n - 1n,
  memberId: 7n,
  revision: 2n ** 40n + 5n,
  raftTerm: 3n,
};

function responseOps(kv: KeyValue, prevKv: KeyValue | undefined): readonly ResponseOp[] {
  const at = revision(9);
  return [
    { kind: "range", revision: at, response: { kvs: [kv, kv], more: true, count: 3 } },
    { kind: "put", revision: at, response: { prevKv } },
    { kind: "delete-range", revision: at, response: { deleted: 2, prevKvs: [kv] } },
    { kind: "txn", revision: at, response: { succeeded: false, responses: [] } },
  ];
}

test("responses of transactions are written as the generated code writes them", () => {
  fc.assert(
    fc.property(
      keyValue,
      fc.option(keyValue, { nil: undefined }),
      bool,
      (kv, prevKv, succeeded) => {
        const frame = frameTxn({ header, body: { succeeded, responses: responseOps(kv, prevKv) } });
        const sub = { clusterId: 0n, memberId: 0n, revision: 9n, raftTerm: 0n };
        const one = kvMessage(kv);
        const prev = prevKv === undefined ? undefined : kvMessage(prevKv);
        const response = (value: NonNullable<rpc.ResponseOp["response"]>): rpc.ResponseOp => ({
          response: value,
        });
        const expected = rpc.TxnResponse.encode({
          header: headerMessage,
          succeeded,
          responses: [
            response({
              $case: "responseRange",
              value: { header: sub, kvs: [one, one], more: true, count: 3n },
            }),
            response({ $case: "responsePut", value: { header: sub, prevKv: prev } }),
            response({
              $case: "responseDeleteRange",
              value: { header: sub, deleted: 2n, prevKvs: [one] },
            }),
            response({
              $case: "responseTxn",
              value: { header: { ...sub, revision: 0n }, succeeded: false, responses: [] },
            }),
          ],
        }).finish();
        assert.equal(frame.readUInt32BE(1), expected.length);
        assert.equal(frame.toString("hex", 5), Buffer.from(expected).toString("hex"));
      },
    ),
  );
});

test("watch responses are written as the generated code writes them", () => {
  fc.assert(
    fc.property(keyValue, bool, fc.string(), fc.integer(), (kv, flag, reason, watchId) => {
      const frame = frameWatch({
        header,
        body: {
          watchId,
          revision: revision(0),
          created: flag,
          canceled: !flag,
          compactRevision: flag ? 0 : 12,
          cancelReason: reason,
          fragment: flag,
          events: [
            { type: "put", kv, sub: 0, prevKv: undefined },
            { type: "delete", kv, sub: 1, prevKv: kv },
          ],
        },
      });
      const expected = rpc.WatchResponse.encode({
        header: { ...headerMessage, revision: 0n },
        watchId: BigInt(watchId),
        created: flag,
        canceled: !flag,
        compactRevision: flag ? 0n : 12n,
        cancelReason: reason,
        fragment: flag,
        events: [
          { type: 0, kv: kvMessage(kv), prevKv: undefined },
          { type: 1, kv: kvMessage(kv), prevKv: kvMessage(kv) },
        ],
      }).finish();
      assert.equal(frame.toString("hex", 5), Buffer.from(expected).toString("hex"));
    }),
  );
});
