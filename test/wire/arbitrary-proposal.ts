import fc from "fast-check";
import {
  CLUSTER_SCOPE,
  NO_LEASE,
  key,
  leaseId,
  memberId,
  revision,
  tenantId,
  type Command,
  type Compare,
  type Key,
  type LeaseId,
  type LimitChanges,
  type MemberId,
  type MemberInfo,
  type Proposal,
  type PutRequest,
  type RangeRequest,
  type RecordChange,
  type RequestOp,
  type TenantCompaction,
  type TenantId,
  type TenantLimits,
  type TxnRequest,
} from "../../src/core/types/mod.ts";

/** Proposals of every kind, as fast-check draws them. */

/** Plain objects, as `deepStrictEqual` wants them: fast-check's own may lack a prototype. */
export function record<T>(model: { readonly [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true });
}

const keys: fc.Arbitrary<Key> = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => key(Buffer.from(bytes).toString("latin1")));
const values = fc.uint8Array({ maxLength: 300 });
export const texts: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: "grapheme", maxLength: 20 }),
);
const safe = fc.maxSafeInteger().map((value) => (value === 0 ? 0 : value));
export const natural: fc.Arbitrary<number> = fc.oneof(fc.nat(), fc.maxSafeNat());
const tenants: fc.Arbitrary<TenantId> = fc.uuid().map(tenantId);
const scopes = fc.oneof(tenants, fc.constant(CLUSTER_SCOPE));
const someLease: fc.Arbitrary<LeaseId> = fc
  .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  .map(leaseId);
const leases = fc.oneof(fc.constant(NO_LEASE), someLease);

const puts: fc.Arbitrary<PutRequest> = record({
  key: keys,
  value: values,
  lease: leases,
  prevKv: fc.boolean(),
  ignoreValue: fc.boolean(),
  ignoreLease: fc.boolean(),
});

const deletes = record({ key: keys, rangeEnd: keys, prevKv: fc.boolean() });

const bound = fc.oneof(fc.constant(0), safe);
const ranges: fc.Arbitrary<RangeRequest> = record({
  key: keys,
  rangeEnd: keys,
  limit: safe,
  revision: safe,
  sortOrder: fc.constantFrom("none", "ascend", "descend"),
  sortTarget: fc.constantFrom("key", "version", "create", "mod", "value"),
  serializable: fc.boolean(),
  keysOnly: fc.boolean(),
  countOnly: fc.boolean(),
  minModRevision: bound,
  maxModRevision: bound,
  minCreateRevision: bound,
  maxCreateRevision: bound,
});

const results = fc.constantFrom("equal", "greater", "less", "not-equal" as const);
const on = { key: keys, rangeEnd: keys, result: results };
const compares: fc.Arbitrary<Compare> = fc.oneof(
  record({
    ...on,
    target: fc.constantFrom("version", "create", "mod" as const),
    operand: safe,
  }),
  record({ ...on, target: fc.constant("lease" as const), operand: leases }),
  record({ target: fc.constant("decided" as const), holds: fc.boolean() }),
);

function transactions(depth: number): fc.Arbitrary<TxnRequest> {
  const leaves: fc.Arbitrary<RequestOp>[] = [
    record({ kind: fc.constant("put" as const), request: puts }),
    record({ kind: fc.constant("range" as const), request: ranges }),
    record({ kind: fc.constant("delete-range" as const), request: deletes }),
    fc.constant({ kind: "empty" as const }),
  ];
  if (depth > 0) {
    const inner = transactions(depth - 1);
    leaves.push(record({ kind: fc.constant("txn" as const), request: inner }));
  }
  const ops = fc.array(fc.oneof(...leaves), { maxLength: 4 });
  const compare = fc.array(compares, { maxLength: 4 });
  return record({ compare, success: ops, failure: ops });
}

const guards = fc.array(
  record({
    range: record({ lo: keys, hi: fc.option(keys, { nil: undefined }) }),
    revision: natural.map(revision),
  }),
  { maxLength: 3 },
);

const records: fc.Arbitrary<RecordChange[]> = fc.array(
  record({
    table: fc.constantFrom(
      "policy",
      "wrapped-key",
      "issuer",
      "revocation",
      "checkpoint",
      "setting" as const,
    ),
    id: texts,
    data: fc.option(values, { nil: undefined }),
    expect: fc.constantFrom("absent", "present", "any" as const),
  }),
  { maxLength: 4 },
);

export const memberIds: fc.Arbitrary<MemberId> = fc
  .bigInt({ min: 0n, max: 2n ** 64n - 1n })
  .map(memberId);

