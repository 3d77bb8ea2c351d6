import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AUDIENCE,
  bench,
  claimsOf,
  failure,
  forge,
  ISSUER,
  keysFor,
  NOW,
  NOW_MS,
  recordOf,
  segment,
  sign,
  signText,
} from "./fixtures.ts";

const ALGORITHMS = "ES256 ES384 ES512 EdDSA Ed25519 PS256 PS384 PS512 RS256 RS384 RS512".split(" ");

for (const alg of ALGORITHMS) {
  test(`a good ${alg} token is accepted`, async () => {
    const keys = keysFor(alg);
    const b = bench([recordOf({ keys: { kind: "inline", keys: [keys.jwk] }, algorithms: [alg] })]);
    const { judgedBy, ...principal } = await b.authenticate(
      `Bearer ${await sign({}, { alg }, keys)}`,
    );
    assert.equal(judgedBy?.live, true);
    assert.deepEqual(principal, {
      subject: "user:alice",
      groups: [],
      issuer: ISSUER,
      via: "jwt",
      tenant: "acme",
      tenants: ["acme", "beta"],
      expires: NOW_MS + 600_000,
      tokenId: "t1",
      issuedAt: NOW - 10,
      tenantIds: undefined,
    });
  });
}

test("etcd's raw token and any case of Bearer are taken; a second time synchronously", async () => {
  const b = bench();
  const token = await sign({ groups: ["dev", "ops", "dev"], aud: ["other", AUDIENCE] });
  const first = await b.authenticate(token);
  assert.deepEqual(first.groups, ["dev", "ops"]);
  for (const form of [token, `Bearer ${token}`, `bearer  ${token}`]) {
    const credentials = { authorization: form, certificate: undefined, tenantName: undefined };
    assert.equal(b.identity.authenticate(credentials), first);
  }
  assert.equal(b.identity.cachedTokens, 1);
});

test("many requests with one new token verify it once", async () => {
  const b = bench();
  const token = await sign();
  const all = await Promise.all(Array.from({ length: 50 }, () => b.authenticate(token)));
  assert.equal(new Set(all).size, 1);
});

test("typ of an access token is accepted, of another use refused", async () => {
  const b = bench();
  for (const typ of ["JWT", "jwt", "at+jwt", "application/at+JWT"]) {
    await b.authenticate(await sign({}, { typ }));
  }
  for (const typ of ["dpop+jwt", "logout+jwt", "", 1, null]) {
    assert.match(await b.refusal(await sign({}, { typ })), /^typ/);
  }
});

test("refusal 21: alg none in any case", async () => {
  const b = bench();
  for (const alg of ["none", "None", "NONE", "nOnE"]) {
    for (const signature of ["", "AA"]) {
      await b.refusal(forge({ alg }, claimsOf(), signature));
    }
  }
});

test("refusal 22: HS256 signed with the public key", async () => {
  const keys = keysFor("RS256");
  const b = bench([
    recordOf({ keys: { kind: "inline", keys: [keys.jwk] }, algorithms: ["RS256"] }),
  ]);
  const { createPublicKey } = await import("node:crypto");
  const publicKey = createPublicKey(keys.privateKey);
  const secrets = [
    publicKey.export({ type: "spki", format: "pem" }) as string,
    publicKey.export({ type: "spki", format: "der" }),
    JSON.stringify(keys.jwk),
  ];
  for (const secret of secrets) {
    for (const alg of ["HS256", "RS256"]) {
      const header = { alg, kid: keys.jwk["kid"] };
      await b.refusal(forge(header, claimsOf(), Buffer.from(secret)));
    }
  }
});

test("an algorithm that the record does not list is refused, the right key or not", async () => {
  const keys = keysFor("RS256");
  const b = bench([
    recordOf({ keys: { kind: "inline", keys: [keys.jwk] }, algorithms: ["RS256"] }),
  ]);
  assert.match(await b.refusal(await sign({}, { alg: "PS256" }, keys)), /alg/);
  await b.authenticate(await sign({}, { alg: "RS256" }, keys));
});

