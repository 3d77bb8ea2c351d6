import {
  type Compare,
  type DeleteRangeRequest,
  type Key,
  type KeyValue,
  type LeaseId,
  NO_LEASE,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type LimitChanges,
  type TenantLimits,
  type TenantUsage,
  type TxnRequest,
  keyRange,
  rangeHas,
} from "../../src/core/types/mod.ts";

/**
 * The reference: one tenant as a list of whole key spaces, one per revision, written for plainness
 * from etcd-wire.md 2.3 to 2.7. Answers are shaped as the core's, with errors as their code.
 */
type Space = Map<Key, KeyValue>;

export interface Model {
  revision: number;
  compactRevision: number;
  /** By revision. */
  spaces: Space[];
  leases: Map<LeaseId, { ttl: number; deadline: number }>;
  /** Every change ever, with the bytes of its key and value. */
  log: { readonly revision: number; readonly bytes: number }[];
  suspended: boolean;
  limits: TenantLimits;
}

export function newModel(): Model {
  const empty: Space = new Map();
  return {
    revision: 1,
    compactRevision: -1,
    spaces: [empty, empty],
    leases: new Map(),
    log: [],
    suspended: false,
    limits: {},
  };
}

const bytesOf = (kv: KeyValue): number => kv.key.length + kv.value.length;
const bytesIn = (space: Space): number =>
  [...space.values()].reduce((sum, kv) => sum + bytesOf(kv), 0);

/** What can be read: the keys at the compacted revision, and every change after it. */
export function modelUsage(model: Model): TenantUsage {
  const latest = model.spaces[model.revision] as Space;
  const compacted = Math.max(model.compactRevision, 0);
  const later = model.log.filter(({ revision }) => revision > compacted);
  return {
    keys: latest.size,
    leases: model.leases.size,
    bytes: bytesIn(model.spaces[compacted] as Space) + later.reduce((sum, c) => sum + c.bytes, 0),
    liveBytes: bytesIn(latest),
  };
}

/** The key space being written, and whether anything was. */
class Draft {
  changed = 0;
  /** Bytes of the puts alone. */
  putBytes = 0;
  readonly log: { revision: number; bytes: number }[] = [];
  readonly space: Space;
  readonly model: Model;
  constructor(model: Model) {
    this.model = model;
    this.space = new Map(model.spaces[model.revision]);
  }
  get revision(): number {
    return this.model.revision + (this.changed > 0 ? 1 : 0);
  }
  put(r: PutRequest): KeyValue | undefined {
    const old = this.space.get(r.key);
    const revision = (this.model.revision + 1) as KeyValue["modRevision"];
    const kv: KeyValue = {
      key: r.key,
      createRevision: old?.createRevision ?? revision,
      modRevision: revision,
      version: (old?.version ?? 0) + 1,
      lease: r.ignoreLease ? (old?.lease ?? NO_LEASE) : r.lease,
      value: r.ignoreValue ? (old?.value ?? r.value) : r.value,
    };
    this.space.set(r.key, kv);
    this.log.push({ revision, bytes: bytesOf(kv) });
    this.putBytes += bytesOf(kv);
    this.changed += 1;
    return old;
  }
  remove(r: DeleteRangeRequest): KeyValue[] {
    const range = keyRange(r.key, r.rangeEnd);
    const rows = inOrder(this.space).filter((kv) => rangeHas(range, kv.key));
    for (const kv of rows) {
      this.space.delete(kv.key);
      this.log.push({ revision: this.model.revision + 1, bytes: kv.key.length });
    }
    this.changed += rows.length;
    return rows;
  }
  /** Why the puts are refused, if they are: the bytes of all that is put, and the keys at the end. */
  quotaError(): unknown {
    if (this.putBytes === 0) return undefined;
    const { keys, bytes } = modelUsage(this.model);
    const { bytesMax, keysMax } = this.model.limits;
    if (bytesMax !== undefined && bytes + this.putBytes > bytesMax) return error("no-space");
    if (keysMax === undefined || this.space.size <= Math.max(keysMax, keys)) return undefined;
    return { ...error("quota-exceeded"), detail: `keys: ${keysMax}` };
  }
  commit(): number {
    if (this.changed > 0) {
      this.model.log.push(...this.log);
      this.model.revision += 1;
      this.model.spaces[this.model.revision] = this.space;
    }
    return this.model.revision;
  }
}

const error = (code: string): object => ({ kind: "error", code });

const inOrder = (space: Space): KeyValue[] =>
  [...space.values()].sort((a, b) => (a.key < b.key ? -1 : 1));

