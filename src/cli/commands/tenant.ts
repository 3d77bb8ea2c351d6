import { onOff, text } from "../../config/mod.ts";
import type { TenantInfo } from "../../core/types/mod.ts";
import { clientCommand, type Command, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe, table, timeText } from "../print.ts";

const create: Command = clientCommand({
  name: "tenant create",
  usage: "NAME --owner SUBJECT",
  summary: "make a tenant: a virtual etcd with keys of its own",
  examples: [["coffer tenant create blue --owner user:alice", "alice may do all in it"]],
  options: {
    owner: { name: "owner", parser: text("SUBJECT"), help: "who gets every right in it" },
  },
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    const { owner } = call.values;
    if (owner === undefined) throw mistake("tenant create needs --owner SUBJECT, as user:alice");
    const { header, body } = await waitFor(call, call.client.tenantCreate({ name, owner }));
    const json = jsonText({ header: headerJson(header), tenant: tenantJson(body) });
    await write(call.io, `${call.format === "json" ? json : `tenant ${name} created`}\n`);
  },
});

const list: Command = clientCommand({
  name: "tenant list",
  usage: "",
  summary: "all tenants",
  examples: [["coffer tenant list", "names, ids and revisions"]],
  options: {},
  arity: [0, 0],
  run: async (call) => {
    const { header, body } = await waitFor(call, call.client.tenantList());
    const json = jsonText({ header: headerJson(header), tenants: body.map(tenantJson) });
    const rows = body.map(({ name, id, created, revision }) => [
      safe(name),
      id,
      timeText(created),
      String(revision),
    ]);
    const simple = table(["NAME", "ID", "CREATED", "REVISION"], rows);
    await write(call.io, call.format === "json" ? `${json}\n` : simple);
  },
});

const show: Command = clientCommand({
  name: "tenant show",
  usage: "NAME",
  summary: "one tenant",
  examples: [["coffer tenant show blue -w json", "for a script"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    const { header, body } = await waitFor(call, call.client.tenantShow(name));
    const json = jsonText({ header: headerJson(header), tenant: tenantJson(body) });
    const simple = [
      `name: ${safe(body.name)}`,
      `id: ${body.id}`,
      `created: ${timeText(body.created)}`,
      `revision: ${body.revision}`,
      `compacted: ${body.compactRevision}`,
      `policy revision: ${body.policyRevision}`,
    ].join("\n");
    await write(call.io, `${call.format === "json" ? json : simple}\n`);
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

function tenantJson(tenant: TenantInfo): Json {
  return {
    id: tenant.id,
    name: tenant.name,
    created: tenant.created,
    revision: tenant.revision,
    compact_revision: tenant.compactRevision,
    policy_revision: tenant.policyRevision,
  };
}

export const tenantCommands: readonly Command[] = [create, list, show, remove];
