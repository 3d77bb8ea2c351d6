import { CofferError } from "../errors.ts";
import { type IssuerRecord, parseIssuerRecord } from "./issuer-record.ts";
import { keySetOf } from "./key-set.ts";
import { JsonRefused } from "./strict-json.ts";

/**
 * The record that an operator wants all members to have. Stricter than `parseIssuerRecord`: what cannot
 * work on any member is told now and not in the audit log of its first token. Throws
 * `invalid-argument`.
 */
export function checkIssuerRecord(bytes: Uint8Array): IssuerRecord {
  const record = parseIssuerRecord(bytes);
  const { keys } = record;
  if (keys.kind === "file") {
    throw bad("keys.kind file reads each member's own disk: give the keys inline (--jwks-file)");
  }
  if (keys.kind === "url" && !keys.url.startsWith("https:")) throw bad("keys.url must be https");
  if (keys.kind === "discovery" && !record.issuer.startsWith("https:")) {
    throw bad("issuer must be an https URL to be discovered; else give --jwks-url or --jwks-file");
  }
  if (keys.kind !== "inline") return record;
  try {
    keySetOf(keys.keys);
  } catch (error) {
    if (error instanceof JsonRefused) throw bad(`keys: ${error.message}`);
    throw error;
  }
  return record;
}

function bad(problem: string): CofferError {
  return new CofferError("invalid-argument", `issuer record: ${problem}`);
}
