import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { checkIssuerRecord, encodeIssuerRecord } from "../../src/identity/mod.ts";
import { bench, type Bench, failure, keysFor, recordOf, sign } from "./fixtures.ts";

const JWKS = JSON.stringify({ keys: [keysFor("ES256").jwk] });
const WELL_KNOWN = "/.well-known/openid-configuration";

type Answer = (response: ServerResponse, issuer: string) => void;

interface Site {
  readonly issuer: string;
  readonly b: Bench;
  /** Paths that were asked for, in order. */
  readonly asked: readonly string[];
}

/** An issuer on loopback that answers by path, and an identity that is to discover it. */
async function site(
  context: TestContext,
  answers: Readonly<Record<string, Answer>>,
  path = "",
): Promise<Site> {
  const asked: string[] = [];
  const listener: RequestListener = (request, response) => {
    asked.push(request.url ?? "");
    const answer = answers[request.url ?? ""];
    if (answer === undefined) response.writeHead(404).end();
    else answer(response, issuer);
  };
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = origin + path;
  const record = recordOf({ issuer, keys: { kind: "discovery" } });
  const b = bench([record], { allowLoopbackHttp: true });
  context.after(() => {
    b.identity.close();
    server.closeAllConnections();
    server.close();
  });
  return { issuer, b, asked };
}

const document =
  (changes: (issuer: string) => object = () => ({})): Answer =>
  (response, issuer) => {
    const known = { issuer, jwks_uri: `${new URL(issuer).origin}/keys` };
    response.end(JSON.stringify({ ...known, ...changes(issuer) }));
  };
const keys: Answer = (response) => response.end(JWKS);

for (const path of ["", "/", "/realms/acme"]) {
  test(`keys are where the issuer${path} says`, async (context) => {
    const wellKnown = path.replace(/\/$/, "") + WELL_KNOWN;
    const one = await site(context, { [wellKnown]: document(), "/keys": keys }, path);
    const principal = await one.b.authenticate(await sign({ iss: one.issuer }));
    assert.equal(principal.issuer, one.issuer);
    assert.deepEqual(one.asked, [wellKnown, "/keys"]);
    assert.deepEqual(one.b.identity.issuerKeys(one.issuer), { keys: 1, failure: undefined });
  });
}

test("the issuer may move its keys: it is asked again with each fetch", async (context) => {
  let place = "/keys";
  const next = keysFor("ES256", "next");
  const answer = document((issuer) => ({ jwks_uri: issuer + place }));
  const moved: Answer = (response) => response.end(JSON.stringify({ keys: [next.jwk] }));
  const one = await site(context, { [WELL_KNOWN]: answer, "/keys": keys, "/moved": moved });
  await one.b.authenticate(await sign({ iss: one.issuer }));
  place = "/moved";
  one.b.clock.ms += 2000;
  await one.b.authenticate(await sign({ iss: one.issuer }, {}, next));
  assert.deepEqual(one.asked, [WELL_KNOWN, "/keys", WELL_KNOWN, "/moved"]);
});

const BAD: Readonly<Record<string, Answer>> = {
  "another issuer": document((issuer) => ({ issuer: `${issuer}/` })),
  "no issuer": document(() => ({ issuer: undefined })),
  "no jwks_uri": document(() => ({ jwks_uri: undefined })),
  "a jwks_uri that is a list": document((issuer) => ({ jwks_uri: [`${issuer}/keys`] })),
  "a jwks_uri of plain http elsewhere": document(() => ({ jwks_uri: "http://192.0.2.1/keys" })),
  "a jwks_uri that is a file": document(() => ({ jwks_uri: "file:///etc/passwd" })),
  "a jwks_uri that is no URL": document(() => ({ jwks_uri: "keys" })),
  "issuer given twice": (response, issuer) => {
    response.end(`{"issuer":"${issuer}","issuer":"${issuer}","jwks_uri":"${issuer}/keys"}`);
  },
  "a redirect": (response) => response.writeHead(302, { location: "/elsewhere" }).end(),
  "more than 64 KiB": document(() => ({ pad: "x".repeat(70_000) })),
  "an error": (response) => response.writeHead(500).end(),
};
for (const [name, answer] of Object.entries(BAD)) {
  test(`refusal 35: a configuration document with ${name}`, async (context) => {
    const answers = { [WELL_KNOWN]: answer, "/keys": keys, "/elsewhere": document() };
    const one = await site(context, answers);
    assert.match(await one.b.refusal(await sign({ iss: one.issuer })), /keys are not known/);
    assert.ok(!one.asked.includes("/keys"), "the keys were fetched all the same");
    assert.ok(!one.asked.includes("/elsewhere"), "the redirect was followed");
    assert.equal(one.b.identity.keyFailures, 1);
    assert.equal(one.b.identity.issuerKeys(one.issuer)?.keys, 0);
  });
}

test("refusal 35: keys that the document names, behind a redirect", async (context) => {
  const redirect: Answer = (response) => response.writeHead(307, { location: "/real" }).end();
  const one = await site(context, { [WELL_KNOWN]: document(), "/keys": redirect, "/real": keys });
  assert.match(await one.b.refusal(await sign({ iss: one.issuer })), /answered 307/);
  assert.deepEqual([one.asked[1], one.asked.includes("/real")], ["/keys", false]);
});

test("a record that no member can use is refused when it is added", async () => {
  const check = (changes: Readonly<Record<string, unknown>>) =>
    checkIssuerRecord(encodeIssuerRecord(recordOf(changes)));
  const cases: readonly (readonly [Readonly<Record<string, unknown>>, RegExp])[] = [
    [{ keys: { kind: "file", path: "/etc/jwks.json" } }, /own disk/],
    [{ keys: { kind: "url", url: "http://127.0.0.1/jwks" } }, /must be https/],
    [{ keys: { kind: "inline", keys: [] } }, /no key/],
    [{ keys: { kind: "inline", keys: [{ ...keysFor("ES256").jwk, d: "AAAA" }] } }, /private key/],
    [{ issuer: "http://127.0.0.1", keys: { kind: "discovery" } }, /https URL to be discovered/],
  ];
  for (const [changes, message] of cases) {
    assert.match((await failure(() => check(changes), "invalid-argument")).message, message);
  }
  const unfit = (issuer: string) => () => recordOf({ issuer, keys: { kind: "discovery" } });
  await failure(unfit("acme"), "invalid-argument");
  await failure(unfit("https://id.example?tenant=a"), "invalid-argument");
  await failure(unfit("https://user:pass@id.example"), "invalid-argument");
  assert.equal(check({}).issuer, recordOf().issuer);
});
