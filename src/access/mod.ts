/** Casbin: may this principal do this to this key or range of this tenant. See DESIGN.md. */
export {
  type Access,
  type AccessOptions,
  type Explanation,
  type Ground,
  type Holder,
  type Reason,
  type Trial,
  createAccess,
} from "./access.ts";
export { type AdminMatter, adminRange } from "./admin.ts";
export { formatPolicyCsv, parsePolicyCsv } from "./csv.ts";
export { ALL_KEYS, keyIn, objectBytes, rangeRel, singleKey } from "./object.ts";
export { type PolicyFiles, SEED_ROLES, findPolicyFolder, loadPolicyFiles } from "./policy-files.ts";
export type { AccessSubject, Refusal } from "./question.ts";
export { idOfRow, planPolicyChange, recordOf, rowOf, rowsAfter } from "./record.ts";
export type { AccessStatus } from "./rights-cache.ts";
export type { Decision } from "./action-rights.ts";
export { ROLE_DEPTH_MAX, ROLES_PER_MEMBER_MAX } from "./roles.ts";
export { ACTIONS, type Action, type PolicyRow } from "./row.ts";
export { ROWS_PER_TENANT_MAX, faultOfRow, validateRows } from "./validate.ts";
