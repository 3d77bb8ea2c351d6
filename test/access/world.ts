import {
  type Access,
  type AccessSubject,
  type Action,
  type PolicyFiles,
  type PolicyRow,
  createAccess,
  findPolicyFolder,
  loadPolicyFiles,
  singleKey,
} from "../../src/access/mod.ts";
import { type KeyRange, type TenantId, key, prefixRange } from "../../src/core/types/mod.ts";

export const FILES: PolicyFiles = loadPolicyFiles(findPolicyFolder(import.meta.url));

export const TENANT = "00000000-0000-4000-8000-000000000001" as TenantId;
export const OTHER = "00000000-0000-4000-8000-000000000002" as TenantId;

/** Tenants whose policies a test sets; each setting moves the policy revision, as the log does. */
export interface World {
  readonly access: Access;
  set(tenant: TenantId, rows: readonly PolicyRow[]): void;
  remove(tenant: TenantId): void;
  /** How often the rows of a tenant were read. */
  readonly reads: () => number;
}

export function createWorld(
  rows: readonly PolicyRow[] = [],
  limits?: { readonly policyRowsMax: number; readonly principalGrantsMax: number },
): World {
  const state = new Map<TenantId, { rows: readonly PolicyRow[]; revision: number }>();
  let revision = 0;
  let reads = 0;
  const set = (tenant: TenantId, next: readonly PolicyRow[]): void => {
    state.set(tenant, { rows: next, revision: ++revision });
  };
  set(TENANT, rows);
  const access = createAccess({
    modelText: FILES.modelText,
    rows: (tenant) => {
      reads++;
      return state.get(tenant)?.rows ?? [];
    },
    policyRevision: (tenant) => state.get(tenant)?.revision ?? 0,
    ...(limits === undefined ? {} : { limits }),
  });
  return { access, set, remove: (tenant) => void state.delete(tenant), reads: () => reads };
}

/** `may(world, "user:alice", "read", "/a")`; a name that ends in a star is a prefix. */
export function may(
  world: World,
  subject: string,
  action: Action,
  name: string | KeyRange,
): boolean {
  return world.access.check(who(subject), TENANT, action, rangeOf(name)).allowed;
}

export function rangeOf(name: string | KeyRange): KeyRange {
  if (typeof name !== "string") return name;
  return name.endsWith("*") ? prefixRange(key(name.slice(0, -1))) : singleKey(name);
}

/** `who("user:alice", "dev", "ops")`. */
export function who(subject: string, ...groups: readonly string[]): AccessSubject {
  return { subject, groups };
}
