import type { Command } from "../command.ts";
import { auditCheckpoints, auditExport } from "./audit-export.ts";
import { auditSearch, auditTail } from "./audit-search.ts";
import { auditVerify } from "./audit-verify.ts";

export const auditCommands: readonly Command[] = [
  auditTail,
  auditSearch,
  auditExport,
  auditCheckpoints,
  auditVerify,
];