test("refusal 23: an empty signature, other numbers of segments, a JWE", async () => {
  const b = bench();
  const token = await sign();
  const [header = "", payload = "", signature = ""] = token.split(".");
  const bad = [
    "",
    "Bearer",
    "Bearer ",
    ".",
    "..",
    `${header}.${payload}.`,
    `${header}.${payload}`,
    `${header}..${signature}`,
    `.${payload}.${signature}`,
    `${token}.`,
    `${token}.AA`,
    `${token}.AA.AA`,
    `Basic ${token}`,
    `Bearer Bearer ${token}`,
    ` ${token}`,
    `${token} `,
    `${token}\n`,
    `${token}=`,
    `${header}.${payload}.${signature}==`,
    `Bearer ${token}, Bearer ${token}`,
    `${segment({ alg: "ECDH-ES", enc: "A256GCM" })}.AA.AA.AA.AA`,
    forge({ alg: "ES256", enc: "A256GCM" }, claimsOf(), "AA"),
  ];
  for (const text of bad) await b.refusal(text);
});

test("a token over 8 KiB is refused before it is decoded", async () => {
  const b = bench();
  assert.match(await b.refusal(await sign({ pad: "x".repeat(6500) })), /8 KiB/);
  assert.match(await b.refusal("A".repeat(10_000_000)), /8 KiB/);
  await b.authenticate(await sign({ pad: "x".repeat(5500) }));
  // Just over, whether or not the scheme stands before it.
  let token = "";
  for (let pad = 5880; token.length <= 8192; pad++) token = await sign({ pad: "x".repeat(pad) });
  assert.ok(token.length < 8196);
  assert.match(await b.refusal(token), /8 KiB/);
  assert.match(await b.refusal(`Bearer ${token}`), /8 KiB/);
});

test("refusal 24: kid that is a path, a megabyte, or no text", async () => {
  const b = bench();
  for (const kid of ["../../x", "/dev/null", "", 1, null, ["a"], {}, "a b", "a\n", "x\u0000"]) {
    await b.refusal(await sign({}, { kid }));
  }
  await b.refusal(await sign({}, { kid: "k".repeat(257) }));
  await b.refusal(await sign({}, { kid: "k".repeat(1_000_000) }));
});

test("a token without kid is verified only when its issuer has one key", async () => {
  const two = [keysFor("ES256").jwk, keysFor("ES256", "other").jwk];
  const token = await sign({}, { kid: undefined });
  await bench().authenticate(token);
  const b = bench([recordOf({ keys: { kind: "inline", keys: two } })]);
  assert.match(await b.refusal(token), /kid is missing/);
});

test("refusal 25: jku, x5u, jwk and x5c are never followed", async () => {
  const mallory = keysFor("ES256", "mallory");
  let loads = 0;
  const b = bench([recordOf()], {
    loadKeys: () => {
      loads++;
      return Promise.reject(new Error("no"));
    },
  });
  const tricks = [
    { jwk: mallory.jwk },
    { jku: "https://mallory.example/jwks", kid: mallory.jwk["kid"] },
    { x5u: "https://mallory.example/x", kid: keysFor("ES256").jwk["kid"] },
    { x5c: ["AAAA"], kid: keysFor("ES256").jwk["kid"] },
  ];
  for (const header of tricks) {
    await b.refusal(await sign({}, { alg: "ES256", ...header }, mallory));
  }
  // A good signature beside them is a good signature: the fields are ignored.
  await b.authenticate(await sign({}, { jku: "https://issuer.example/jwks" }));
  assert.equal(loads, 0);
});

test("refusal 26: crit, known or unknown, and b64", async () => {
  const b = bench();
  const keys = keysFor("ES256");
  const good = await sign();
  const signature = good.slice(good.lastIndexOf(".") + 1);
  for (const extra of [
    { crit: ["x"] },
    { crit: [] },
    { crit: ["b64"], b64: true },
    { b64: true },
  ]) {
    const header = { alg: "ES256", kid: keys.jwk["kid"], x: 1, ...extra };
    assert.match(await b.refusal(forge(header, claimsOf(), signature)), /crit|b64/);
  }
});

