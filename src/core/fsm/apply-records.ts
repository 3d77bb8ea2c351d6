import type { ApplyResult, RecordChange, RecordTable, TenantId } from "../types/mod.ts";
import type { FsmBackend } from "./backend.ts";
import type { Scope, Scopes } from "./scopes.ts";
import { refused } from "./refused.ts";

/** A table of a scope in which records changed, and which: in order, perhaps more than once. */
export interface RecordsChanged {
  readonly scope: TenantId;
  readonly table: RecordTable;
  readonly ids: string[];
}

/** What decides whose credentials are good. */
const CREDENTIAL_TABLES: ReadonlySet<RecordTable> = new Set<RecordTable>([
  "issuer",
  "revocation",
  "certificate-rule",
]);

/**
 * Changes records of a scope, all or none. The first expectation that fails is answered:
 * `already-exists` for "absent", `not-found` for "present". A change of policy moves the scope's
 * policy revision by one, and one of what decides about credentials its credential revision, unless
 * `movesCredentials` is false.
 */
export function changeRecords(
  backend: FsmBackend,
  on: {
    readonly scope: Scope;
    readonly scopes: Scopes;
    readonly changed: RecordsChanged[];
    readonly movesCredentials: boolean;
  },
  changes: readonly RecordChange[],
): ApplyResult {
  const { scope, scopes, changed, movesCredentials } = on;
  const failure = checkExpectations(backend, scope, changes);
  if (failure !== undefined) return failure;
  writeRecords(backend, scope, changes);
  noteTables(changed, scope.id, changes);
  if (changes.some((change) => change.table === "policy")) {
    scope.policyRevision += 1;
    scopes.touch(scope);
  }
  if (movesCredentials && changes.some(({ table }) => CREDENTIAL_TABLES.has(table))) {
    scope.credentialRevision += 1;
    scopes.touch(scope);
  }
  return { kind: "done", policyRevision: scope.policyRevision };
}

/** Writes records without a look at what is there. */
export function writeRecords(
  backend: FsmBackend,
  scope: Scope,
  changes: readonly RecordChange[],
): void {
  for (const { table, id, data } of changes) {
    if (data === undefined) backend.removeRecord(scope.slot, table, id);
    else backend.putRecord(scope.slot, table, { id, data });
  }
}

/** Adds what `changes` touched to `changed`, which names each table of a scope once. */
export function noteTables(
  changed: RecordsChanged[],
  scope: TenantId,
  changes: readonly RecordChange[],
): void {
  for (const { table, id } of changes) {
    const known = changed.find((one) => one.scope === scope && one.table === table);
    if (known === undefined) changed.push({ scope, table, ids: [id] });
    else known.ids.push(id);
  }
}

function checkExpectations(
  backend: FsmBackend,
  scope: Scope,
  changes: readonly RecordChange[],
): ApplyResult | undefined {
  // What earlier changes of the same command will have left behind.
  const after = new Map<string, boolean>();
  for (const { table, id, data, expect } of changes) {
    const name = `${table}/${id}`;
    const present = after.get(name) ?? backend.record(scope.slot, table, id) !== undefined;
    if (expect === "absent" && present) return refused("already-exists", `${table} record`);
    if (expect === "present" && !present) return refused("not-found", `${table} record`);
    after.set(name, data !== undefined);
  }
  return undefined;
}