export function modelRange(model: Model, r: RangeRequest, draft?: Draft): unknown {
  const now = draft?.revision ?? model.revision;
  if (r.revision > now) return "future-revision";
  if (r.revision > 0 && r.revision < model.compactRevision) return "compacted";
  const latest = draft?.space ?? (model.spaces[model.revision] as Space);
  const space = r.revision > 0 && r.revision < now ? (model.spaces[r.revision] as Space) : latest;
  const range = keyRange(r.key, r.rangeEnd);
  const all = inOrder(space).filter((kv) => rangeHas(range, kv.key));
  if (r.countOnly) return { kvs: [], more: false, count: all.length };
  const bounds = [r.minModRevision, r.maxModRevision, r.minCreateRevision, r.maxCreateRevision];
  const filters = bounds.some((bound) => bound !== 0);
  let kvs = all;
  if (r.limit > 0 && r.sortOrder === "none" && !filters) kvs = kvs.slice(0, r.limit + 1);
  kvs = kvs.filter(
    (kv) =>
      (r.minModRevision === 0 || kv.modRevision >= r.minModRevision) &&
      (r.maxModRevision === 0 || kv.modRevision <= r.maxModRevision) &&
      (r.minCreateRevision === 0 || kv.createRevision >= r.minCreateRevision) &&
      (r.maxCreateRevision === 0 || kv.createRevision <= r.maxCreateRevision),
  );
  const rank = (kv: KeyValue): number =>
    ({ version: kv.version, create: kv.createRevision, mod: kv.modRevision, key: 0, value: 0 })[
      r.sortTarget
    ];
  const sign = r.sortOrder === "descend" ? -1 : 1;
  if (r.sortTarget === "key" && sign < 0) kvs = kvs.toReversed();
  else kvs = kvs.toSorted((a, b) => sign * (rank(a) - rank(b)));
  const more = r.limit > 0 && kvs.length > r.limit;
  if (more) kvs = kvs.slice(0, r.limit);
  if (r.keysOnly) kvs = kvs.map((kv) => ({ ...kv, value: new Uint8Array(0) }));
  return { kvs, more, count: all.length };
}

function holds(space: Space, c: Compare): boolean {
  if (c.target === "decided") return c.holds;
  const range = keyRange(c.key, c.rangeEnd);
  const rows: (KeyValue | undefined)[] = inOrder(space).filter((kv) => rangeHas(range, kv.key));
  if (rows.length === 0) rows.push(undefined);
  return rows.every((kv) => {
    const left = BigInt(
      c.target === "version"
        ? (kv?.version ?? 0)
        : c.target === "create"
          ? (kv?.createRevision ?? 0)
          : c.target === "mod"
            ? (kv?.modRevision ?? 0)
            : (kv?.lease ?? 0n),
    );
    const right = BigInt(c.operand as number | bigint);
    const order = left < right ? "less" : left > right ? "greater" : "equal";
    return c.result === "not-equal" ? order !== "equal" : order === c.result;
  });
}

/** In a transaction etcd names the missing key first, outside of one the missing lease. */
function putError(model: Model, r: PutRequest, inTxn = false): string | undefined {
  if (r.ignoreValue && r.value.length > 0) return "value-provided";
  if (r.ignoreLease && r.lease !== NO_LEASE) return "lease-provided";
  const lease = r.lease !== NO_LEASE && !model.leases.has(r.lease) ? "lease-not-found" : undefined;
  const there = (model.spaces[model.revision] as Space).has(r.key);
  const kept = (r.ignoreValue || r.ignoreLease) && !there ? "key-not-found" : undefined;
  return inTxn ? (kept ?? lease) : (lease ?? kept);
}

function txnError(model: Model, r: TxnRequest): string | undefined {
  const before = model.spaces[model.revision] as Space;
  for (const op of r.compare.every((c) => holds(before, c)) ? r.success : r.failure) {
    const code =
      op.kind === "put"
        ? putError(model, op.request, true)
        : op.kind === "txn"
          ? txnError(model, op.request)
          : op.kind === "range" && op.request.revision > model.revision
            ? "future-revision"
            : op.kind === "range" &&
                op.request.revision !== 0 &&
                op.request.revision < model.compactRevision
              ? "compacted"
              : undefined;
    if (code !== undefined) return code;
  }
  return undefined;
}

