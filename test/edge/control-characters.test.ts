import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { get } from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { IncomingMessage } from "node:http";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { createAuthority } from "../../src/pki/mod.ts";
import { oid, sequence, setOf, utf8Text } from "../../src/pki/der.ts";
import { OID } from "../../src/pki/oids.ts";
import { rpc } from "../../src/proto/mod.ts";
import { forge } from "../pki/forged.ts";
import { rawCall, rawHeaders, rawSession } from "./raw.ts";
import { createWatch } from "./streams.ts";
import { type World, failure, startWorld } from "./world.ts";

/** Refusal 64: what strangers choose is one line of ASCII wherever it is written, and does nothing to a terminal. */

let world: World;

before(async () => {
  world = await startWorld();
});

after(() => world[Symbol.asyncDispose]());

/** A forged line, colours, a title, a cursor moved up, an escape of one byte (C1), a reversed text. */
const NASTY: readonly string[] = [
  'k\r\n{"level":"error","message":"forged"}',
  "k\n\u001b[31mred\u001b[0m",
  "k\u001b]0;title\u0007",
  "k\u001b[1A\u001b[2K",
  "k\u0000\b\u007f",
  "k\u009b31m",
  "k\u202egnp",
  "k\u2028next",
];

/** Lines that the member wrote to its log, and the text of its audit files. */
function written(): { readonly logs: readonly string[]; readonly audit: string } {
  const folder = join(world.dataDir, "audit");
  const names = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  return {
    logs: world.logs,
    audit: names.map((name) => readFileSync(join(folder, name), "latin1")).join(""),
  };
}

/** That each line is one JSON object of printable characters. */
function assertPlain(lines: readonly string[]): void {
  for (const line of lines) {
    assert.match(line, /^\{[ -~]*\}$/, JSON.stringify(line));
    JSON.parse(line);
  }
}

async function metrics(): Promise<string> {
  const request = get(`${world.endpoint}/metrics`, { ca: world.authority.certificate });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return await text(response);
}

test("refusal 64: CR, LF and ANSI in keys", async () => {
  const subject = "user:stranger";
  const stranger = await world.as(subject);
  const seen = world.audit().at(-1)?.seq ?? 0;
  for (const name of NASTY) {
    const key = Buffer.from(name);
    const rangeEnd = Buffer.from(`${name}~`);
    await world.admin.put({ key, value: key });
    await world.admin.range({ key, rangeEnd });
    await world.admin.history({ key });
    await world.admin.txn({ compare: [{ key }], success: [], failure: [] });
    await failure(world.admin.put({ key, lease: 12345n }), "lease-not-found");
    const { watch } = await createWatch(world.admin, { key });
    await watch[Symbol.asyncDispose]();
    for (const refused of [
      stranger.put({ key }),
      stranger.range({ key, rangeEnd }),
      stranger.deleteRange({ key }),
      stranger.txn({ compare: [{ key }] }),
      stranger.policyAsk({ subject, action: "read", key }),
    ]) {
      const { message } = await failure(refused, "permission-denied");
      assert.match(message, /^[ -~]+$/);
    }
    await world.admin.deleteRange({ key });
  }
  const { logs, audit } = written();
  assertPlain(audit.trimEnd().split("\n"));
  assertPlain(logs.map((line) => line.trimEnd()));
  assert.match(await metrics(), /^[ -~\n]+$/);
  // Nothing was dropped for what it is called, and each key can be told from the others.
  const records = world.audit().filter((record) => record.seq > seen);
  const refusals = records.filter(
    ({ outcome, actor }) => outcome === "refused" && actor.subject === subject,
  );
  assert.equal(refusals.length, NASTY.length * 5);
  const puts = records.filter(({ action, outcome }) => action === "put" && outcome === "ok");
  assert.equal(new Set(puts.map(({ key }) => key)).size, NASTY.length);
});

test("refusal 64: CR, LF and ANSI in user agents, request ids and names of tenants", async () => {
  const authorization = `Bearer ${await world.token("user:admin")}`;
  const message = rpc.RangeRequest.encode(
    rpc.RangeRequest.create({ key: Buffer.from("agent") }),
  ).finish();
  const path = "/etcdserverpb.KV/Range";
  const seen = world.audit().at(-1)?.seq ?? 0;
  let asked = 0;
  for (const nasty of NASTY) {
    // As bytes that no client would send.
    const bytes = Buffer.from(nasty).toString("latin1");
    for (const name of ["user-agent", "x-request-id", "coffer-tenant", "x-forwarded-for"]) {
      const outcome = await rawHeaders(
        world.endpoint,
        world.authority.certificate,
        [
          [":method", "POST"],
          [":scheme", "https"],
          [":path", path],
          [":authority", "localhost"],
          ["content-type", "application/grpc"],
          ["te", "trailers"],
          ["authorization", authorization],
          [name, bytes],
        ],
        message,
      );
      // Fields that HTTP does not allow are left out by the library, the others are there.
      assert.equal(outcome, "answered");
      asked++;
    }
  }
  const session = await rawSession(world.endpoint, world.authority.certificate);
  const good = await rawCall(session, path, message, { authorization, "user-agent": "agent/1" });
  session.destroy();
  assert.equal(good.status, "0");
  const { logs, audit } = written();
  assertPlain(audit.trimEnd().split("\n"));
  assertPlain(logs.map((line) => line.trimEnd()));
  assert.match(await metrics(), /^[ -~\n]+$/);
  const records = world.audit().filter(({ seq, action }) => seq > seen && action === "range");
  assert.equal(records.length, asked + 1);
});

test("refusal 64: CR, LF and ANSI in the subject of a certificate that nobody trusts", async () => {
  const stranger = createAuthority({ commonName: "stranger" });
  const { length } = world.logs;
  const seen = world.audit().at(-1)?.seq ?? 0;
  for (const name of NASTY) {
    // As bytes: no name of this making holds such characters.
    const subject = sequence(setOf(sequence(oid(OID.commonName), utf8Text(name))));
    const { certificate, privateKey } = forge(stranger, "x", { subject });
    const client = world.connect({ cert: certificate, key: privateKey });
    await failure(client.range({ key: Buffer.from("k") }), "unreachable");
  }
  const told = world.audit().filter(({ seq, action }) => seq > seen && action === "connect");
  assert.equal(told.length, NASTY.length);
  const lines = world.logs.slice(length).map((line) => line.trimEnd());
  assert.ok(lines.filter((line) => line.includes("refused")).length >= NASTY.length);
  assertPlain(lines);
  assertPlain(written().audit.trimEnd().split("\n"));
});
