import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CofferError } from "../errors.ts";
import { parsePolicyCsv } from "./csv.ts";
import type { PolicyRow } from "./row.ts";
import { faultOfRow, validateRows } from "./validate.ts";

/** The roles that every new tenant is given; each has its file in policies/. */
export const SEED_ROLES: readonly string[] = [
  "reader",
  "writer",
  "owner",
  "auditor",
  "kube-apiserver",
];

export interface PolicyFiles {
  /** For createAccess. */
  readonly modelText: string;
  /**
   * The rows of a new tenant: the seed roles, and role:owner for `owner` (such as `user:alice`).
   * Throws CofferError `invalid-argument` for an owner that is no subject.
   */
  seedRows(options: { readonly owner: string }): readonly PolicyRow[];
}

/** Reads and checks the model and the seed roles. Throws CofferError that names the file. */
export function loadPolicyFiles(folder: string): PolicyFiles {
  const modelText = readText(join(folder, "model.conf"));
  const seeds = SEED_ROLES.flatMap((role) => readSeed(folder, role));
  validateRows(seeds);
  const seedRows: PolicyFiles["seedRows"] = ({ owner }) => {
    const row: PolicyRow = ["g", owner, "role:owner"];
    const fault = faultOfRow(row);
    if (fault !== undefined) throw new CofferError("invalid-argument", `owner: ${fault}`);
    return [...seeds, row];
  };
  return { modelText, seedRows };
}

/**
 * The folder `policies` of the package that the module at `moduleUrl` (its import.meta.url) belongs
 * to: beside the nearest package.json upward that has one. Throws CofferError `not-found`.
 */
export function findPolicyFolder(moduleUrl: string): string {
  const start = dirname(fileURLToPath(moduleUrl));
  for (let at = start; ; at = dirname(at)) {
    const folder = join(at, "policies");
    if (existsSync(join(at, "package.json")) && existsSync(folder)) return folder;
    if (dirname(at) === at) {
      throw new CofferError("not-found", `no policies folder beside a package.json above ${start}`);
    }
  }
}

function readSeed(folder: string, role: string): readonly PolicyRow[] {
  const path = join(folder, `${role}.csv`);
  try {
    const rows = parsePolicyCsv(readText(path));
    for (const [index, row] of rows.entries()) {
      const fault = faultOfRow(row);
      if (fault !== undefined)
        throw new CofferError("invalid-argument", `row ${index + 1} ${fault}`);
      if (row[1] === `role:${role}`) continue;
      throw new CofferError("invalid-argument", `row ${index + 1} is not about role:${role}`);
    }
    return rows;
  } catch (cause) {
    if (!(cause instanceof CofferError)) throw cause;
    throw new CofferError(cause.code, `${path}: ${cause.message}`, { cause });
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new CofferError("not-found", `cannot read ${path}; restore it from the package`, {
      cause,
    });
  }
}
