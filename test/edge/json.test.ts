import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { CofferError, type ErrorCode, errorRow } from "../../src/errors.ts";
import { deep, many } from "../fuzz/mutate.ts";
import { keysFor, segment, signText } from "../identity/fixtures.ts";
import { type RawReply, rawCall, rawSession } from "./raw.ts";
import { type World, startWorld, stateOf } from "./world.ts";

/**
 * Refusal 56: JSON that is nested deep or has fields without end, wherever somebody may send some: in
 * tokens, in records of issuers and of certificate rules. (Key sets and configuration documents, which
 * the issuers' servers send: test/identity/json.test.ts.)
 */

const DEPTH = 100_000;
const FIELDS = 1_000_000;
const ISSUER = "https://issuer.example";
/** What a token can hold at most, and each of which must be judged. */
const TOKEN_BYTES_MAX = 8 * 1024;

let world: World;
let operator: Client;

before(async () => {
  world = await startWorld({
    issuers: [
      {
        version: 1,
        issuer: ISSUER,
        keys: { kind: "inline", keys: [keysFor("ES256").jwk] },
        algorithms: ["ES256"],
        audience: ["coffer"],
        maxAgeSeconds: 3600,
        tenants: { kind: "fixed", tenants: ["default"] },
      },
    ],
  });
  await world.grant(["g", "user:alice", "role:reader"]);
  operator = await world.as("user:admin", { tenants: ["system"] });
});

after(() => world[Symbol.asyncDispose]());

/** Good claims, and beside them what is `more`. */
function payload(more: string): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: ISSUER, sub: "alice", aud: "coffer", iat: now - 10, exp: now + 600 };
  return JSON.stringify(claims).replace(/\}$/, `,${more}}`);
}

async function whoAmI(authorization: string): Promise<RawReply> {
  const session = await rawSession(world.endpoint, world.authority.certificate);
  try {
    const path = "/coffer.v1.Tokens/WhoAmI";
    return await rawCall(session, path, new Uint8Array(), { authorization });
  } finally {
    session.destroy();
  }
}

test("refusal 56: claims and headers of tokens that are nested deep or have fields without end", async () => {
  assert.equal((await whoAmI(await signText(payload('"more":{"a":[[1]]}')))).status, "0");
  const state = await stateOf(world);
  const half = Math.floor((TOKEN_BYTES_MAX * 3) / 4 / 2) - 300;
  const header = segment({ alg: "ES256", kid: keysFor("ES256").jwk["kid"] });
  const fitting = [
    await signText(payload(`"deep":${deep(17)}`)),
    await signText(payload(`"deep":${deep(half)}`)),
    `${segment(`{"alg":"ES256","x":${deep(half)}}`)}.${segment(payload('"a":1'))}.AAAA`,
  ];
  const seen = world.audit().at(-1)?.seq ?? 0;
  for (const token of fitting) {
    const reply = await whoAmI(`Bearer ${token}`);
    assert.deepEqual([reply.status, reply.message], ["16", errorRow("invalid-token").text]);
  }
  const reasons = world
    .audit()
    .filter(({ seq }) => seq > seen)
    .map(({ outcome, reason }) => `${outcome} ${reason}`);
  assert.deepEqual(
    reasons.map((reason) => /nested too deep/.test(reason) && reason.startsWith("refused")),
    fitting.map(() => true),
    reasons.join("\n"),
  );
  // These are longer than a header may be: they are not even read.
  for (const more of [`"deep":${deep(DEPTH)}`, many(FIELDS)]) {
    const reply = await whoAmI(`Bearer ${header}.${segment(payload(more))}.AAAA`);
    assert.notEqual(reply.status, "0");
    assert.equal(reply.body.length, 0);
  }
  assert.deepEqual(await stateOf(world), state);
});

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | "ok"> {
  try {
    await work;
    return "ok";
  } catch (error) {
    if (error instanceof CofferError) return error.code;
    throw error;
  }
}

/** Texts that fit into a request and into a record, and ones that only a request can hold. */
const DOCUMENTS: Readonly<Record<string, string>> = {
  "nested 17 deep": `{"version":1,"x":${deep(17)}}`,
  "nested as deep as a record is long": `{"x":${deep(15_000)}}`,
  "nested 100,000 deep": deep(DEPTH),
  "objects nested 100,000 deep": `${'{"x":'.repeat(DEPTH)}1${"}".repeat(DEPTH)}`,
  "with 2,000 fields": `{${many(2000)}}`,
  "with 100,000 fields": `{${many(100_000)}}`,
};
for (const [what, text] of Object.entries(DOCUMENTS)) {
  test(`refusal 56: records of issuers and of certificate rules, ${what}`, async () => {
    const state = await stateOf(world);
    const seen = world.audit().at(-1)?.seq ?? 0;
    const record = Buffer.from(text);
    assert.equal(await codeOf(operator.issuerAdd({ record })), "invalid-argument");
    assert.equal(await codeOf(operator.certificateRuleAdd({ record })), "invalid-argument");
    // Who may not add any is refused before anything is read.
    const stranger = await world.as("user:stranger");
    assert.equal(await codeOf(stranger.issuerAdd({ record })), "permission-denied");
    const outcomes = world
      .audit()
      .filter(({ seq }) => seq > seen)
      .map(({ action, outcome }) => `${action} ${outcome}`)
      .filter((line) => line.includes("-add"));
    assert.equal(outcomes.length, 3);
    assert.ok(outcomes.every((line) => !line.endsWith(" ok")));
    assert.deepEqual(await stateOf(world), state);
  });
}

test("refusal 56: a million fields are more than a request may hold", async () => {
  const state = await stateOf(world);
  const session = await rawSession(world.endpoint, world.authority.certificate);
  const authorization = `Bearer ${await world.token("user:admin", { tenants: ["system"] })}`;
  const message = Buffer.from(`{${many(FIELDS)}}`);
  const reply = await rawCall(session, "/coffer.v1.Issuers/Add", message, { authorization });
  session.destroy();
  // RESOURCE_EXHAUSTED, unless the client was still sending when its stream was ended.
  assert.ok(reply.status === "8" || reply.status === undefined, reply.status);
  assert.deepEqual(await stateOf(world), state);
  assert.deepEqual(world.fatals, []);
});
