import { hash } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { quoteText } from "./escape.ts";
import type { ChainHead } from "./record.ts";

/**
 * The heads of the tenants' chains as of one record, so that a start reads the records after it and not
 * all that were ever written. Lines of text: the form and the record, one line for each tenant, and the
 * hash of all before it. It is a cache of what the records say: a file that is missing, damaged or of
 * another log is made anew from them.
 */
export interface SavedHeads {
  /** The record in the member's chain that they are as of. */
  readonly at: ChainHead;
  readonly tenants: readonly (readonly [string, ChainHead])[];
}

const NAME = "heads";
const FORM = "coffer-audit-heads-1";

export async function writeHeads(folder: string, { at, tenants }: SavedHeads): Promise<void> {
  const lines = [`${FORM} ${at.seq} ${at.hash}`];
  for (const [tenant, head] of tenants) {
    lines.push(`${quoteText(tenant)} ${head.seq} ${head.hash}`);
  }
  const text = `${lines.join("\n")}\n`;
  const path = join(folder, NAME);
  const file = await open(`${path}.next`, "w", 0o600);
  try {
    await file.writeFile(`${text}${hash("sha256", text, "hex")}\n`, "latin1");
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.next`, path);
}

/** The reason why there are none, or the heads. */
export async function readHeads(folder: string): Promise<SavedHeads | string> {
  let text: string;
  try {
    text = await readFile(join(folder, NAME), "latin1");
  } catch {
    return "there is no file of heads";
  }
  // What stands before the last line, which is the hash of it.
  const end = text.lastIndexOf("\n", text.length - 2) + 1;
  const content = text.slice(0, end);
  if (text.slice(end) !== `${hash("sha256", content, "hex")}\n`)
    return "the file of heads is damaged";
  const [first = "", ...rest] = content.trimEnd().split("\n");
  const at = placeOf(first, FORM);
  if (at === undefined) return "the file of heads is of another form";
  return { at, tenants: rest.map(tenantOf) };
}

const PLACE = /^(.*) (\d{1,16}) ([0-9a-f]{64})$/;

function placeOf(line: string, name: string): ChainHead | undefined {
  const [, found, seq = "", digest = ""] = PLACE.exec(line) ?? [];
  return found === name ? { seq: Number(seq), hash: digest } : undefined;
}

function tenantOf(line: string): readonly [string, ChainHead] {
  const [, tenant = '""', seq = "", digest = ""] = PLACE.exec(line) ?? [];
  return [JSON.parse(tenant) as string, { seq: Number(seq), hash: digest }];
}
