import fc from "fast-check";
import type { Fields } from "../../src/client/mod.ts";
import type { rpc } from "../../src/proto/mod.ts";

/**
 * Random requests over few keys. Revisions in them count from the start of a run, so that two stores
 * whose revisions have come apart in an earlier run are still asked the same thing.
 */

/** A revision: "absolute" is sent as it is, "since" is added to that of the start of the run. */
export type Revision = { readonly absolute: number } | { readonly since: number };

export type Request =
  | { readonly kind: "range"; readonly make: (at: Resolve) => Fields<rpc.RangeRequest> }
  | { readonly kind: "put"; readonly make: (at: Resolve) => Fields<rpc.PutRequest> }
  | { readonly kind: "delete"; readonly make: (at: Resolve) => Fields<rpc.DeleteRangeRequest> }
  | { readonly kind: "txn"; readonly make: (at: Resolve) => Fields<rpc.TxnRequest> }
  | { readonly kind: "compact"; readonly make: (at: Resolve) => Fields<rpc.CompactionRequest> }
  | { readonly kind: "grant"; readonly make: (at: Resolve) => Fields<rpc.LeaseGrantRequest> }
  | { readonly kind: "revoke"; readonly make: (at: Resolve) => Fields<rpc.LeaseRevokeRequest> }
  | {
      readonly kind: "time-to-live";
      readonly make: (at: Resolve) => Fields<rpc.LeaseTimeToLiveRequest>;
    }
  | { readonly kind: "leases"; readonly make: (at: Resolve) => object }
  | { readonly kind: "keep-alive"; readonly id: bigint }
  | {
      readonly kind: "watch";
      readonly stream: number;
      readonly make: (at: Resolve) => Fields<rpc.WatchCreateRequest>;
    }
  | { readonly kind: "cancel"; readonly stream: number; readonly watchId: number };

/** The revision of one store that stands for another in the request. */
export type Resolve = (revision: Revision) => bigint;

export const STREAMS = 2;

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

/** Few enough for ties to be sorted alike: Go sorts less than a dozen stably. */
const keys = ["a", "a\0", "aa", "ab", "b", "b/1", "b/2", "c", "\0", "\xff"];
const key = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom(...keys) },
  { weight: 1, arbitrary: fc.constant("") },
);
const rangeEnd = fc.oneof(
  { weight: 4, arbitrary: fc.constant("") },
  { weight: 4, arbitrary: fc.constantFrom(...keys, "b0", "\xff\xff") },
  { weight: 2, arbitrary: fc.constant("\0") },
);
const value = fc.constantFrom("", "1", "2", "10", "\0\xff", "longer value");
const leaseId = fc.constantFrom(1, 2, 3, 77, -5);
const rarely = fc.integer({ min: 0, max: 7 }).map((n) => n === 7);
const sometimes = fc.boolean();

const since = fc.integer({ min: -2, max: 30 }).map((n): Revision => ({ since: n }));
const latest: Revision = { absolute: 0 };
const revision: fc.Arbitrary<Revision> = fc.oneof(
  { weight: 12, arbitrary: fc.constant(latest) },
  { weight: 6, arbitrary: since },
  { weight: 1, arbitrary: fc.constantFrom(-1, 1_000_000).map((n) => ({ absolute: n })) },
);
const bound: fc.Arbitrary<Revision> = fc.oneof(
  { weight: 8, arbitrary: fc.constant(latest) },
  { weight: 2, arbitrary: since },
);
const limit = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 4 }) },
  { weight: 1, arbitrary: fc.constant(-1) },
);

/** A value and how it becomes part of a message, kept apart so that a counterexample can be read. */
type Made<T> = (at: Resolve) => T;

/** Shows the plain fields in a counterexample, and not a function. */
function shown<T extends object, M>(
  fields: fc.Arbitrary<T>,
  make: (fields: T, at: Resolve) => M,
): fc.Arbitrary<Made<M>> {
  return fields.map((plain) => {
    const made: Made<M> = (at) => make(plain, at);
    const text = (): string => fc.stringify(plain);
    return Object.assign(made, { [fc.toStringMethod]: text, toJSON: text });
  });
}

const sort = {
  // Orders that do not exist are refused since etcd 3.5 only.
  order: fc.constantFrom<0 | 1 | 2>(0, 1, 2),
  target: fc.constantFrom<0 | 1 | 2 | 3 | 4>(0, 1, 2, 3, 4),
};

