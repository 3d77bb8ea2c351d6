import { setTimeout as delay } from "node:timers/promises";
import { integer, onOff } from "../../config/mod.ts";
import { CofferError, exitCode } from "../../errors.ts";
import { clientCommand, type Command, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { base64OfKey, bytesOfKey, leaseText, mistake, parseLease } from "../keys.ts";
import { joinPieces } from "../print.ts";

const grant: Command = clientCommand({
  name: "lease grant",
  usage: "SECONDS",
  summary: "make a lease; keys put with it go when it ends",
  examples: [["coffer lease grant 60", "a lease of a minute"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [argument = ""] = call.positional;
    const ttl = integer({ min: 1 }).parse(argument);
    if (!ttl.ok) throw mistake(`the seconds: ${JSON.stringify(argument)} ${ttl.error}`);
    const { header, body } = await waitFor(call, call.client.leaseGrant(ttl.value));
    const json = { ...headerJson(header), ID: body.id, TTL: body.ttl, Error: "" };
    const simple = `lease ${leaseText(body.id)} granted with TTL(${body.ttl}s)\n`;
    await write(call.io, call.format === "json" ? `${jsonText(json)}\n` : simple);
  },
});

const revoke: Command = clientCommand({
  name: "lease revoke",
  usage: "ID",
  summary: "end a lease and delete its keys",
  examples: [["coffer lease revoke 41f2a20457fd8519", "now, not when its time is over"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const id = parseLease(call.positional[0] ?? "");
    const { header } = await waitFor(call, call.client.leaseRevoke(id));
    const json = jsonText({ header: headerJson(header) });
    await write(call.io, call.format === "json" ? `${json}\n` : `lease ${leaseText(id)} revoked\n`);
  },
});

const timeToLive: Command = clientCommand({
  name: "lease timetolive",
  usage: "ID",
  summary: "how long a lease has left, and its keys",
  examples: [["coffer lease timetolive 41f2a20457fd8519 --keys", "with the keys that live by it"]],
  options: { keys: { name: "keys", parser: onOff, help: "list the lease's keys" } },
  arity: [1, 1],
  run: async (call) => {
    const id = parseLease(call.positional[0] ?? "");
    const withKeys = call.values.keys === true;
    const { header, body } = await waitFor(call, call.client.leaseTimeToLive(id, withKeys));
    if (call.format === "json") {
      const keys: Json = body.keys.length === 0 ? null : body.keys.map(base64OfKey);
      const times = { id, ttl: body.remaining, "granted-ttl": body.grantedTtl, keys };
      return await write(call.io, `${jsonText({ ...headerJson(header), ...times })}\n`);
    }
    if (body.remaining < 0) {
      return await write(call.io, `lease ${leaseText(id)} already expired\n`);
    }
    const granted = `lease ${leaseText(id)} granted with TTL(${body.grantedTtl}s)`;
    const attached = body.keys.flatMap((key, at) => [at === 0 ? "" : " ", bytesOfKey(key)]);
    const suffix = withKeys ? [", attached keys([", ...attached, "])"] : [];
    const pieces = [granted, `, remaining(${body.remaining}s)`, ...suffix, "\n"];
    await write(call.io, joinPieces(pieces));
  },
});

const list: Command = clientCommand({
  name: "lease list",
  usage: "",
  summary: "the ids of all leases",
  examples: [["coffer lease list", "one id a line"]],
  options: {},
  arity: [0, 0],
  run: async (call) => {
    const { header, body } = await waitFor(call, call.client.leaseLeases());
    const json = { ...headerJson(header), leases: body.map((id) => ({ id })) };
    const simple = [`found ${body.length} leases`, ...body.map(leaseText)].join("\n");
    await write(call.io, `${call.format === "json" ? jsonText(json) : simple}\n`);
  },
});

/** A lease is renewed this many times within its time, as etcd's client does. */
const RENEWALS_PER_TTL = 3;

const keepAlive: Command = clientCommand({
  name: "lease keep-alive",
  usage: "ID",
  summary: "keep a lease until interrupted",
  examples: [
    ["coffer lease keep-alive 41f2a20457fd8519", "as long as this runs"],
    ["coffer lease keep-alive 41f2a20457fd8519 --once", "start its time again, once"],
  ],
  options: { once: { name: "once", parser: onOff, help: "renew once and end" } },
  arity: [1, 1],
  run: async ({ io, client, values, positional, format }) => {
    const id = parseLease(positional[0] ?? "");
    for (;;) {
      const { header, body } = await client.leaseKeepAlive(id);
      if (body.ttl <= 0) {
        if (values.once === true) throw new CofferError("lease-not-found");
        await write(io, `lease ${leaseText(id)} expired or revoked.\n`);
        return exitCode.notFound;
      }
      const json = jsonText({ ...headerJson(header), ID: id, TTL: body.ttl });
      const simple = `lease ${leaseText(id)} keepalived with TTL(${body.ttl})`;
      await write(io, `${format === "json" ? json : simple}\n`);
      if (values.once === true) return exitCode.ok;
      await delay((body.ttl * 1000) / RENEWALS_PER_TTL, undefined, { signal: io.signal });
    }
  },
});

export const leaseCommands: readonly Command[] = [grant, revoke, timeToLive, list, keepAlive];