function runTxn(draft: Draft, r: TxnRequest): unknown {
  const before = draft.model.spaces[draft.model.revision] as Space;
  const succeeded = r.compare.every((c) => holds(before, c));
  const responses = (succeeded ? r.success : r.failure).map((op: RequestOp) => {
    if (op.kind === "put") {
      const old = draft.put(op.request);
      const response = { prevKv: op.request.prevKv ? old : undefined };
      return { kind: "put", revision: draft.revision, response };
    }
    if (op.kind === "delete-range") {
      const rows = draft.remove(op.request);
      const response = { deleted: rows.length, prevKvs: op.request.prevKv ? rows : [] };
      return { kind: "delete-range", revision: draft.revision, response };
    }
    if (op.kind === "txn") return { kind: "txn", revision: 0, response: runTxn(draft, op.request) };
    if (op.kind !== "range") throw new Error("empty operation in the model");
    const response = modelRange(draft.model, op.request, draft);
    return { kind: "range", revision: draft.revision, response };
  });
  return { succeeded, responses };
}

export function modelPut(model: Model, r: PutRequest): unknown {
  const code = putError(model, r);
  if (code !== undefined) return error(code);
  const draft = new Draft(model);
  const old = draft.put(r);
  const over = draft.quotaError();
  if (over !== undefined) return over;
  return { kind: "put", revision: draft.commit(), prevKv: r.prevKv ? old : undefined };
}

export function modelDelete(model: Model, r: DeleteRangeRequest): unknown {
  const draft = new Draft(model);
  const rows = draft.remove(r);
  const response = { deleted: rows.length, prevKvs: r.prevKv ? rows : [] };
  return { kind: "delete-range", revision: draft.commit(), response };
}

/** The request has passed `checkTxn`. */
export function modelTxn(model: Model, r: TxnRequest): unknown {
  const code = txnError(model, r);
  if (code !== undefined) return error(code);
  const draft = new Draft(model);
  const response = runTxn(draft, r);
  const over = draft.quotaError();
  if (over !== undefined) return over;
  return { kind: "txn", revision: draft.commit(), response };
}

export function modelCompact(model: Model, revision: number): unknown {
  if (revision <= model.compactRevision) return error("compacted");
  if (revision > model.revision) return error("future-revision");
  model.compactRevision = revision;
  return { kind: "compact", revision: model.revision };
}

export function modelGrant(model: Model, id: LeaseId, ttl: number, time: number): unknown {
  const { leasesMax } = model.limits;
  if (leasesMax !== undefined && model.leases.size >= leasesMax) {
    return { ...error("quota-exceeded"), detail: `leases: ${leasesMax}` };
  }
  if (model.leases.has(id)) return error("lease-exists");
  model.leases.set(id, { ttl, deadline: time + ttl * 1000 });
  return { kind: "lease-grant", revision: model.revision };
}

export function modelRenew(model: Model, id: LeaseId, time: number): unknown {
  const lease = model.leases.get(id);
  const live = lease !== undefined && lease.deadline > time;
  if (live) lease.deadline = Math.max(lease.deadline, time + lease.ttl * 1000);
  return { kind: "lease-renew", revision: model.revision, ttl: live ? lease.ttl : 0 };
}

export function modelRevoke(model: Model, id: LeaseId, expiredAt: number | undefined): unknown {
  const lease = model.leases.get(id);
  if (lease === undefined) return error("lease-not-found");
  if (expiredAt !== undefined && lease.deadline > expiredAt) return error("conflict");
  const draft = new Draft(model);
  for (const kv of inOrder(draft.space)) {
    if (kv.lease === id) draft.remove({ key: kv.key, rangeEnd: "" as Key, prevKv: false });
  }
  model.leases.delete(id);
  return { kind: "lease-revoke", revision: draft.commit() };
}

/** Every lease begins anew with its full TTL, when its tenant is suspended and again when it is resumed. */
export function modelUpdate(
  model: Model,
  change: { readonly suspended?: boolean; readonly limits?: LimitChanges },
  time: number,
): unknown {
  if (change.suspended !== undefined && change.suspended !== model.suspended) {
    model.suspended = change.suspended;
    for (const lease of model.leases.values()) {
      lease.deadline = Math.max(lease.deadline, time + lease.ttl * 1000);
    }
  }
  const { bytesMax, keysMax, leasesMax } = { ...model.limits, ...change.limits };
  model.limits = {
    ...(bytesMax === undefined ? {} : { bytesMax }),
    ...(keysMax === undefined ? {} : { keysMax }),
    ...(leasesMax === undefined ? {} : { leasesMax }),
  };
  return { kind: "done", policyRevision: 1 };
}
