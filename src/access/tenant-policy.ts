import type { TenantId } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { RoleLinks } from "./roles.ts";
import { type Grant, type PolicyRow, grantOf } from "./row.ts";
import { validateRows } from "./validate.ts";

/** The rows of one tenant at one policy revision, found by subject. Never changed once made. */
export interface TenantPolicy {
  readonly tenant: TenantId;
  readonly revision: number;
  readonly rowCount: number;
  /** In the order of the rows. */
  readonly grants: ReadonlyMap<string, readonly Grant[]>;
  readonly links: RoleLinks;
  /** Set if the rows are not valid: then there are no grants, and every question meets it. */
  readonly fault: CofferError | undefined;
}

/**
 * The policy of stored rows. Rows were checked when written; they are checked again, because a row
 * with a wrong effect would silently lose a denial.
 */
export function tenantPolicy(
  tenant: TenantId,
  revision: number,
  rows: readonly PolicyRow[],
): TenantPolicy {
  const grants = new Map<string, Grant[]>();
  const links = new Map<string, string[]>();
  const policy = { tenant, revision, rowCount: rows.length, grants, links };
  const fault = faultOf(rows);
  if (fault !== undefined) return { ...policy, fault };
  for (const row of rows) {
    if (row[0] === "p") {
      const grant = grantOf(row, tenant);
      append(grants, grant.subject, grant);
    } else {
      const [, member = "", role = ""] = row;
      append(links, member, role);
    }
  }
  return { ...policy, fault };
}

function faultOf(rows: readonly PolicyRow[]): CofferError | undefined {
  try {
    validateRows(rows);
    return undefined;
  } catch (cause) {
    const detail = "the tenant's policy is not valid, so everything is refused";
    return new CofferError("record-invalid", detail, { cause });
  }
}

function append<V>(lists: Map<string, V[]>, name: string, value: V): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [value]);
  else list.push(value);
}
