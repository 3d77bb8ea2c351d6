import { duration, list, onOff, path, text } from "../../config/mod.ts";
import { readCertificate } from "../certificate-file.ts";
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
    [
      "coffer token issue --subject sa:ci/build --ttl 15m --bind-certificate build.crt",
      "worth nothing to a thief who has not the key of that certificate too",
    ],
    ["coffer get /app/url --token-file alice.token", "use it"],
  ],
  options: {
    subject: { name: "subject", parser: text("SUBJECT"), help: "who holds it, as user:alice" },
    groups: { name: "groups", parser: list(text("NAME")), help: "groups the holder is in" },
    tenants: { name: "tenants", parser: list(text("NAME")), help: "tenants it is good for" },
    bindCertificate: {
      name: "bind-certificate",
      parser: path("FILE"),
      help: "certificate that its holder must connect with, PEM or DER",
    },
    ttl: { name: "ttl", parser: duration({ min: 1000 }), help: "how long it lives (1h)" },
  },
  arity: [0, 0],
  run: async (call) => {
    const { subject, groups = [], tenants, ttl = 3_600_000 } = call.values;
    if (subject === undefined) throw mistake("token issue needs --subject SUBJECT, as user:alice");
    const own = call.config.tenant === undefined ? [] : [call.config.tenant];
    const { bindCertificate: file } = call.values;
    const certificate = file === undefined ? "" : readCertificate(call.io, file).thumbprint;
    const ttlSeconds = Math.ceil(ttl / 1000);
    const request = { subject, groups, tenants: tenants ?? own, ttlSeconds, certificate };
    const { header, body } = await waitFor(call, call.client.tokenIssue(request));
    const { token, tokenId, expires } = body;
    const json = { header: headerJson(header), token, token_id: tokenId, expires };
    await write(call.io, `${call.format === "json" ? jsonText(json) : body.token}\n`);
    if (call.io.isTty) {
      call.io.stderr.write(`id ${safe(tokenId)}, valid until ${timeText(expires)}\n`);
    }
  },
});

const rotateKey: Command = clientCommand({
  name: "token rotate-key",
  usage: "[--drop-former --yes]",
  summary: "sign tokens with a new key; former ones verify until their last token has ended",
  examples: [
    ["coffer token rotate-key", "nobody notices; it happens by itself every 30 days"],
    ["coffer token rotate-key --drop-former --yes", "the key was stolen: all tokens end now"],
  ],
  options: {
    dropFormer: { name: "drop-former", parser: onOff, help: "forget former keys at once" },
    yes: { name: "yes", parser: onOff, help: "yes, end every token of the built-in issuer" },
  },
  arity: [0, 0],
  run: async (call) => {
    const { dropFormer = false, yes = false } = call.values;
    if (dropFormer && !yes) {
      throw mistake(
        "--drop-former ends every token of the built-in issuer, yours too if it is one: repeat " +
          "with --yes, and have a client certificate of an operator at hand",
      );
    }
    const { header, body } = await waitFor(call, call.client.tokenRotateKey({ dropFormer }));
    const json = jsonText({ header: headerJson(header), key_id: body.keyId });
    const simple = `tokens are signed with key ${safe(body.keyId)}`;
    await write(call.io, `${call.format === "json" ? json : simple}\n`);
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

export const tokenCommands: readonly Command[] = [issue, rotateKey, whoAmI];
