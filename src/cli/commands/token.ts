import { duration, list, text } from "../../config/mod.ts";
import { clientCommand, type Command, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe, timeText } from "../print.ts";

const issue: Command = clientCommand({
  name: "token issue",
  usage: "--subject SUBJECT",
  summary: "issue a bearer token and print it, alone, on stdout",
  examples: [
    [
      "coffer token issue --subject user:alice --tenants blue --ttl 8h > alice.token",
      "alice, in tenant blue, for a working day",
    ],
    ["coffer get /app/url --token-file alice.token", "use it"],
  ],
  options: {
    subject: { name: "subject", parser: text("SUBJECT"), help: "who holds it, as user:alice" },
    groups: { name: "groups", parser: list(text("NAME")), help: "groups the holder is in" },
    tenants: { name: "tenants", parser: list(text("NAME")), help: "tenants it is good for" },
    ttl: { name: "ttl", parser: duration({ min: 1000 }), help: "how long it lives (1h)" },
  },
  arity: [0, 0],
  run: async (call) => {
    const { subject, groups = [], tenants, ttl = 3_600_000 } = call.values;
    if (subject === undefined) throw mistake("token issue needs --subject SUBJECT, as user:alice");
    const own = call.config.tenant === undefined ? [] : [call.config.tenant];
    const request = { subject, groups, tenants: tenants ?? own, ttlSeconds: Math.ceil(ttl / 1000) };
    const { header, body } = await waitFor(call, call.client.tokenIssue(request));
    const json = { header: headerJson(header), token: body.token, expires: body.expires };
    await write(call.io, `${call.format === "json" ? jsonText(json) : body.token}\n`);
    if (call.io.isTty) call.io.stderr.write(`valid until ${timeText(body.expires)}\n`);
  },
});

const whoAmI: Command = clientCommand({
  name: "token whoami",
  usage: "",
  summary: "who the server takes you for",
  examples: [["coffer token whoami", "subject, issuer, tenant and groups"]],
  options: {},
  arity: [0, 0],
  run: async (call) => {
    const { header, body } = await waitFor(call, call.client.whoAmI());
    const { subject, issuer } = body.actor;
    const json = { subject, issuer, tenant: body.tenant, groups: body.groups };
    const simple = [
      `subject: ${safe(subject)}`,
      `issuer: ${safe(issuer)}`,
      `tenant: ${safe(body.tenant)}`,
      `groups: ${body.groups.map(safe).join(", ") || "-"}`,
    ].join("\n");
    const answer = { header: headerJson(header), ...json };
    await write(call.io, `${call.format === "json" ? jsonText(answer) : simple}\n`);
  },
});

export const tokenCommands: readonly Command[] = [issue, whoAmI];
