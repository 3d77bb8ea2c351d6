import { bytesOfQuoted } from "./escape.ts";

/** What a record tells of its request, as `coffer policy try` judges it. */
export interface RecordedRequest {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly action: string;
  /** Byte strings. */
  readonly key: string;
  readonly rangeEnd: string;
  readonly outcome: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** What was asked of the policy; undefined if any of it, or the key, was cut to fit the line. */
  readonly rights: readonly (readonly string[])[] | undefined;
}

/** Reads a line, or a tenant's view of one; undefined if it is no record. Checks no hash. */
export function recordedRequest(line: string): RecordedRequest | undefined {
  const record = parsed(line);
  const actor = fieldsOf(record?.["actor"]);
  if (record === undefined || actor === undefined) return undefined;
  const [key, rangeEnd] = [bytesOf(record["key"]), bytesOf(record["rangeEnd"])];
  const rights = rightsOf(record["rights"]);
  const isWhole = key !== undefined && rangeEnd !== undefined;
  return {
    subject: textOf(actor["subject"]),
    groups: listOf(actor["groups"]).map(textOf),
    action: textOf(record["action"]),
    key: key ?? "",
    rangeEnd: rangeEnd ?? "",
    outcome: textOf(record["outcome"]),
    time: Date.parse(textOf(record["time"])),
    rights: isWhole || rights?.length === 0 ? rights : undefined,
  };
}

function rightsOf(value: unknown): readonly (readonly string[])[] | undefined {
  const rights: string[][] = [];
  for (const right of listOf(value)) {
    const words = listOf(right).map(bytesOf);
    if (words.includes(undefined) || words[0] === "...") return undefined;
    rights.push(words as string[]);
  }
  return rights;
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return fieldsOf(JSON.parse(line));
  } catch {
    return undefined;
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  return value as Readonly<Record<string, unknown>>;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function bytesOf(value: unknown): string | undefined {
  return bytesOfQuoted(textOf(value));
}
