import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import type { Client } from "../../src/client/mod.ts";
import { errorRow } from "../../src/errors.ts";
import { issueCertificate } from "../../src/pki/mod.ts";
import {
  type Keys,
  ecdsaTwin,
  forge,
  keysFor,
  segment,
  signExactly,
  signText,
} from "../identity/fixtures.ts";
import { type RawReply, rawCall, rawHeaders, rawSession } from "./raw.ts";
import { type World, assertRefused, bytes, startWorld, stateOf } from "./world.ts";

/**
 * Refusals 21 to 32 and 34 over the wire: one answer for every token that is not good, whichever way it is
 * bad, a record of why, and no effect. The room `identity` tests each rule in all its forms.
 */

const ISSUER = "https://issuer.example";
const OTHER = "https://other.example";
/** Its tokens spell their subjects themselves. */
const OWN = "https://own.example";
const AUDIENCE = "coffer";

let world: World;

before(async () => {
  world = await startWorld({
    issuers: [
      issuer(ISSUER, "ES256", keysFor("ES256")),
      issuer("https://rsa.example", "RS256", keysFor("RS256")),
      issuer(OTHER, "ES256", keysFor("ES256", "other")),
      { ...issuer(OWN, "ES256", keysFor("ES256", "own")), subject: { kind: "own", claim: "sub" } },
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

const NO_RECORD = /no issuer record has this iss/;

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

/** Refused for `reason` with the one text, recorded without the token, and without effect. */
async function assertBad(reason: RegExp, ...tokens: readonly string[]): Promise<void> {
  const state = await stateOf(world);
  const seen = world.audit().at(-1)?.seq ?? 0;
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
    assert.match(record.reason, reason);
  }
  assert.deepEqual(await stateOf(world), state);
  const told = [...world.logs, ...world.audit().map((record) => JSON.stringify(record))].join("");
  for (const token of tokens) {
    const signature = token.split(".").at(2) ?? "";
    if (signature.length > 20) assert.ok(!told.includes(signature), "a token is in log or audit");
  }
}

test("a good token writes, by authorization and by etcd's token", async () => {
  const token = await sign();
  for (const form of [{ authorization: `Bearer ${token}` }, { token }]) {
    const reply = await put(form);
    assert.equal(reply.status, "0", reply.message);
  }
});

test("refusal 21: alg none", async () => {
  const tokens = ["none", "None", "NONE", "nOnE"].map((alg) => forge({ alg }, claims(), ""));
  await assertBad(/three base64url segments/, ...tokens);
  // With something in the place of the signature.
  const signed = ["none", "None"].map((alg) => forge({ alg }, claims(), "AA"));
  await assertBad(/alg is not an asymmetric signature/, ...signed);
});

test("refusal 22: HS256 signed with the RSA public key", async () => {
  const { privateKey, jwk } = keysFor("RS256");
  const pem = createPublicKey(privateKey).export({ type: "spki", format: "pem" }) as string;
  const header = { alg: "HS256", kid: jwk["kid"] };
  const token = forge(header, claims({ iss: "https://rsa.example" }), Buffer.from(pem));
  await assertBad(/alg is not an asymmetric signature/, token);
});

test("refusal 23: an empty signature, four segments, a JWE", async () => {
  const token = await sign();
  const [header = "", payload = ""] = token.split(".");
  const jwe = [segment({ alg: "dir", enc: "A256GCM" }), "", "AAAA", "AAAA", "AAAA"].join(".");
  await assertBad(/segments/, `${header}.${payload}.`, `${token}.AAAA`, `${token}.`, jwe);
});

test("refusal 24: a kid that is a path, or a megabyte", async () => {
  const evil = keysFor("ES256", "evil");
  const path = { kid: "../../x" };
  await assertBad(/NO_MATCHING_KEY/, await sign({}, path), await sign({}, path, evil));
  // Each has a good signature, and fits into a token.
  const long = await Promise.all(
    [257, 5000].map((length) => sign({}, { kid: "k".repeat(length) })),
  );
  await assertBad(/kid is not a short text/, ...long);
  await assertBad(/8 KiB/, await sign({}, { kid: "k".repeat(7000) }));
});

test("refusal 24: a kid of a megabyte ends before anything reads the token", async () => {
  const state = await stateOf(world);
  const seen = world.audit().at(-1)?.seq ?? 0;
  const token = await sign({}, { kid: "k".repeat(1 << 20) });
  assert.ok(token.length > 1 << 20);
  const outcome = await rawHeaders(world.endpoint, world.authority.certificate, [
    [":method", "POST"],
    [":scheme", "https"],
    [":path", "/etcdserverpb.KV/Put"],
    [":authority", "localhost"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ["authorization", `Bearer ${token}`],
  ]);
  assert.match(outcome, /^(?:goaway|reset|closed)/);
  assert.deepEqual(
    world.audit().filter(({ seq, action }) => seq > seen && action === "put"),
    [],
  );
  assert.deepEqual(await stateOf(world), state);
  assert.equal((await put({ token: await sign() })).status, "0");
});

test("refusal 25: jku, x5u, jwk and x5c are not followed", async () => {
  const evil = keysFor("ES256", "evil");
  const kid = keysFor("ES256").jwk["kid"] ?? "";
  let asked = 0;
  // Whoever follows an address of a header connects here first, by https too.
  const server = createServer((socket) => {
    asked++;
    socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    for (const scheme of ["https", "http"]) {
      for (const name of ["jku", "x5u"]) {
        const header = { [name]: `${scheme}://127.0.0.1:${port}/keys` };
        await assertBad(/SIGNATURE/, await sign({}, { ...header, kid }, evil));
        await assertBad(/NO_MATCHING_KEY/, await sign({}, header, evil));
        // Beside a good signature it is ignored.
        assert.equal((await put({ token: await sign({}, header) })).status, "0");
      }
    }
    for (const header of [{ jwk: evil.jwk }, { x5c: [segment("no certificate")] }]) {
      await assertBad(/SIGNATURE/, await sign({}, { ...header, kid }, evil));
    }
  } finally {
    server.close();
  }
  assert.equal(asked, 0, "an address of a header was asked");
});

test("refusal 26: an unknown crit", async () => {
  const kid = keysFor("ES256").jwk["kid"];
  const good = { alg: "ES256", kid };
  assert.equal((await put({ token: signExactly(good, claims()) })).status, "0");
  const headers = [
    { ...good, crit: ["x"], x: 1 },
    { ...good, crit: ["exp"], exp: 1 },
    { ...good, crit: [] },
    { ...good, crit: ["b64"], b64: true },
  ];
  await assertBad(/crit/, ...headers.map((header) => signExactly(header, claims())));
});

test("refusal 27: exp, aud, iss and sub missing or wrong; nbf to come; ten years", async () => {
  const now = Math.floor(Date.now() / 1000);
  const wrong = {
    exp: [undefined, null, String(now + 600), [now + 600], {}, now - 60],
    aud: [undefined, null, "other", "Coffer", 1, [], ["other"], { coffer: true }],
    iss: [undefined, null, 1, [ISSUER], {}],
    sub: [undefined, null, 7, ["alice"], {}],
    nbf: [now + 600, String(now)],
    iat: [undefined, String(now), now + 600],
  };
  for (const [claim, values] of Object.entries(wrong)) {
    const tokens = await Promise.all(values.map((value) => sign({ [claim]: value })));
    const reason = `jose: ${claim} |${claim} is not a string`;
    await assertBad(claim === "iss" ? NO_RECORD : new RegExp(reason), ...tokens);
  }
  await assertBad(/lives too long/, await sign({ exp: now + 10 * 365 * 86_400 }));
});

test("refusal 28: an issuer that differs by a slash or case", async () => {
  const others = [
    `${ISSUER}/`,
    "https://ISSUER.example",
    "HTTPS://issuer.example",
    `${ISSUER}:443`,
  ];
  await assertBad(NO_RECORD, ...(await Promise.all(others.map((iss) => sign({ iss })))));
});

test("refusal 29: issuer A with issuer B's key", async () => {
  const other = keysFor("ES256", "other");
  const kid = keysFor("ES256").jwk["kid"] ?? "";
  await assertBad(/NO_MATCHING_KEY/, await sign({}, {}, other));
  await assertBad(/SIGNATURE/, await sign({}, { kid }, other));
  await assertBad(/NO_MATCHING_KEY/, await sign({ iss: OTHER }));
  assert.equal((await put({ token: await sign({ iss: OTHER }, {}, other) })).status, "0");
});

test("refusal 30: duplicate and __proto__ claims", async () => {
  const text = JSON.stringify(claims());
  const doubled = text.replace('"sub":"alice"', '"sub":"bob","sub":"alice"');
  const proto = text.replace("{", '{"__proto__":{"sub":"alice"},');
  const inherited = text.replace('"sub":"alice"', '"__proto__":{"sub":"alice"}');
  assert.notEqual(doubled, text);
  assert.notEqual(inherited, text);
  const all = await Promise.all([doubled, proto, inherited].map((one) => signText(one)));
  await assertBad(/payload is refused: a name/, ...all);
});

test("refusal 31: a sub that spells a role, is empty, an array, long, or has a newline", async () => {
  const long = "a".repeat(5 * 1024);
  const subs = [
    "",
    ["alice"],
    [],
    long,
    "alice\nrole:admin",
    "alice\n",
    "role:admin",
    "ROLE:admin",
  ];
  await assertBad(
    /: sub (?:is|has|does)/,
    ...(await Promise.all(subs.map((sub) => sign({ sub })))),
  );
  await assertBad(/8 KiB/, await sign({ sub: "a".repeat(10 * 1024) }));
  // Without the issuer's prefix it would be the role itself, which may do everything.
  const own = keysFor("ES256", "own");
  const spelled = [
    "role:admin",
    "user:role:admin",
    "user:alice\nrole:admin",
    "alice",
    "user:",
    `user:${long}`,
  ];
  const tokens = await Promise.all(spelled.map((sub) => sign({ iss: OWN, sub }, {}, own)));
  await assertBad(/: sub (?:is|has|does)/, ...tokens);
  const good = await put({ token: await sign({ iss: OWN, sub: "user:alice" }, {}, own) });
  assert.equal(good.status, "0");
  await assert.rejects(world.token("role:admin"));
});

test("refusal 32: a mutated twin does not evade revocation", async () => {
  const jti = "twin";
  const token = await sign({ jti });
  const twin = ecdsaTwin(token);
  assert.notEqual(twin, token);
  // Both are good signatures of one token.
  for (const good of [token, twin]) assert.equal((await put({ token: good })).status, "0");
  const operator = await world.as("user:admin", { tenants: ["system"] });
  const value = { issuer: ISSUER, tokenId: jti };
  await operator.tokenRevoke({ target: { target: { $case: "token", value } } });
  await assertBad(/the token is revoked/, token, twin, token, twin);
  // The last character of a signature has four bits that say nothing: any but zero is another spelling.
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet.indexOf(token.slice(-1));
  const spelled = [1, 2, 8].map((bits) => token.slice(0, -1) + (alphabet[last ^ bits] ?? ""));
  await assertBad(/base64url is not canonical/, ...spelled);
  assert.equal((await put({ token: await sign() })).status, "0");
});

test("refusal 34: a bound token without its certificate, and over another's connection", async () => {
  const [own, other] = ["laptop", "thief"].map((commonName) =>
    issueCertificate(world.authority, { commonName, usages: ["client"] }),
  );
  assert.ok(own !== undefined && other !== undefined);
  const { raw } = new X509Certificate(own.certificate);
  const thumbprint = createHash("sha256").update(raw).digest("base64url");
  const token = await sign({ cnf: { "x5t#S256": thumbprint } });
  const key = bytes("/token");
  const over = ({ certificate, privateKey }: typeof own): Client =>
    world.connect({ cert: certificate, key: privateKey, token });
  await over(own).put({ key });
  await assertBad(/none was presented/, token);
  const expected = { subject: "", action: "put", code: "invalid-token" } as const;
  const record = await assertRefused(world, expected, () => over(other).put({ key }));
  assert.match(record.reason, /another certificate/);
  // It has not been forgotten meanwhile by whom it is good.
  await over(own).put({ key });
});
