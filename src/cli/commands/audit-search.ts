import { setTimeout as delay } from "node:timers/promises";
import {
  anyText,
  duration,
  integer,
  oneOf,
  onOff,
  type Option,
  type OptionTable,
  type Parser,
} from "../../config/mod.ts";
import { exitCode, type ExitCode } from "../../errors.ts";
import {
  ANY_RECORD,
  type AskedMember,
  memberOption,
  mergeByTime,
  newestOf,
  oldestOf,
  onMembers,
} from "../audit-members.ts";
import type { AuditSearch } from "../client-port.ts";
import { type Call, clientCommand, type Command } from "../command.ts";
import { write } from "../io.ts";
import { keyOf } from "../keys.ts";

/** A time, or how long ago: milliseconds since the epoch. */
const moment: Parser<number> = {
  placeholder: "TIME",
  kind: "text",
  parse: (value) => {
    const ago = duration().parse(value);
    if (ago.ok) return { ok: true, value: Date.now() - ago.value };
    const time = Date.parse(value);
    if (Number.isSafeInteger(time) && /^\d{4}-\d\d-\d\d/.test(value)) {
      return { ok: true, value: time };
    }
    return { ok: false, error: "is neither a time such as 2026-11-22T08:00:00Z nor an age as 2h" };
  },
};

interface FilterOptions {
  readonly [field: string]: Option<unknown>;
  readonly subject: Option<string>;
  readonly action: Option<string>;
  readonly outcome: Option<string>;
  readonly requestId: Option<string>;
  readonly keyPrefix: Option<string>;
  readonly since: Option<number>;
  readonly until: Option<number>;
  readonly ofTenant: Option<string>;
  readonly member: Option<string>;
}

/** Which records `tail`, `search` and `export` are about. */
export const filterOptions: FilterOptions = {
  subject: { name: "subject", parser: anyText("SUBJECT"), help: "only of this subject" },
  action: { name: "action", parser: anyText("ACTION"), help: "only this action" },
  outcome: {
    name: "outcome",
    parser: oneOf(["ok", "refused", "failed", "unknown"]),
    help: "only what ended so",
  },
  requestId: {
    name: "request-id",
    parser: anyText("ID"),
    help: "only this request; or those that sent x-request-id: ID",
  },
  keyPrefix: { name: "key-prefix", parser: anyText("KEY"), help: "only keys that begin so" },
  since: { name: "since", parser: moment, help: "only from this time, or age, on" },
  until: { name: "until", parser: moment, help: "only before this time, or age" },
  ofTenant: {
    name: "of-tenant",
    parser: anyText("NAME"),
    help: "for operators (--tenant system): the records of one tenant, as it sees them",
  },
  member: memberOption,
};

export function searchOf(call: Call<FilterOptions>, limit: number): AuditSearch {
  const { values } = call;
  return {
    ...ANY_RECORD,
    limit,
    subject: values.subject ?? "",
    action: values.action ?? "",
    outcome: values.outcome ?? "",
    requestId: values.requestId ?? "",
    keyPrefix: keyOf(values.keyPrefix ?? ""),
    fromTime: values.since ?? 0,
    toTime: values.until ?? 0,
    tenant: values.ofTenant ?? "",
  };
}

const LIMIT_MAX = 100_000;

const limitOption = (usual: number) =>
  ({
    name: "limit",
    parser: integer({ min: 1, max: LIMIT_MAX }),
    help: `at most this many (${usual})`,
  }) as const;

const TAIL_LIMIT = 20;
const SEARCH_LIMIT = 1000;
const FOLLOW_MS = 1000;

export const auditTail: Command = clientCommand({
  name: "audit tail",
  usage: "",
  summary: "the last audit records of all members, one line of JSON each",
  examples: [
    ["coffer audit tail --outcome refused", "the last refusals"],
    ["coffer audit tail --follow --subject user:alice", "what alice does, as it happens"],
  ],
  options: {
    ...filterOptions,
    limit: limitOption(TAIL_LIMIT),
    follow: { name: "follow", short: "f", parser: onOff, help: "go on until interrupted" },
  },
  arity: [0, 0],
  run: async (call) => {
    const search = searchOf(call, call.values.limit ?? TAIL_LIMIT);
    return answer(call, async (members) => {
      const ends = await printNewest(call, members, search);
      if (call.values.follow === true) await follow(call, ends, search);
    });
  },
});

export const auditSearch: Command = clientCommand({
  name: "audit search",
  usage: "",
  summary: "audit records of all members by who, what, when and how it ended",
  examples: [
    ["coffer audit search --key-prefix /db/ --since 7d", "who touched keys below /db/"],
    ["coffer audit search --request-id 4jbx6Lz2T0aW", "all records of one request"],
    [
      "coffer audit search --tenant system --of-tenant blue --outcome refused",
      "an operator looks for what tenant blue was refused",
    ],
  ],
  options: { ...filterOptions, limit: limitOption(SEARCH_LIMIT) },
  arity: [0, 0],
  run: async (call) => {
    const search = searchOf(call, call.values.limit ?? SEARCH_LIMIT);
    return answer(call, async (members) => void (await printNewest(call, members, search)));
  },
});

/** Runs `work` on the members; says by the exit code whether some did not answer. */
async function answer(
  call: Call<OptionTable>,
  work: (members: readonly AskedMember[]) => Promise<void>,
): Promise<ExitCode> {
  const name = call.values["member"] as string | undefined;
  const isMissing = await onMembers(call, name, work);
  return isMissing ? exitCode.unavailable : exitCode.ok;
}

type Ends = readonly { readonly member: AskedMember; readonly end: string }[];

/** Prints the newest records of all, and answers where later ones will be. */
async function printNewest(
  { io }: Call<OptionTable>,
  members: readonly AskedMember[],
  search: AuditSearch,
): Promise<Ends> {
  const found: { readonly member: AskedMember; readonly lines: readonly string[]; end: string }[] =
    [];
  for (const member of members) found.push({ member, ...(await newestOf(member, search)) });
  const lines = mergeByTime(found.map((one) => one.lines)).slice(-search.limit);
  for (const line of lines) await write(io, `${line}\n`);
  return found;
}

async function follow({ io }: Call<OptionTable>, from: Ends, search: AuditSearch): Promise<void> {
  let ends = from;
  for (;;) {
    await delay(FOLLOW_MS, undefined, { signal: io.signal });
    const parts: (readonly string[])[] = [];
    const next: { readonly member: AskedMember; readonly end: string }[] = [];
    for (const { member, end } of ends) {
      const pages = oldestOf(member, { ...search, limit: 0, cursor: end });
      let page = await pages.next();
      for (; page.done !== true; page = await pages.next()) parts.push(page.value);
      next.push({ member, end: page.value });
    }
    ends = next;
    for (const line of mergeByTime(parts)) {
      // Asking leaves records too, which nobody wants to follow.
      if (search.action === "" && line.includes(OWN_ACTION)) continue;
      await write(io, `${line}\n`);
    }
  }
}

const OWN_ACTION = '"action":"audit-search"';
