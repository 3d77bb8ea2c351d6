import { CofferError } from "../errors.ts";
import { ACTIONS, type PolicyRow } from "./row.ts";
import { ROLE_DEPTH_MAX, ROLES_PER_MEMBER_MAX, tooDeepLink } from "./roles.ts";

/** Rows of one tenant; indexing so many after a change takes about 5 ms, all that a turn may. */
export const ROWS_PER_TENANT_MAX = 5_000;
/** Characters of a subject or role. */
export const NAME_CHARS_MAX = 1024;
/** UTF-8 bytes of an object: the limit of a key, and its star. */
export const OBJECT_BYTES_MAX = 10_241;

const NAME_FORM = /^(user|sa|cert|group|role):./;
const PRINCIPAL_FORM = /^(user|sa|cert):./;
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f]/;
const SURROGATE = /[\ud800-\udfff]/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Checks all rows of one tenant: each by itself, then the graph of roles. Throws CofferError
 * `invalid-argument` that names the row (from 1) and the reason. Reasons never quote an object,
 * which may hold a user's key, nor any other field, which a misplaced comma may have filled with
 * one.
 */
export function validateRows(rows: readonly PolicyRow[]): void {
  if (rows.length > ROWS_PER_TENANT_MAX) {
    throw new CofferError("invalid-argument", `more than ${ROWS_PER_TENANT_MAX} policy rows`);
  }
  const seen = new Map<string, number>();
  const links = new Map<string, string[]>();
  rows.forEach((row, index) => {
    const fault = faultOfRow(row) ?? faultOfRepeat(row, index, seen) ?? faultOfLink(row, links);
    if (fault !== undefined) throw rowError(index, fault);
  });
  const deep = tooDeepLink(links);
  if (deep === undefined) return;
  const at = rows.findIndex(([kind, a, b]) => kind === "g" && a === deep[0] && b === deep[1]);
  throw rowError(
    at,
    `begins a chain of more than ${ROLE_DEPTH_MAX} roles, or a circle; give roles more directly`,
  );
}

/** What is wrong with one row by itself, or undefined. Takes anything, for it guards the door. */
export function faultOfRow(row: unknown): string | undefined {
  if (!Array.isArray(row)) return "is not a list of fields";
  const fields: readonly unknown[] = row;
  for (const [column, field] of fields.entries()) {
    const fault = faultOfField(field);
    if (fault !== undefined) return `field ${column + 1} ${fault}`;
  }
  const [kind, ...rest] = fields as PolicyRow;
  if (kind === "p") return faultOfGrant(rest);
  if (kind === "g") return faultOfMembership(rest);
  return "must begin with p or g";
}

/** Whether `subject` is one that an identity may have: a role or group can never be spelled. */
export function isPrincipalName(subject: string): boolean {
  return PRINCIPAL_FORM.test(subject) && faultOfName(subject) === undefined;
}

function faultOfField(field: unknown): string | undefined {
  if (typeof field !== "string") return "is not a string";
  if (field === "") return "is empty";
  if (field.includes("\0")) return "holds a NUL";
  if (SURROGATE.test(field) && LONE_SURROGATE.test(field)) return "is not well-formed Unicode";
  return undefined;
}

function faultOfGrant(fields: readonly string[]): string | undefined {
  if (fields.length !== 4) return "must have the five fields p, subject, object, action, effect";
  const [subject = "", object = "", action = "", effect = ""] = fields;
  const fault = faultOfName(subject);
  if (fault !== undefined) return `subject ${fault}`;
  const star = object.indexOf("*");
  if (star !== -1 && star !== object.length - 1) {
    return "object may hold one star only, as its last character";
  }
  if (Buffer.byteLength(object) > OBJECT_BYTES_MAX) {
    return `object is longer than ${OBJECT_BYTES_MAX} bytes`;
  }
  if (action !== "*" && !(ACTIONS as readonly string[]).includes(action)) {
    return `action must be one of ${ACTIONS.join(", ")}, or *`;
  }
  if (effect !== "allow" && effect !== "deny") return "effect must be allow or deny, exactly so";
  return undefined;
}

function faultOfMembership(fields: readonly string[]): string | undefined {
  if (fields.length !== 2) return "must have the three fields g, member, role";
  const [member = "", role = ""] = fields;
  const fault = faultOfName(member);
  if (fault !== undefined) return `member ${fault}`;
  const roleFault = faultOfName(role);
  if (roleFault !== undefined) return `role ${roleFault}`;
  if (!role.startsWith("role:")) return "role must begin with role:";
  return undefined;
}

function faultOfName(name: string): string | undefined {
  if (CONTROL.test(name)) return "holds a control character";
  if (!NAME_FORM.test(name)) {
    return "must be user:, sa:, cert:, group: or role: followed by a name";
  }
  if (name.length > NAME_CHARS_MAX) return `is longer than ${NAME_CHARS_MAX} characters`;
  return undefined;
}

function faultOfRepeat(
  row: PolicyRow,
  index: number,
  seen: Map<string, number>,
): string | undefined {
  const id = row.join("\0"); // No field holds a NUL.
  const first = seen.get(id);
  if (first !== undefined) return `repeats row ${first + 1}`;
  seen.set(id, index);
  return undefined;
}

function faultOfLink(row: PolicyRow, links: Map<string, string[]>): string | undefined {
  const [kind, member = "", role = ""] = row;
  if (kind !== "g") return undefined;
  const given = links.get(member);
  if (given === undefined) links.set(member, [role]);
  else if (given.push(role) > ROLES_PER_MEMBER_MAX) {
    return `gives its member more than ${ROLES_PER_MEMBER_MAX} roles`;
  }
  return undefined;
}

function rowError(index: number, fault: string): CofferError {
  return new CofferError("invalid-argument", `policy row ${index + 1} ${fault}`);
}