export const members: fc.Arbitrary<MemberInfo> = record({
  id: memberIds,
  name: texts,
  peerUrls: fc.array(texts, { maxLength: 3 }),
  clientUrls: fc.array(texts, { maxLength: 3 }),
  isLearner: fc.boolean(),
});

/** A record with some of the fields of `maybe`. */
function optional<T, U>(
  always: { readonly [K in keyof T]: fc.Arbitrary<T[K]> },
  maybe: { readonly [K in keyof U]: fc.Arbitrary<U[K]> },
): fc.Arbitrary<T & Partial<U>> {
  const some = fc.record<U, never>(maybe, { noNullPrototype: true, requiredKeys: [] });
  return fc.tuple(record(always), some).map(([one, other]): T & Partial<U> => {
    return Object.assign({}, one, other as Partial<U>);
  });
}

const limits: fc.Arbitrary<TenantLimits> = optional(
  {},
  {
    bytesMax: natural,
    keysMax: natural,
    leasesMax: natural,
    keyBytesMax: natural,
    valueBytesMax: natural,
    requestsPerSecond: natural,
    requestBurst: natural,
    watchesMax: natural,
  },
);

/** Of each limit: not named, taken away, or set. */
const limitChanges: fc.Arbitrary<LimitChanges> = fc
  .tuple(limits, limits)
  .map(([taken, set]): LimitChanges => {
    return { ...Object.fromEntries(Object.keys(taken).map((name) => [name, undefined])), ...set };
  });

const compaction: fc.Arbitrary<TenantCompaction> = fc.oneof(
  record({ kind: fc.constant("none" as const) }),
  record({ kind: fc.constant("age" as const), seconds: natural }),
  record({ kind: fc.constant("count" as const), revisions: natural }),
);

function kind<K extends Command["kind"]>(name: K): fc.Arbitrary<K> {
  return fc.constant(name);
}

/** One arbitrary for each kind: a new kind that is missing here does not compile. */
export const commandsByKind: {
  readonly [K in Command["kind"]]: fc.Arbitrary<Extract<Command, { readonly kind: K }>>;
} = {
  put: record({ kind: kind("put"), request: puts }),
  "delete-range": record({ kind: kind("delete-range"), request: deletes }),
  txn: record({ kind: kind("txn"), request: transactions(3), guards }),
  compact: record({ kind: kind("compact"), revision: safe }),
  "lease-grant": record({ kind: kind("lease-grant"), id: leases, ttl: safe }),
  "lease-revoke": record({
    kind: kind("lease-revoke"),
    id: leases,
    cause: fc.constantFrom("revoked", "expired" as const),
  }),
  "lease-renew": record({ kind: kind("lease-renew"), id: leases }),
  "tenant-create": optional(
    { kind: kind("tenant-create"), id: tenants, name: texts, records },
    { limits, compaction },
  ),
  "tenant-update": optional(
    { kind: kind("tenant-update"), id: tenants },
    { name: texts, suspended: fc.boolean(), limits: limitChanges, compaction },
  ),
  "tenant-delete": record({ kind: kind("tenant-delete"), id: tenants }),
  records: record({ kind: kind("records"), changes: records }),
  member: record({ kind: kind("member"), member: members }),
  "member-add": record({ kind: kind("member-add"), member: members }),
  "member-remove": record({ kind: kind("member-remove"), id: memberIds }),
  "member-promote": record({ kind: kind("member-promote"), id: memberIds }),
  "member-update": record({
    kind: kind("member-update"),
    id: memberIds,
    peerUrls: fc.array(texts, { maxLength: 3 }),
  }),
};

/** A small pool of tenants and actors, so that neighbours in a batch often share them. */
export function proposalsOf(commands: fc.Arbitrary<Command>): fc.Arbitrary<Proposal> {
  return record({
    tenant: fc.oneof(
      scopes,
      fc.constant(tenantId("0fedcba9-8765-4321-89ab-cdef01234567")),
      fc.constant(CLUSTER_SCOPE),
    ),
    policyRevision: fc.option(natural, { nil: undefined }),
    credentialRevision: fc.option(natural, { nil: undefined }),
    actor: record({
      issuer: fc.oneof(texts, fc.constant("https://issuer.test")),
      subject: fc.oneof(texts, fc.constant("user:alice")),
      requestId: texts,
    }),
    command: commands,
  });
}

export const batches: fc.Arbitrary<Proposal[]> = fc.array(
  proposalsOf(fc.oneof(...Object.values(commandsByKind))),
  { maxLength: 6 },
);