const range = shown(
  fc.record({
    key,
    rangeEnd,
    limit,
    revision,
    ...sort,
    serializable: sometimes,
    keysOnly: rarely,
    countOnly: rarely,
    minMod: bound,
    maxMod: bound,
    minCreate: bound,
    maxCreate: bound,
  }),
  (fields, at): Fields<rpc.RangeRequest> => ({
    key: bytes(fields.key),
    rangeEnd: bytes(fields.rangeEnd),
    limit: BigInt(fields.limit),
    revision: at(fields.revision),
    sortOrder: fields.order,
    sortTarget: fields.target,
    serializable: fields.serializable,
    keysOnly: fields.keysOnly,
    countOnly: fields.countOnly,
    minModRevision: at(fields.minMod),
    maxModRevision: at(fields.maxMod),
    minCreateRevision: at(fields.minCreate),
    maxCreateRevision: at(fields.maxCreate),
  }),
);

const put = shown(
  fc.record({
    key,
    value,
    prevKv: sometimes,
    ignoreValue: rarely,
    ignoreLease: rarely,
    lease: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: leaseId }),
  }),
  (fields): Fields<rpc.PutRequest> => ({
    key: bytes(fields.key),
    value: bytes(fields.ignoreValue && fields.value !== "1" ? "" : fields.value),
    lease: fields.ignoreLease && fields.lease !== 1 ? 0n : BigInt(fields.lease),
    prevKv: fields.prevKv,
    ignoreValue: fields.ignoreValue,
    ignoreLease: fields.ignoreLease,
  }),
);

const remove = shown(
  fc.record({ key, rangeEnd, prevKv: sometimes }),
  (fields): Fields<rpc.DeleteRangeRequest> => ({
    key: bytes(fields.key),
    rangeEnd: bytes(fields.rangeEnd),
    prevKv: fields.prevKv,
  }),
);

/**
 * etcd does not see that a delete to the end of all keys ("\0"), or to an end before its start, meets a
 * put of the same transaction (v3rpc/key.go checkIntervals takes the two as an interval); Coffer does.
 */
const removeInTxn = shown(
  fc.record({ key, rangeEnd, prevKv: sometimes }),
  (fields): Fields<rpc.DeleteRangeRequest> => ({
    key: bytes(fields.key),
    rangeEnd: bytes(fields.rangeEnd > fields.key ? fields.rangeEnd : ""),
    prevKv: fields.prevKv,
  }),
);

const compare = shown(
  fc.record({
    key,
    result: fc.constantFrom<0 | 1 | 2 | 3>(0, 1, 2, 3),
    rangeEnd: fc.oneof(
      { weight: 3, arbitrary: fc.constant("") },
      { weight: 1, arbitrary: rangeEnd },
    ),
    target: fc.oneof(
      fc.record({ of: fc.constant("version"), is: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ of: fc.constantFrom("create", "mod"), is: bound }),
      fc.record({ of: fc.constant("value"), is: value }),
      fc.record({ of: fc.constant("lease"), is: fc.oneof(fc.constant(0), leaseId) }),
    ),
  }),
  ({ key, result, rangeEnd, target: { of, is } }, at): Fields<rpc.Compare> => {
    const common = { key: bytes(key), rangeEnd: bytes(rangeEnd), result };
    if (typeof is === "string") {
      return { ...common, target: 3, targetUnion: { $case: "value", value: bytes(is) } };
    }
    if (typeof is === "object") {
      return of === "mod"
        ? { ...common, target: 2, targetUnion: { $case: "modRevision", value: at(is) } }
        : { ...common, target: 1, targetUnion: { $case: "createRevision", value: at(is) } };
    }
    const number = BigInt(is);
    return of === "lease"
      ? { ...common, target: 4, targetUnion: { $case: "lease", value: number } }
      : { ...common, target: 0, targetUnion: { $case: "version", value: number } };
  },
);

const emptyOp = fc.constant<Made<Fields<rpc.RequestOp>>>(() => ({}));