const BAD_CLAIMS: Readonly<Record<string, readonly unknown[]>> = {
  exp: [
    undefined,
    null,
    "x",
    `${NOW + 60}`,
    [NOW + 60],
    {},
    0,
    -1,
    1e300,
    NOW - 6,
    NOW + 10 * 3.2e7,
  ],
  iat: [undefined, null, "x", `${NOW}`, [NOW], 0, -1, NOW + 6, NOW - 3606, NOW + 700],
  aud: [undefined, null, "", "Coffer", "coffer ", 1, [], ["x"], [[AUDIENCE]], [AUDIENCE, 1], {}],
  iss: [undefined, null, "", 1, [ISSUER], {}],
  sub: [undefined, null, 1, [], ["alice"], {}, true],
  nbf: [NOW + 6, "x", null, [NOW], 0],
  jti: [null, 1, "", "x".repeat(257), ["a"]],
};
for (const [claim, values] of Object.entries(BAD_CLAIMS)) {
  test(`refusal 27: ${claim} missing or wrong`, async () => {
    const b = bench();
    for (const value of values) {
      const token = await sign({ [claim]: value });
      assert.ok((await b.refusal(token)) !== "", `${claim} ${JSON.stringify(value)}`);
    }
  });
}

test("the clock tolerance is the record's", async () => {
  const b = bench();
  await b.authenticate(await sign({ exp: NOW - 4 }));
  await b.authenticate(await sign({ nbf: NOW + 4, iat: NOW + 4 }));
  const strict = bench([recordOf({ clockToleranceSeconds: 0 })]);
  await strict.refusal(await sign({ exp: NOW }));
  await strict.refusal(await sign({ iat: NOW + 1 }));
});

test("refusal 28: an issuer that differs by a slash, case, port or space", async () => {
  const b = bench();
  for (const iss of [`${ISSUER}/`, ISSUER.toUpperCase(), `${ISSUER}:443`, ` ${ISSUER}`, "*"]) {
    assert.match(await b.refusal(await sign({ iss })), /no issuer record/);
  }
});

test("refusal 29: issuer A with issuer B's key", async () => {
  const other = keysFor("ES256", "b");
  const same = { ...other.jwk, kid: keysFor("ES256").jwk["kid"] };
  const b = bench([
    recordOf(),
    recordOf({ issuer: "https://b.example", keys: { kind: "inline", keys: [same] } }),
  ]);
  const kid = keysFor("ES256").jwk["kid"];
  await b.refusal(await sign({}, { kid }, other));
  await b.refusal(await sign({ iss: "https://b.example" }));
  await b.authenticate(await sign({ iss: "https://b.example" }, { kid }, other));
});

test("two records of one issuer: neither judges", async () => {
  const b = bench([recordOf(), recordOf({ audience: ["x"] })]);
  assert.match(await b.refusal(await sign()), /no issuer record/);
  assert.equal(b.notices.length, 1);
});

test("refusal 30: duplicate and __proto__ names, other encodings, no object", async () => {
  const b = bench();
  const good = JSON.stringify(claimsOf());
  const payloads = [
    good.replace("{", '{"sub":"root",'),
    good.replace("}", ',"sub":"root"}'),
    good.replace("}", ',"s\\u0075b":"root"}'),
    good.replace("}", ',"x":{"a":1,"a":2}}'),
    good.replace("}", ',"x":[{"a":1,"b":{},"a":2}]}'),
    good.replace("}", ',"__proto__":{"sub":"root"}}'),
    good.replace("}", ',"x":{"__proto__":1}}'),
    good.replace("}", ',"\\u005f_proto__":1}'),
    good.replace("}", `,"x":${"[".repeat(20)}${"]".repeat(20)}}`),
    `\ufeff${good}`,
    `[${good}]`,
    '"x"',
    "null",
    "1",
    "{",
    "",
    " ",
  ];
  for (const payload of payloads) {
    if (payload === "") continue;
    assert.match(await b.refusal(await signText(payload)), /the payload is refused/, payload);
  }
  const latin1 = Buffer.from(good.replace("alice", "al\u00efce"), "latin1");
  assert.match(await b.refusal(await signText(latin1)), /UTF-8/);
  await b.authenticate(await signText(good.replace("}", ',"x":"\\"a\\":\\\\","y":{"x":1}}')));
});

test("refusal 30: duplicate names in the header", async () => {
  const b = bench();
  const header = '{"alg":"none","alg":"ES256","kid":"ES256-main"}';
  const token = await sign();
  const signature = token.slice(token.lastIndexOf(".") + 1);
  assert.match(await b.refusal(forge(header, claimsOf(), signature)), /the header is refused/);
});

test("names of Object.prototype are no claims and bind nothing", async () => {
  const b = bench([
    recordOf({ tenants: { kind: "claim", claim: "constructor" }, groupsClaim: "toString" }),
  ]);
  assert.match(await b.refusal(await sign()), /tenants claim/);
});

