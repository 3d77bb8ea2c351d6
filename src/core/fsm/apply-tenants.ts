import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type Command,
  type LimitChanges,
  NO_COMPACTION,
  NO_LIMITS,
  type TenantCompaction,
  type TenantId,
  type TenantLimits,
} from "../types/mod.ts";
import type { Chain } from "../mvcc/mod.ts";
import { assert, assertNever, byteStringOf, bytesOf } from "../../stdx/mod.ts";
import { refused } from "./refused.ts";
import { type RecordsChanged, noteTables, writeRecords } from "./apply-records.ts";
import type { FsmBackend } from "./backend.ts";
import { type Scope, type Scopes, newScope } from "./scopes.ts";

type CommandOf<Kind extends Command["kind"]> = Extract<Command, { readonly kind: Kind }>;

export type TenantCommand = CommandOf<"tenant-create" | "tenant-update" | "tenant-delete">;

/** When a command happens, and where what it changed is gathered. */
export interface TenantWork {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** Milliseconds of the lease clock. */
  readonly leaseTime: number;
  /** See `CommittedEntry`. */
  readonly movesCredentials: boolean;
  readonly recordChanges: RecordsChanged[];
  readonly tenantsChanged: TenantId[];
  readonly tenantsDeleted: TenantId[];
}

export interface TenantApplier {
  /** `by`: the scope that the command was proposed in. */
  apply(by: Scope, command: TenantCommand, work: TenantWork): ApplyResult;
}

interface Deps {
  readonly backend: FsmBackend;
  readonly scopes: Scopes;
  readonly chain: Chain;
}

export function createTenantApplier(deps: Deps): TenantApplier {
  return {
    apply(by, command, work) {
      switch (command.kind) {
        case "tenant-create":
          return create(deps, by, command, work);
        case "tenant-update":
          return update(deps, by, command, work);
        case "tenant-delete":
          return remove(deps, by, command, work);
        default:
          return assertNever(command);
      }
    },
  };
}

function create(
  { backend, scopes, chain }: Deps,
  by: Scope,
  command: CommandOf<"tenant-create">,
  work: TenantWork,
): ApplyResult {
  const { id, name, records, limits = NO_LIMITS, compaction = NO_COMPACTION } = command;
  if (by.id !== CLUSTER_SCOPE || id === CLUSTER_SCOPE || name === "") {
    return refused("invalid-argument", "a tenant needs an id and a name, in the cluster's scope");
  }
  const fault = faultOf(command);
  if (fault !== undefined) return refused("invalid-argument", fault);
  if (scopes.byName(name) !== undefined) return refused("already-exists", "tenant name");
  if (scopes.isKnown(id)) return refused("already-exists", "tenant id");
  const slot = backend.nextSlot();
  const made = newScope({ slot, id, name, created: work.time }, chain.first(id));
  const tenant: Scope = { ...made, limits, compaction };
  scopes.add(tenant);
  scopes.rewrite(tenant);
  writeRecords(backend, tenant, records);
  noteTables(work.recordChanges, id, records);
  return { kind: "done", policyRevision: tenant.policyRevision };
}

function update(
  deps: Deps,
  by: Scope,
  command: CommandOf<"tenant-update">,
  work: TenantWork,
): ApplyResult {
  const { scopes } = deps;
  const { id, name, suspended, compaction } = command;
  if (by.id !== CLUSTER_SCOPE || name === "") {
    return refused("invalid-argument", "a tenant is changed in the cluster's scope");
  }
  const tenant = scopes.tenant(id);
  if (tenant === undefined) return refused("not-found", "there is no such tenant");
  const limits = withChanges(tenant.limits, command.limits);
  const fault = faultOf({ limits, ...(compaction && { compaction }) });
  if (fault !== undefined) return refused("invalid-argument", fault);
  if (name !== undefined && name !== tenant.name) {
    if (scopes.byName(name) !== undefined) return refused("already-exists", "tenant name");
    giveUpName(deps, tenant.name, work);
    scopes.rename(tenant, name);
    if (work.movesCredentials) tenant.credentialRevision += 1;
  }
  if (suspended !== undefined && suspended !== tenant.suspended) {
    tenant.suspended = suspended;
    if (work.movesCredentials) tenant.credentialRevision += 1;
    tenant.leaseFloor = work.leaseTime;
    scopes.toClean.add(tenant);
  }
  tenant.limits = limits;
  if (compaction !== undefined) tenant.compaction = compaction;
  scopes.rewrite(tenant);
  work.tenantsChanged.push(id);
  return { kind: "done", policyRevision: by.policyRevision };
}

/** Its records, wrapped keys among them, go at once; keys and history in slices by the cleaner. */
function remove(
  deps: Deps,
  by: Scope,
  { id }: CommandOf<"tenant-delete">,
  work: TenantWork,
): ApplyResult {
  const { backend, scopes } = deps;
  if (by.id !== CLUSTER_SCOPE && by.id !== id) {
    return refused("invalid-argument", "one tenant cannot delete another");
  }
  const tenant = scopes.tenant(id);
  if (tenant === undefined) return refused("not-found", "there is no such tenant");
  giveUpName(deps, tenant.name, work);
  scopes.delete(tenant);
  backend.removeRecords(tenant.slot);
  work.tenantsDeleted.push(id);
  return { kind: "done", policyRevision: by.policyRevision };
}

/** Leaves the mark that credentials for the name are older than; the clock may have gone back. */
function giveUpName({ backend, scopes }: Deps, name: string, work: TenantWork): void {
  const cluster = scopes.byId(CLUSTER_SCOPE);
  assert(cluster !== undefined, "The cluster's scope is gone");
  const known = backend.record(cluster.slot, FORMER, name);
  const earlier = known === undefined ? 0 : Number(byteStringOf(known));
  const data = bytesOf(String(Math.max(work.time, earlier)));
  const changes = [{ table: FORMER, id: name, data, expect: "any" }] as const;
  writeRecords(backend, cluster, changes);
  noteTables(work.recordChanges, CLUSTER_SCOPE, changes);
}

const FORMER = "former-tenant";

/** The limits after a change: the same object if nothing is named. */
function withChanges(limits: TenantLimits, changes: LimitChanges | undefined): TenantLimits {
  if (changes === undefined) return limits;
  const named = Object.entries({ ...limits, ...changes });
  return Object.fromEntries(named.filter(([, limit]) => limit !== undefined));
}

/** What no tenant can be given, in words. */
function faultOf(given: {
  readonly limits?: TenantLimits;
  readonly compaction?: TenantCompaction;
}): string | undefined {
  for (const [name, limit] of Object.entries(given.limits ?? {})) {
    if (!isCount(limit, 0)) return `the limit ${name} is no whole number from 0`;
  }
  const { limits, compaction } = given;
  if (limits?.requestBurst !== undefined && limits.requestsPerSecond === undefined) {
    return "request-burst needs requests-per-second too";
  }
  if (compaction?.kind === "age" && !isCount(compaction.seconds, 1)) {
    return "an age of history is a whole number of seconds from 1";
  }
  if (compaction?.kind === "count" && !isCount(compaction.revisions, 1)) {
    return "a count of revisions is a whole number from 1";
  }
  return undefined;
}

function isCount(value: unknown, min: number): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= min;
}