function operation(inner: fc.Arbitrary<Made<Fields<rpc.TxnRequest>>> | undefined) {
  const op = <T, Case extends string>(made: fc.Arbitrary<Made<T>>, $case: Case) =>
    made.map((make) =>
      Object.assign((at: Resolve) => ({ request: { $case, value: make(at) } }), {
        [fc.toStringMethod]: () => `${$case} ${fc.stringify(make)}`,
      }),
    );
  const flat = [
    { weight: 10, arbitrary: op(range, "requestRange") },
    { weight: 16, arbitrary: op(put, "requestPut") },
    { weight: 8, arbitrary: op(removeInTxn, "requestDeleteRange") },
    { weight: 1, arbitrary: emptyOp },
  ];
  const all =
    inner === undefined ? flat : [...flat, { weight: 6, arbitrary: op(inner, "requestTxn") }];
  return fc.oneof(...all) as fc.Arbitrary<Made<Fields<rpc.RequestOp>>>;
}

function transaction(op: fc.Arbitrary<Made<Fields<rpc.RequestOp>>>) {
  return shown(
    fc.record({
      compare: fc.array(compare, { maxLength: 2 }),
      success: fc.array(op, { maxLength: 3 }),
      failure: fc.array(op, { maxLength: 3 }),
    }),
    (fields, at): Fields<rpc.TxnRequest> => ({
      compare: fields.compare.map((make) => make(at)),
      success: fields.success.map((make) => make(at)),
      failure: fields.failure.map((make) => make(at)),
    }),
  );
}

const leafTxn: fc.Arbitrary<Made<Fields<rpc.TxnRequest>>> = transaction(operation(undefined));
const txn = transaction(operation(transaction(operation(leafTxn))));

const watch = shown(
  fc.record({
    key,
    rangeEnd,
    prevKv: sometimes,
    fragment: rarely,
    progressNotify: rarely,
    start: fc.oneof(
      { weight: 3, arbitrary: fc.constant(latest) },
      { weight: 3, arbitrary: since },
      { weight: 1, arbitrary: fc.integer({ min: 15, max: 40 }).map((n) => ({ since: n })) },
    ),
    filters: fc.subarray<0 | 1>([0, 1]),
    id: fc.oneof(
      { weight: 5, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.constantFrom(1, 2, 3, 9) },
    ),
  }),
  (fields, at): Fields<rpc.WatchCreateRequest> => ({
    key: bytes(fields.key),
    rangeEnd: bytes(fields.rangeEnd),
    startRevision: at(fields.start),
    progressNotify: fields.progressNotify,
    filters: fields.filters,
    prevKv: fields.prevKv,
    watchId: BigInt(fields.id),
    fragment: fields.fragment,
  }),
);

/** Long ones only: a lease that runs out in the middle of a run does so at another moment on each. */
const ttl = fc.constantFrom(600, 100, 7000, 9_000_000_000, 9_000_000_001);
const id = fc.oneof({ weight: 9, arbitrary: leaseId }, { weight: 1, arbitrary: fc.constant(4) });
const stream = fc.integer({ min: 0, max: STREAMS - 1 });

const requestKinds: readonly fc.WeightedArbitrary<Request>[] = [
  { weight: 24, arbitrary: fc.record({ kind: fc.constant("range"), make: range }) },
  { weight: 26, arbitrary: fc.record({ kind: fc.constant("put"), make: put }) },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant("delete"), make: remove }) },
  { weight: 22, arbitrary: fc.record({ kind: fc.constant("txn"), make: txn }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("compact"),
      make: shown(
        fc.record({ revision, physical: sometimes }),
        (fields, at): Fields<rpc.CompactionRequest> => ({
          revision: at(fields.revision),
          physical: fields.physical,
        }),
      ),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("grant"),
      make: shown(fc.record({ id: leaseId, ttl }), (fields): Fields<rpc.LeaseGrantRequest> => ({
        ID: BigInt(fields.id),
        TTL: BigInt(fields.ttl),
      })),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("revoke"),
      make: shown(fc.record({ id }), (fields): Fields<rpc.LeaseRevokeRequest> => ({
        ID: BigInt(fields.id),
      })),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("time-to-live"),
      make: shown(
        fc.record({ id, keys: sometimes }),
        (fields): Fields<rpc.LeaseTimeToLiveRequest> => ({
          ID: BigInt(fields.id),
          keys: fields.keys,
        }),
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "leases", make: () => ({}) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("keep-alive"), id: id.map(BigInt) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("watch"), stream, make: watch }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("cancel"),
      stream,
      watchId: fc.integer({ min: 0, max: 9 }),
    }),
  },
];

export const requests: fc.Arbitrary<readonly Request[]> = fc.array(fc.oneof(...requestKinds), {
  minLength: 1,
  maxLength: 80,
  size: "max",
});
