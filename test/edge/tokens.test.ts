import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createPublicKey } from "node:crypto";
import { errorRow } from "../../src/errors.ts";
import { type Keys, forge, keysFor, segment, signText } from "../identity/fixtures.ts";
import { type RawReply, rawCall, rawSession } from "./raw.ts";
import { type World, bytes, startWorld, stateOf } from "./world.ts";

/**
 * Refusals 21 to 31 over the wire: one answer for every token that is not good, whichever way it is
 * bad, a record of why, and no effect. The room `identity` tests each rule in all its forms.
 */

const ISSUER = "https://issuer.example";
const OTHER = "https://other.example";
const AUDIENCE = "coffer";

let world: World;

before(async () => {
  world = await startWorld({
    issuers: [
      issuer(ISSUER, "ES256", keysFor("ES256")),
      issuer("https://rsa.example", "RS256", keysFor("RS256")),
      issuer(OTHER, "ES256", keysFor("ES256", "other")),
    ],
  });
  await world.grant(["g", "user:alice", "role:writer"], ["p", "role:admin", "*", "*", "allow"]);
});

after(() => world[Symbol.asyncDispose]());

function issuer(name: string, alg: string, keys: Keys): object {
  return {
    version: 1,
    issuer: name,
    keys: { kind: "inline", keys: [keys.jwk] },
    algorithms: [alg],
    audience: [AUDIENCE],
    maxAgeSeconds: 3600,
    clockToleranceSeconds: 5,
    tenants: { kind: "fixed", tenants: ["default"] },
    groupsClaim: "groups",
  };
}

function claims(changes: Readonly<Record<string, unknown>> = {}): object {
  const now = Math.floor(Date.now() / 1000);
  const all = {
    iss: ISSUER,
    sub: "alice",
    aud: AUDIENCE,
    iat: now - 10,
    exp: now + 600,
    jti: "t1",
  };
  return { ...all, ...changes };
}

function sign(
  changes: Readonly<Record<string, unknown>> = {},
  header: Readonly<Record<string, unknown>> = {},
  keys: Keys = keysFor("ES256"),
): Promise<string> {
  return signText(JSON.stringify(claims(changes)), header, keys);
}

/** A put of "/token" with the metadata. */
async function put(metadata: Readonly<Record<string, string>>): Promise<RawReply> {
  const session = await rawSession(world.endpoint, world.authority.certificate);
  try {
    const value = Buffer.from([0x0a, 6, ...bytes("/token")]);
    return await rawCall(session, "/etcdserverpb.KV/Put", value, metadata);
  } finally {
    session.destroy();
  }
}

/** Refused with the one text, recorded without the token, and without effect. */
async function assertBad(...tokens: readonly string[]): Promise<readonly string[]> {
  const state = await stateOf(world);
  const seen = world.audit().at(-1)?.seq ?? 0;
  const reasons: string[] = [];
  for (const [at, token] of tokens.entries()) {
    const form = [{ authorization: `Bearer ${token}` }, { token }][at % 2] ?? {};
    const reply = await put(form);
    assert.equal(reply.status, "16", token.slice(0, 200));
    assert.equal(reply.message, errorRow("invalid-token").text);
  }
  const records = world.audit().filter((record) => record.seq > seen);
  assert.equal(records.length, tokens.length);
  for (const record of records) {
    assert.deepEqual([record.action, record.outcome], ["put", "refused"]);
    assert.deepEqual(record.actor.subject, "");
    assert.match(record.reason, /^invalid-token: ./);
    reasons.push(record.reason);
  }
  assert.deepEqual(await stateOf(world), state);
  const told = [...world.logs, ...world.audit().map((record) => JSON.stringify(record))].join("");
  for (const token of tokens) {
    const signature = token.split(".").at(2) ?? "";
    if (signature.length > 20) assert.ok(!told.includes(signature), "a token is in log or audit");
  }
  return reasons;
}

test("a good token writes, by authorization and by etcd's token", async () => {
  const token = await sign();
  for (const form of [{ authorization: `Bearer ${token}` }, { token }]) {
    const reply = await put(form);
    assert.equal(reply.status, "0", reply.message);
  }
});

test("refusal 21: alg none", async () => {
  await assertBad(...["none", "None", "NONE"].map((alg) => forge({ alg }, claims(), "")));
});

