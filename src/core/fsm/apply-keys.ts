import {
  type Actor,
  type AppliedChange,
  type ApplyResult,
  type Command,
  type LeaseId,
  type Proposal,
  revision,
} from "../types/mod.ts";
import type { ErrorCode } from "../../errors.ts";
import {
  type Chain,
  KeyWriter,
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
} from "../mvcc/mod.ts";
import { checkRevoke, grantLease, renewLease } from "../lease/mod.ts";
import { assert, assertNever } from "../../stdx/mod.ts";
import type { FsmBackend } from "./backend.ts";
import type { Scope, Scopes } from "./scopes.ts";

/** The commands that work on one tenant's keys and leases. */
export type KeyCommand = Extract<
  Command,
  {
    kind:
      "put" | "delete-range" | "txn" | "compact" | "lease-grant" | "lease-revoke" | "lease-renew";
  }
>;

export interface KeyApplier {
  /** Applies to a live tenant; what changed is added to `changes`. */
  apply(
    scope: Scope,
    proposal: Proposal & { readonly command: KeyCommand },
    changes: AppliedChange[],
  ): ApplyResult;
}

export function createKeyApplier(backend: FsmBackend, scopes: Scopes, chain: Chain): KeyApplier {
  const contextOf = (scope: Scope): TxnContext => ({
    reader: backend,
    view: scope,
    leaseExists: (id: LeaseId) => backend.lease(scope.slot, id) !== undefined,
  });

  /** Ends a transaction: moves the revision, links the chain and keeps the history. */
  const finish = (
    scope: Scope,
    writer: KeyWriter,
    by: { readonly actor: Actor; readonly time: number },
  ): AppliedChange | undefined => {
    const { events } = writer;
    if (events.length === 0) return undefined;
    const { actor, time } = by;
    const next = writer.revision;
    const link = { previous: scope.hash, revision: next, actor, time, events };
    scope.hash = chain.next(link);
    scope.revision = next;
    for (const { type, kv, sub } of events) {
      const hash = sub === 0 ? scope.hash : undefined;
      backend.append(scope.slot, { type, kv, sub, actor, time, hash });
    }
    scopes.touch(scope);
    return { tenant: scope.id, revision: next, events };
  };

  const compact = (scope: Scope, target: number): ApplyResult => {
    const code = checkCompact(scope, target);
    if (code !== undefined) return refused(code);
    // Revisions 0 and 1 precede every change, so the chain there is where it began.
    if (target > 1) {
      const hash = backend.hashAt(scope.slot, target);
      assert(hash !== undefined, "History lost the hash of a revision that can be compacted");
      scope.compactHash = hash;
    }
    scope.compactRevision = target;
    scopes.touch(scope);
    return { kind: "compact", revision: revision(scope.revision) };
  };

  return {
    apply(scope, proposal, changes) {
      const { command, time } = proposal;
      const writer = new KeyWriter(backend, scope);
      const end = <R extends ApplyResult>(result: R): R => {
        const change = finish(scope, writer, proposal);
        if (change !== undefined) changes.push(change);
        return result;
      };
      switch (command.kind) {
        case "put": {
          const code = validatePut(contextOf(scope), command.request);
          if (code !== undefined) return refused(code);
          const { prevKv } = applyPut(writer, command.request);
          return end({ kind: "put", revision: writer.revision, prevKv });
        }
        case "delete-range": {
          const code = checkDeleteRange(command.request);
          if (code !== undefined) return refused(code);
          const response = applyDeleteRange(writer, command.request);
          return end({ kind: "delete-range", revision: writer.revision, response });
        }
        case "txn": {
          const context = contextOf(scope);
          const { request, guards } = command;
          const shape = checkTxn(request, Number.MAX_SAFE_INTEGER);
          if (shape !== undefined) return refused(shape);
          if (!guards.every((guard) => guardHolds(backend, scope, guard))) {
            return { kind: "guard-failed", revision: revision(scope.revision) };
          }
          const plan = planTxn(context, request);
          const code = validateTxn(context, request, plan);
          if (code !== undefined) return refused(code);
          const response = applyTxn(writer, request, plan);
          return end({ kind: "txn", revision: writer.revision, response });
        }
        case "compact":
          return compact(scope, command.revision);
        case "lease-grant": {
          const code = grantLease(backend, scope.slot, { ...command, time });
          if (code !== undefined) return refused(code);
          return { kind: "lease-grant", revision: revision(scope.revision) };
        }
        case "lease-revoke": {
          const code = checkRevoke(backend, scope.slot, { ...command, time });
          if (code !== undefined) return refused(code);
          for (const key of backend.leaseKeys(scope.slot, command.id)) writer.deleteKey(key);
          backend.removeLease(scope.slot, command.id);
          return end({ kind: "lease-revoke", revision: writer.revision });
        }
        case "lease-renew": {
          const ttl = renewLease(backend, scope.slot, { id: command.id, time });
          return { kind: "lease-renew", revision: revision(scope.revision), ttl };
        }
        default:
          return assertNever(command);
      }
    },
  };
}

export function refused(code: ErrorCode, detail?: string): ApplyResult {
  return detail === undefined ? { kind: "error", code } : { kind: "error", code, detail };
}
