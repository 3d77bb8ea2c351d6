import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import {
  type Access,
  type PolicyRow,
  createAccess,
  findPolicyFolder,
  formatPolicyCsv,
  parsePolicyCsv,
  validateRows,
} from "../../../src/access/mod.ts";
import { key, prefixRange } from "../../../src/core/types/mod.ts";
import { TENANT_A } from "../../seal/cluster-fixture.ts";
import { mutatedText, pick } from "../mutate.ts";
import { Finding, type Target, unlessRefused } from "../target.ts";

const WORDS: readonly string[] = [
  '"',
  '""',
  ",",
  "\n",
  "\r\n",
  "\r",
  "#",
  "*",
  "\0",
  "\u0000",
  "\ud800",
  "\ufeff",
  "p, ",
  "g, ",
  "role:reader",
  "user:alice",
  "group:dev",
  ", allow",
  ", deny",
  "Deny",
  "/a/*",
  "read",
  " ",
  "__proto__",
  "constructor",
];

const SUBJECTS: readonly string[] = ["user:alice", "user:nobody", "sa:ns/name", "role:owner", ""];

/** Rows of a policy as text: parsed, written again, validated, and asked. */
export function policyTarget(): Target {
  const folder = findPolicyFolder(import.meta.url);
  const modelText = readFileSync(join(folder, "model.conf"), "utf8");
  const seeds = readdirSync(folder)
    .filter((name) => name.endsWith(".csv"))
    .map((name) => readFileSync(join(folder, name), "utf8"));
  let rows: readonly PolicyRow[] = [];
  let policyRevision = 1;
  const access: Access = createAccess({
    modelText,
    rows: () => rows,
    policyRevision: () => policyRevision,
  });
  return {
    name: "policy",
    attempt(random) {
      const text = mutatedText(pick(seeds, random), random, WORDS);
      const parsed = unlessRefused(text, () => parsePolicyCsv(text));
      if (parsed === undefined) return;
      const again = parsePolicyCsv(formatPolicyCsv(parsed));
      if (JSON.stringify(again) !== JSON.stringify(parsed)) {
        throw new Finding("rows are others when they are written and read again", text);
      }
      const valid = unlessRefused(text, () => {
        validateRows(parsed);
        return true;
      });
      if (valid === undefined) return;
      rows = parsed;
      policyRevision++;
      const subject = { subject: pick(SUBJECTS, random), groups: ["dev"] };
      const range = prefixRange(key(pick(["/a/", "/registry/", ""], random)));
      const { allowed } = unlessRefused(text, () =>
        access.check(subject, TENANT_A, "read", range),
      ) ?? { allowed: false };
      if (allowed && !subject.subject.includes(":")) {
        throw new Finding("a subject without a name was allowed", text);
      }
      if (allowed && subject.subject.startsWith("role:")) {
        throw new Finding("an identity that spells a role was allowed", text);
      }
    },
  };
}