test("refusal 22: HS256 signed with the RSA public key", async () => {
  const { privateKey, jwk } = keysFor("RS256");
  const pem = createPublicKey(privateKey).export({ type: "spki", format: "pem" }) as string;
  const header = { alg: "HS256", kid: jwk["kid"] };
  await assertBad(forge(header, claims({ iss: "https://rsa.example" }), Buffer.from(pem)));
});

test("refusal 23: an empty signature, four segments, a JWE", async () => {
  const token = await sign();
  const [header = "", payload = ""] = token.split(".");
  const jwe = [segment({ alg: "dir", enc: "A256GCM" }), "", "AAAA", "AAAA", "AAAA"].join(".");
  await assertBad(`${header}.${payload}.`, `${token}.AAAA`, jwe);
});

test("refusal 24: a kid that is a path, or a megabyte", async () => {
  await assertBad(await sign({}, { kid: "../../x" }));
  const huge = await sign({}, { kid: "k".repeat(7000) });
  await assertBad(huge, huge);
  // Past the header limit the connection itself ends, before anything reads the token.
  const session = await rawSession(world.endpoint, world.authority.certificate);
  const authorization = `Bearer ${await sign({}, { kid: "k".repeat(1 << 20) })}`;
  const state = await stateOf(world);
  const reply = await rawCall(session, "/etcdserverpb.KV/Put", bytes(""), { authorization });
  session.destroy();
  assert.notEqual(reply.status, "0");
  assert.deepEqual(await stateOf(world), state);
});

test("refusal 25: jku, x5u and jwk are not followed", async () => {
  const evil = keysFor("ES256", "evil");
  const kid = keysFor("ES256").jwk["kid"] ?? "";
  for (const header of [
    { jwk: evil.jwk },
    { jku: "https://127.0.0.1:1/keys" },
    { x5u: "https://127.0.0.1:1/chain" },
  ]) {
    await assertBad(await sign({}, { ...header, kid }, evil));
  }
});

test("refusal 26: an unknown crit", async () => {
  const crit = { alg: "ES256", kid: keysFor("ES256").jwk["kid"], crit: ["x"], x: 1 };
  const [, payload = "", signature = ""] = (await sign()).split(".");
  await assertBad(`${segment(crit)}.${payload}.${signature}`);
});

test("refusal 27: exp, aud, iss and sub missing or wrong; nbf to come; ten years", async () => {
  const now = Math.floor(Date.now() / 1000);
  const wrong: readonly Readonly<Record<string, unknown>>[] = [
    { exp: undefined },
    { exp: String(now + 600) },
    { exp: now - 60 },
    { aud: undefined },
    { aud: "other" },
    { aud: { coffer: true } },
    { iss: undefined },
    { iss: [ISSUER] },
    { sub: undefined },
    { sub: 7 },
    { nbf: now + 600 },
    { iat: now + 600 },
    { exp: now + 10 * 365 * 86_400 },
  ];
  await assertBad(...(await Promise.all(wrong.map((changes) => sign(changes)))));
});

test("refusal 28: an issuer that differs by a slash or case", async () => {
  await assertBad(await sign({ iss: `${ISSUER}/` }), await sign({ iss: "https://ISSUER.example" }));
});

test("refusal 29: issuer A with issuer B's key", async () => {
  const other = keysFor("ES256", "other");
  const kid = keysFor("ES256").jwk["kid"] ?? "";
  await assertBad(await sign({}, {}, other), await sign({}, { kid }, other));
  assert.equal((await put({ token: await sign({ iss: OTHER }, {}, other) })).status, "0");
});

test("refusal 30: duplicate and __proto__ claims", async () => {
  const text = JSON.stringify(claims());
  const doubled = text.replace('"sub":"alice"', '"sub":"bob","sub":"alice"');
  const proto = text.replace("{", '{"__proto__":{"sub":"alice"},');
  assert.notEqual(doubled, text);
  await assertBad(await signText(doubled), await signText(proto));
});

test("refusal 31: a sub that spells a role, is empty, an array, long, or has a newline", async () => {
  const state = await stateOf(world);
  const subs = ["", ["alice"], "a".repeat(6 * 1024), "alice\nrole:admin", "role:admin"];
  for (const sub of subs) {
    const reply = await put({ token: await sign({ sub }) });
    assert.ok(reply.status === "16" || reply.status === "7", `${String(reply.status)} for a sub`);
  }
  // Without the issuer's prefix it would be the role itself.
  await assert.rejects(world.token("role:admin"));
  assert.deepEqual(await stateOf(world), state);
});
