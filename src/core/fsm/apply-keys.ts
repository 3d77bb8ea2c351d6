import {
  type Actor,
  type AppliedChange,
  type ApplyResult,
  type Command,
  type DeleteRangeRequest,
  type Guard,
  type LeaseId,
  type PutRequest,
  type Revision,
  type TxnRequest,
} from "../types/mod.ts";
import {
  type Chain,
  KeyWriter,
  type PlannedWrites,
  type TxnContext,
  applyDeleteRange,
  applyPut,
  applyTxn,
  checkCompact,
  checkDeleteRange,
  checkTxn,
  guardHolds,
  planTxn,
  validatePut,
  validateTxn,
  writesOf,
} from "../mvcc/mod.ts";
import { checkRevoke, grantLease, renewLease } from "../lease/mod.ts";
import { assert, assertNever } from "../../stdx/mod.ts";
import type { FsmBackend } from "./backend.ts";
import { refused } from "./refused.ts";
import { checkLease, checkWrites, hasWriteLimit } from "./quota.ts";
import { ScopeLeases } from "./scope-leases.ts";
import type { Scope, Scopes } from "./scopes.ts";

/** The commands that work on one tenant's keys and leases. */
export type KeyCommand = Extract<
  Command,
  {
    kind:
      "put" | "delete-range" | "txn" | "compact" | "lease-grant" | "lease-revoke" | "lease-renew";
  }
>;

/** A command with who asked for it, and the times of its entry. */
export interface KeyWork {
  readonly actor: Actor;
  readonly command: KeyCommand;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** Milliseconds of the lease clock. */
  readonly leaseTime: number;
}

export interface KeyApplier {
  /** Applies to a live tenant, unless it is suspended; what changed is added to `changes`. */
  apply(scope: Scope, wanted: KeyWork, changes: AppliedChange[]): ApplyResult;
}

/** What applying one command works on. */
interface Work {
  readonly backend: FsmBackend;
  readonly scope: Scope;
  readonly scopes: Scopes;
  readonly writer: KeyWriter;
  /** Milliseconds of the lease clock. */
  readonly leaseTime: number;
}

export function createKeyApplier(backend: FsmBackend, scopes: Scopes, chain: Chain): KeyApplier {
  /** Ends a transaction: moves the revision, links the chain and keeps the history. */
  const finish = (
    scope: Scope,
    writer: KeyWriter,
    by: { readonly actor: Actor; readonly time: number },
  ): AppliedChange => {
    const { events } = writer;
    const { actor, time } = by;
    const next = writer.revision;
    const link = { previous: scope.hash, revision: next, actor, time, events };
    scope.hash = chain.next(link);
    scope.revision = next;
    scope.appended += writer.appended;
    scope.garbage += writer.garbage;
    scope.keys += writer.keysGained;
    for (const { type, kv, sub } of events) {
      // The first change of a revision keeps what is the revision's.
      const hash = sub === 0 ? scope.hash : undefined;
      const garbage = sub === 0 ? scope.garbage : undefined;
      backend.append(scope.slot, { type, kv, sub, actor, time, hash, garbage });
    }
    scopes.touch(scope);
    return { tenant: scope.id, revision: next, events };
  };

  return {
    apply(scope, wanted, changes) {
      if (scope.suspended) return refused("tenant-suspended");
      const writer = new KeyWriter(backend, scope);
      const work: Work = { backend, scope, scopes, writer, leaseTime: wanted.leaseTime };
      const result = applyCommand(work, wanted.command);
      if (writer.events.length > 0) changes.push(finish(scope, writer, wanted));
      return result;
    },
  };
}

function applyCommand(work: Work, command: KeyCommand): ApplyResult {
  switch (command.kind) {
    case "put":
      return put(work, command.request);
    case "delete-range":
      return deleteRange(work, command.request);
    case "txn":
      return txn(work, command.request, command.guards);
    case "compact":
      return compact(work, command.revision);
    case "lease-grant":
      return grant(work, command);
    case "lease-revoke":
      return revoke(work, command);
    case "lease-renew": {
      const renewal = { id: command.id, leaseTime: work.leaseTime };
      const ttl = renewLease(leasesOf(work), work.scope.slot, renewal);
      return { kind: "lease-renew", revision: now(work), ttl };
    }
    default:
      return assertNever(command);
  }
}