const BAD_SUBJECTS = [
  "",
  " ",
  " alice",
  "alice ",
  "role:admin",
  "ROLE:admin",
  "cert:node-1",
  "system:lease",
  "group:dev",
  "a\nb",
  "a\r",
  "a\tb",
  "a\u0000",
  "a\u007f",
  "a\u0085",
  "a\u2028b",
  "a\u202eb",
  "a\u200bb",
  "\ud800",
  "x".repeat(252),
  "é".repeat(126),
  "x".repeat(5000),
];
test("refusal 31: sub that spells a role, is empty, long or not printable", async () => {
  const b = bench();
  for (const sub of BAD_SUBJECTS) {
    await b.refusal(await sign({ sub }));
    await b.refusal(await sign({ groups: [sub === "x".repeat(252) ? "x".repeat(251) : sub] }));
  }
  const long = await b.authenticate(await sign({ sub: "x".repeat(251) }));
  assert.equal(long.subject.length, 256);
  const odd = await b.authenticate(await sign({ sub: "O'Brien, Zoë #*/..%2F" }));
  assert.equal(odd.subject, "user:O'Brien, Zoë #*/..%2F");
});

test("groups are a list of at most 64 strings", async () => {
  const b = bench();
  for (const groups of [
    "dev",
    1,
    {},
    [1],
    [["dev"]],
    Array.from({ length: 65 }, (_, i) => `${i}`),
  ]) {
    await b.refusal(await sign({ groups }));
  }
});

test("refusal 34: a token bound to a certificate needs that certificate", async () => {
  const b = bench();
  const own = "A".repeat(43);
  const token = await sign({ cnf: { "x5t#S256": own } });
  await b.authenticate(token, own);
  await b.authenticate(token, own);
  assert.match(await b.refusal(token), /none was presented/);
  assert.match(await b.refusal(token, "B".repeat(43)), /another certificate/);
  for (const cnf of [
    null,
    "x",
    {},
    { jkt: own },
    { "x5t#S256": own, jkt: own },
    { "x5t#S256": 1 },
  ]) {
    assert.match(await b.refusal(await sign({ cnf }), own), /cnf/);
  }
});

test("a changed or removed record ends what was verified under it", async () => {
  let records = [recordOf()];
  const b = bench([], { issuers: () => records });
  const token = await sign();
  await b.authenticate(token);
  records = [recordOf()];
  const credentials = { authorization: token, certificate: undefined, tenantName: undefined };
  assert.ok(!(b.identity.authenticate(credentials) instanceof Promise), "an equal record keeps it");
  records = [recordOf({ audience: ["elsewhere"] })];
  assert.match(await b.refusal(token), /aud/);
  records = [];
  assert.match(await b.refusal(token), /no issuer record/);
});

test("claims that the record binds must be equal, strings and all", async () => {
  const b = bench([recordOf({ boundClaims: { team: "storage" } })]);
  await b.authenticate(await sign({ team: "storage" }));
  for (const team of [undefined, "Storage", ["storage"], "storage*", 1]) {
    assert.match(await b.refusal(await sign({ team })), /claim team/);
  }
});

test("the verified tokens remembered are bounded, the oldest goes first", async () => {
  const b = bench([recordOf()], { cachedTokensMax: 10 });
  const tokens = await Promise.all(Array.from({ length: 15 }, (_, i) => sign({ jti: `${i}` })));
  for (const token of tokens) await b.authenticate(token);
  assert.equal(b.identity.cachedTokens, 10);
  const isCached = tokens.map((authorization) => {
    const credentials = { authorization, certificate: undefined, tenantName: undefined };
    return !(b.identity.authenticate(credentials) instanceof Promise);
  });
  assert.deepEqual(isCached.slice(0, 5), [false, false, false, false, false]);
  assert.ok(isCached.slice(5).every(Boolean));
});

test("without any credential there is no identity", async () => {
  const b = bench();
  const none = { authorization: undefined, certificate: undefined, tenantName: undefined };
  await failure(() => b.identity.authenticate(none), "no-identity");
  const open = bench([], { anonymousAs: "user:guest" });
  const principal = await open.identity.authenticate(none);
  assert.deepEqual(
    [principal.subject, principal.via, principal.tenant],
    ["user:guest", "anonymous", "default"],
  );
  await failure(() => bench([], { anonymousAs: "role:admin" }), "invalid-argument");
  assert.match(await open.refusal("x"), /segments/);
});
