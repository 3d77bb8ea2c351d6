import { onOff, type OptionTable, text } from "../../config/mod.ts";
import type { TenantLimits } from "../../core/types/mod.ts";
import type { Reply, TenantChange, TenantRow } from "../client-port.ts";
import { type Call, clientCommand, type Command, tableFormatOption, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { compactionOf, limitChanges, tenantOptions } from "../tenant-options.ts";
import { tenantJson, tenantLines, tenantTable } from "../tenant-rows.ts";

const create: Command = clientCommand({
  name: "tenant create",
  usage: "NAME [--owner SUBJECT] [LIMITS]",
  summary: "make a tenant: a virtual etcd with keys of its own",
  examples: [
    ["coffer tenant create blue --owner user:alice", "alice may do all in it"],
    [
      "coffer tenant create red --max-bytes 100MiB --max-keys 10000 --requests-per-second 200",
      "with limits; owned by whoever makes it",
    ],
  ],
  options: {
    owner: {
      name: "owner",
      parser: text("SUBJECT"),
      help: "who gets every right in it (the caller)",
    },
    ...tenantOptions,
  },
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    const { owner = "" } = call.values;
    const limits = withoutNone(limitChanges(call.values));
    const compaction = compactionOf(call.values) ?? { kind: "none" };
    const made = call.client.tenantCreate({ name, owner, limits, compaction });
    await tellChange(call, made, `tenant ${name} created`);
  },
});

const list: Command = clientCommand({
  name: "tenant list",
  usage: "",
  summary: "all tenants, with what each holds and may hold",
  examples: [["coffer tenant list", "for operators: all; for others: those they are bound to"]],
  options: { format: tableFormatOption },
  arity: [0, 0],
  run: async (call) => {
    const { header, body } = await waitFor(call, call.client.tenantList());
    const json = jsonText({ header: headerJson(header), tenants: body.map(tenantJson) });
    await write(call.io, call.format === "json" ? `${json}\n` : tenantTable(body));
  },
});

const show: Command = clientCommand({
  name: "tenant show",
  usage: "NAME",
  summary: "one tenant: its limits, and what it uses of them",
  examples: [["coffer tenant show blue -w json", "for a script"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    const { header, body } = await waitFor(call, call.client.tenantShow(name));
    const json = jsonText({ header: headerJson(header), tenant: tenantJson(body) });
    await write(call.io, call.format === "json" ? `${json}\n` : tenantLines(body));
  },
});

const set: Command = clientCommand({
  name: "tenant set",
  usage: "NAME [LIMITS] [AUTO-COMPACTION]",
  summary: "change limits and auto-compaction; what is not named stays",
  examples: [
    ["coffer tenant set blue --max-bytes 1GiB --max-keys none", "more bytes, any number of keys"],
    [
      "coffer tenant set blue --auto-compaction-mode periodic --auto-compaction-retention 24h",
      "history goes after a day",
    ],
  ],
  options: tenantOptions,
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    const limits = limitChanges(call.values);
    const compaction = compactionOf(call.values);
    if (Object.keys(limits).length === 0 && compaction === undefined) {
      throw mistake("tenant set needs a limit, such as --max-keys 1000");
    }
    const change = { name, limits, ...(compaction === undefined ? {} : { compaction }) };
    await update(call, change, `tenant ${name} changed`);
  },
});

const rename: Command = clientCommand({
  name: "tenant rename",
  usage: "OLD NEW",
  summary: "give a tenant another name; its keys and running watches stay",
  examples: [["coffer tenant rename blue azure", "tokens for blue open neither afterwards"]],
  options: {},
  arity: [2, 2],
  run: async (call) => {
    const [name = "", newName = ""] = call.positional;
    await update(call, { name, newName }, `tenant ${name} is now ${newName}`);
  },
});

const suspend: Command = clientCommand({
  name: "tenant suspend",
  usage: "NAME",
  summary: "refuse all requests of a tenant and end its watches, until it is resumed",
  examples: [["coffer tenant suspend blue", "its keys and leases stay as they are"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    await update(call, { name, suspended: true }, `tenant ${name} suspended`);
  },
});

const resume: Command = clientCommand({
  name: "tenant resume",
  usage: "NAME",
  summary: "let a suspended tenant go on; its leases get their whole time again",
  examples: [["coffer tenant resume blue", "it is served at once"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    await update(call, { name, suspended: false }, `tenant ${name} resumed`);
  },
});

const remove: Command = clientCommand({
  name: "tenant delete",
  usage: "NAME --yes",
  summary: "delete a tenant with all its keys; nothing brings them back",
  examples: [["coffer tenant delete blue --yes", "no question is asked"]],
  options: { yes: { name: "yes", parser: onOff, help: "yes, delete everything in it" } },
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    if (call.values.yes !== true) {
      throw mistake(`this deletes all keys of tenant ${JSON.stringify(name)}: repeat with --yes`);
    }
    const { header } = await waitFor(call, call.client.tenantDelete(name));
    const json = jsonText({ header: headerJson(header) });
    await write(call.io, `${call.format === "json" ? json : `tenant ${name} deleted`}\n`);
  },
});

async function update(call: Call<OptionTable>, change: TenantChange, done: string): Promise<void> {
  await tellChange(call, call.client.tenantUpdate(change), done);
}

async function tellChange(
  call: Call<OptionTable>,
  work: Promise<Reply<TenantRow>>,
  done: string,
): Promise<void> {
  const { header, body } = await waitFor(call, work);
  const json = jsonText({ header: headerJson(header), tenant: tenantJson(body) });
  await write(call.io, `${call.format === "json" ? json : done}\n`);
}

/** A new tenant has no limits that could be taken away. */
function withoutNone(changes: ReturnType<typeof limitChanges>): TenantLimits {
  const set = Object.entries(changes).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set) as TenantLimits;
}

export const tenantCommands: readonly Command[] = [
  create,
  list,
  show,
  set,
  rename,
  suspend,
  resume,
  remove,
];