function put(work: Work, request: PutRequest): ApplyResult {
  const code = validatePut(contextOf(work), request);
  if (code !== undefined) return refused(code);
  const over = overQuota(work, () => ({ puts: [request], deletes: [] }));
  if (over !== undefined) return over;
  const { prevKv } = applyPut(work.writer, request);
  return { kind: "put", revision: now(work), prevKv };
}

function deleteRange(work: Work, request: DeleteRangeRequest): ApplyResult {
  const code = checkDeleteRange(request);
  if (code !== undefined) return refused(code);
  const response = applyDeleteRange(work.writer, request);
  return { kind: "delete-range", revision: now(work), response };
}

function txn(work: Work, request: TxnRequest, guards: readonly Guard[]): ApplyResult {
  const { backend, scope, writer } = work;
  const shape = checkTxn(request, Number.MAX_SAFE_INTEGER);
  if (shape !== undefined) return refused(shape);
  if (!guards.every((guard) => guardHolds(backend, scope, guard))) {
    return { kind: "guard-failed", revision: now(work) };
  }
  const context = contextOf(work);
  const plan = planTxn(context, request);
  const code = validateTxn(context, request, plan);
  if (code !== undefined) return refused(code);
  const over = overQuota(work, () => writesOf(request, plan));
  if (over !== undefined) return over;
  const response = applyTxn(writer, request, plan);
  return { kind: "txn", revision: now(work), response };
}

function compact(work: Work, target: number): ApplyResult {
  const { backend, scope, scopes } = work;
  const code = checkCompact(scope, target);
  if (code !== undefined) return refused(code);
  // Revisions 0 and 1 precede every change, so the chain there is where it began.
  if (target > 1) {
    const row = backend.revisionRow(scope.slot, target);
    assert(row !== undefined, "History lost a revision that can be compacted");
    scope.compactHash = row.hash;
    scope.compactGarbage = row.garbage;
  }
  scope.compactRevision = target;
  scopes.touch(scope);
  scopes.toClean.add(scope);
  return { kind: "compact", revision: now(work) };
}

function grant(
  work: Work,
  { id, ttl }: { readonly id: LeaseId; readonly ttl: number },
): ApplyResult {
  const { scope, scopes, leaseTime } = work;
  const over = checkLease(scope);
  if (over !== undefined) return over;
  const code = grantLease(leasesOf(work), scope.slot, { id, ttl, leaseTime });
  if (code !== undefined) return refused(code);
  scope.leases += 1;
  scopes.touch(scope);
  return { kind: "lease-grant", revision: now(work) };
}

function revoke(
  work: Work,
  command: { readonly id: LeaseId; readonly cause: "revoked" | "expired" },
): ApplyResult {
  const { backend, scope, scopes, writer, leaseTime } = work;
  const code = checkRevoke(leasesOf(work), scope.slot, { ...command, leaseTime });
  if (code !== undefined) return refused(code);
  for (const key of backend.leaseKeys(scope.slot, command.id)) writer.deleteKey(key);
  backend.removeLease(scope.slot, command.id);
  scope.leases -= 1;
  scopes.touch(scope);
  return { kind: "lease-revoke", revision: now(work) };
}

function leasesOf({ backend, scope }: Work): ScopeLeases {
  return new ScopeLeases(backend, scope);
}

function overQuota({ backend, scope }: Work, writes: () => PlannedWrites): ApplyResult | undefined {
  return hasWriteLimit(scope) ? checkWrites(backend, scope, writes()) : undefined;
}

function contextOf({ backend, scope }: Work): TxnContext {
  const leaseExists = (id: LeaseId): boolean => backend.lease(scope.slot, id) !== undefined;
  return { reader: backend, view: scope, leaseExists };
}

/** The tenant's revision with what the command has changed so far. */
function now(work: Work): Revision {
  return work.writer.revision;
}
