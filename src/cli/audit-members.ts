import { type Address, type Option, type OptionTable, address, text } from "../config/mod.ts";
import type { MemberId, MemberInfo } from "../core/types/mod.ts";
import { CofferError, type ErrorCode } from "../errors.ts";
import type { AuditSearch, CofferClient } from "./client-port.ts";
import type { Call } from "./command.ts";
import { idText, mistake } from "./keys.ts";
import { safe } from "./print.ts";

/**
 * Each member records what it was asked itself, so that a command for all records asks each one, at the
 * addresses that the cluster tells.
 */
export interface AskedMember {
  readonly name: string;
  readonly client: CofferClient;
}

export const memberOption: Option<string> = {
  name: "member",
  parser: text("NAME"),
  help: "only the records of this member (each keeps those of the requests that it took)",
};

/**
 * Runs `work` on each member, or on the one that is named, and closes what it opened. Tells of members
 * that did not answer on standard error, and answers whether there were any.
 */
export async function onMembers(
  call: Call<OptionTable>,
  name: string | undefined,
  work: (members: readonly AskedMember[]) => Promise<void>,
): Promise<boolean> {
  const { header, body } = await call.client.memberList();
  const asked = body.filter((one) => name === undefined || nameOf(one) === name);
  if (asked.length === 0) {
    throw mistake(`--member: no member is called ${name ?? ""}; see coffer member list`);
  }
  const opened: CofferClient[] = [];
  const members: AskedMember[] = [];
  let missing = false;
  const miss = (one: MemberInfo, why: string): void => {
    missing = true;
    call.io.stderr.write(`${safe(nameOf(one))}: ${safe(why)}: its records are not here\n`);
  };
  try {
    for (const one of asked) {
      try {
        const client = await openMember(call, one, header.memberId);
        if (client !== call.client) opened.push(client);
        await client.auditSearch({ ...ANY_RECORD, limit: 1 });
        members.push({ name: nameOf(one), client });
      } catch (error) {
        if (!isAbsence(error)) throw error;
        miss(one, error.message);
      }
    }
    await work(members);
  } finally {
    for (const client of opened) await client.close();
  }
  return missing;
}

const ABSENCES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "unreachable",
  "deadline-exceeded",
  "timeout",
  "stopped",
  "not-supported-for-learner",
]);

/** Of a member that is not there; anything else is about the caller. */
function isAbsence(error: unknown): error is CofferError {
  return error instanceof CofferError && ABSENCES.has(error.code);
}

async function openMember(
  call: Call<OptionTable>,
  member: MemberInfo,
  asked: MemberId,
): Promise<CofferClient> {
  if (member.id === asked) return call.client;
  if (member.clientUrls.length === 0) {
    throw new CofferError("unreachable", "it has not started yet");
  }
  const endpoints = member.clientUrls.map(addressOf);
  return call.context.connect({ ...call.config, endpoints });
}

function addressOf(url: string): Address {
  const parsed = address.parse(url);
  if (parsed.ok) return parsed.value;
  throw new CofferError("unreachable", `its address ${url} ${parsed.error}`);
}

const nameOf = (member: MemberInfo): string =>
  member.name === "" ? idText(member.id) : member.name;

export const ANY_RECORD: AuditSearch = {
  limit: 0,
  oldestFirst: false,
  cursor: "",
  subject: "",
  action: "",
  outcome: "",
  requestId: "",
  keyPrefix: "" as AuditSearch["keyPrefix"],
  fromTime: 0,
  toTime: 0,
  tenant: "",
};

/** The newest records of a member that match, oldest first, and where later ones will be. */
export async function newestOf(
  { client }: AskedMember,
  search: AuditSearch,
): Promise<{ readonly lines: readonly string[]; readonly end: string }> {
  const lines: string[] = [];
  let cursor = "";
  let end = "";
  for (;;) {
    const limit = search.limit - lines.length;
    const { body } = await client.auditSearch({ ...search, limit, cursor, oldestFirst: false });
    lines.push(...body.lines);
    if (end === "") end = body.end;
    if (body.done || lines.length >= search.limit) return { lines: lines.toReversed(), end };
    cursor = body.next;
  }
}

/** All records of a member from `cursor` on, oldest first, page by page; returns where it ended. */
export async function* oldestOf(
  { client }: AskedMember,
  search: AuditSearch,
): AsyncGenerator<readonly string[], string> {
  let { cursor } = search;
  for (;;) {
    const { body } = await client.auditSearch({ ...search, cursor, oldestFirst: true });
    yield body.lines;
    cursor = body.next;
    if (body.done) return cursor;
  }
}

/** By time, which each line begins with; those of one member stay in their order. */
export function mergeByTime(parts: readonly (readonly string[])[]): readonly string[] {
  return parts.flat().toSorted((a, b) => {
    const [left, right] = [timeOf(a), timeOf(b)];
    return left < right ? -1 : left > right ? 1 : 0;
  });
}

const timeOf = (line: string): string => /"time":"([^"]*)"/.exec(line)?.[1] ?? "";
