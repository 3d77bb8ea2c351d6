import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mock, test, type TestContext } from "node:test";
import { createKeyLoader } from "../../src/identity/key-source.ts";
import type { LoadKeys } from "../../src/identity/mod.ts";
import { certificateOf } from "./certificate-fixtures.ts";
import { bench, type Bench, keysFor, NOW_MS, recordOf, sign } from "./fixtures.ts";

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const urlRecord = (url: string) => recordOf({ keys: { kind: "url", url } });
const MAIN = { keys: [keysFor("ES256").jwk] };
const NEXT = keysFor("ES256", "next");

async function serve(context: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
}

/** An identity whose one issuer's keys are what `load` answers; closed with the test. */
function loaded(context: TestContext, load: LoadKeys): Bench {
  const b = bench([urlRecord("https://issuer.example/jwks")], { loadKeys: load });
  context.after(() => b.identity.close());
  return b;
}

test("keys come from a URL, fetched once for many tokens", async (context) => {
  let hits = 0;
  const url = await serve(context, (_, response) => {
    hits++;
    response.end(JSON.stringify(MAIN));
  });
  const b = bench([urlRecord(url)], { allowLoopbackHttp: true });
  context.after(() => b.identity.close());
  await Promise.all([1, 2, 3].map(async (i) => b.authenticate(await sign({ jti: `${i}` }))));
  assert.equal(hits, 1);
  assert.equal(b.identity.keyFailures, 0);
});

test("keys come from a file, and a new key in it is found", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "coffer-jwks-"));
  context.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "jwks.json");
  await writeFile(path, encode(MAIN));
  const b = bench([recordOf({ keys: { kind: "file", path } })]);
  context.after(() => b.identity.close());
  await b.authenticate(await sign());
  await writeFile(path, encode({ keys: [NEXT.jwk] }));
  b.clock.ms += 2000;
  await b.authenticate(await sign({}, {}, NEXT));
  await writeFile(path, "x".repeat(70_000));
  b.clock.ms += 2000;
  await b.refusal(await sign({}, { kid: "third" }));
  assert.equal(b.identity.keyFailures, 1);
});

const big = { keys: [{ ...MAIN.keys[0], pad: "x".repeat(10_000_000) }] };
const many = { keys: Array.from({ length: 5000 }, (_, i) => ({ kty: "EC", kid: `${i}` })) };
const BAD_ANSWERS: Readonly<Record<string, RequestListener>> = {
  "10 MB": (_, response) => response.end(JSON.stringify(big)),
  "5,000 keys": (_, response) => response.end(JSON.stringify(many)),
  "51 keys": (_, response) =>
    response.end(JSON.stringify({ keys: Array.from({ length: 51 }, () => MAIN.keys[0]) })),
  "an error": (_, response) => response.writeHead(500).end(JSON.stringify(MAIN)),
  "no JSON": (_, response) => response.end("<html>"),
  "no keys": (_, response) => response.end('{"keys":[]}'),
  "keys twice": (_, response) => response.end(`{"keys":[],"keys":${JSON.stringify(MAIN.keys)}}`),
  "a private key": (_, response) =>
    response.end(JSON.stringify({ keys: [{ ...MAIN.keys[0], d: "AAAA" }] })),
  "a private key for encryption": (_, response) =>
    response.end(JSON.stringify({ keys: [...MAIN.keys, { ...NEXT.jwk, use: "enc", d: "AAAA" }] })),
  "a private key of no kind": (_, response) =>
    response.end(JSON.stringify({ keys: [...MAIN.keys, { ...NEXT.jwk, kty: {}, d: "AAAA" }] })),
  "a symmetric key": (_, response) =>
    response.end(JSON.stringify({ keys: [{ kty: "oct", k: "AAAA", kid: "ES256-main" }] })),
  "a cut answer": (_, response) => {
    response.writeHead(200, { "content-length": "10000" });
    response.write("{");
    setImmediate(() => response.destroy());
  },
};
for (const [name, listener] of Object.entries(BAD_ANSWERS)) {
  test(`refusal 35: a JWKS endpoint that answers with ${name}`, async (context) => {
    const url = await serve(context, listener);
    // Signed first: a token that comes while the fetch runs need not wait for the one after it.
    const token = await sign();
    const b = bench([urlRecord(url)], { allowLoopbackHttp: true });
    context.after(() => b.identity.close());
    assert.match(await b.refusal(token), /keys are not known/);
    assert.equal(b.identity.keyFailures, 1);
    assert.equal(b.notices.length, 1);
  });
}

test("refusal 35: an answer without end is cut off, and one that drips", async (context) => {
  let sent = 0;
  const endless = await serve(context, (_, response) => {
    const more = (): void => {
      if (response.destroyed || sent > 50_000_000) return;
      sent += 65_536;
      response.write("x".repeat(65_536), more);
    };
    more();
  });
  const drip = await serve(context, (_, response) => {
    const timer = setInterval(() => response.write(" "), 10);
    response.on("close", () => clearInterval(timer));
  });
  const load = createKeyLoader({ allowLoopbackHttp: true, fetchMsMax: 300 });
  await assert.rejects(load({ kind: "url", url: endless }), /the document is longer than 64 KiB/);
  assert.ok(sent < 20_000_000, `${sent} bytes were taken`);
  await assert.rejects(load({ kind: "url", url: drip }), /no whole answer in 300 ms/);
});

test("a key whose numbers hold more than base64url is none", async (context) => {
  const [good] = MAIN.keys;
  const x = String(good?.["x"]);
  for (const odd of [`${x.slice(0, 20)}}${x.slice(20)}`, `${x}=`, ` ${x}`, 7, undefined, ""]) {
    const b = loaded(context, () => Promise.resolve(encode({ keys: [{ ...good, x: odd }] })));
    assert.match(await b.refusal(await sign()), /keys are not known/, String(odd));
  }
  const keys = [{ ...good, x: "}" }, NEXT.jwk];
  const b = loaded(context, () => Promise.resolve(encode({ keys })));
  await b.authenticate(await sign({}, {}, NEXT));
});

test("keys come by https from a server of the pinned authority only", async (context) => {
  const certificate = certificateOf({
    subject: [{ name: "commonName", value: "test" }],
    from: Date.now() - 60_000,
    to: Date.now() + 60_000,
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] },
    ],
  });
  const ca = new X509Certificate(certificate.raw).toString();
  const key = keysFor("RS256").privateKey.export({ type: "pkcs8", format: "pem" });
  const server = createTlsServer({ cert: ca, key }, (_, response) => {
    response.end(JSON.stringify(MAIN));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const load = createKeyLoader({ allowLoopbackHttp: false });
  await assert.rejects(load({ kind: "url", url }), /certificate/);
  assert.deepEqual(await load({ kind: "url", url, ca }), Buffer.from(encode(MAIN)));
});

test("refusal 35: a redirect is not followed", async (context) => {
  let followed = 0;
  const target = await serve(context, (_, response) => {
    followed++;
    response.end(JSON.stringify(MAIN));
  });
  const token = await sign();
  for (const status of [301, 302, 303, 307, 308]) {
    const url = await serve(context, (_, response) =>
      response.writeHead(status, { location: target }).end(),
    );
    const b = bench([urlRecord(url)], { allowLoopbackHttp: true });
    context.after(() => b.identity.close());
    assert.match(await b.refusal(token), new RegExp(`answered ${status}`));
  }
  assert.equal(followed, 0);
});

test("refusal 35: plain http is refused, and beyond loopback even when allowed", async (context) => {
  const url = await serve(context, (_, response) => response.end(JSON.stringify(MAIN)));
  const token = await sign();
  const cases = [
    [url, false],
    ["http://issuer.example/jwks", true],
  ] as const;
  for (const [address, allowLoopbackHttp] of cases) {
    const b = bench([urlRecord(address)], { allowLoopbackHttp });
    context.after(() => b.identity.close());
    assert.match(await b.refusal(token), /only fetched by https/);
  }
});

test("refusal 35: an endpoint down for an hour is asked seldom, and known keys last a day", async (context) => {
  let down = false;
  let loads = 0;
  const b = loaded(context, () => {
    loads++;
    return down ? Promise.reject(new Error("down")) : Promise.resolve(encode(MAIN));
  });
  await b.authenticate(await sign());
  assert.equal(loads, 1);
  down = true;
  const later = async (seconds: number): Promise<string> => {
    b.clock.ms += seconds * 1000;
    const now = b.clock.ms / 1000;
    return sign({ iat: now, exp: now + 60, jti: `${now}` });
  };
  for (let second = 0; second < 3600; second += 10) await b.authenticate(await later(10));
  assert.ok(loads > 30, `${loads} fetches in the hour`);
  assert.ok(loads < 75, `${loads} fetches in the hour`);
  assert.equal(b.identity.keyFailures, 1);
  assert.equal(b.notices.length, 1);
  await b.authenticate(await later(22 * 3600));
  assert.match(await b.refusal(await later(2 * 3600)), /keys are not known/);
  down = false;
  await b.authenticate(await later(61));
  assert.equal(b.identity.keyFailures, 0);
  assert.equal(b.notices.length, 2);
});

test("refusal 35: while no key is known, requests share one fetch and fail at once in between", async (context) => {
  let loads = 0;
  const token = await sign();
  const b = loaded(context, () => {
    loads++;
    return Promise.reject(new Error("down"));
  });
  await b.refusal(token);
  b.clock.ms += 4000;
  await b.refusal(await sign({ jti: "2" }));
  b.clock.ms += 100_000;
  await b.refusal(await sign({ jti: "3" }));
  // The next fetch is now seconds away: nobody waits for it.
  const before = loads;
  const begin = performance.now();
  const tokens = await Promise.all(Array.from({ length: 100 }, (_, i) => sign({ jti: `x${i}` })));
  await Promise.all(tokens.map((token) => b.refusal(token)));
  assert.ok(performance.now() - begin < 1500);
  assert.equal(loads, before);
});

test("refusal 36: keys rotate at the issuer under load without a failure", async (context) => {
  let keys = [keysFor("ES256").jwk];
  let loads = 0;
  const b = loaded(context, () => {
    loads++;
    return Promise.resolve(encode({ keys }));
  });
  await b.authenticate(await sign());
  b.clock.ms = NOW_MS + 1000;
  keys = [NEXT.jwk, keysFor("ES256").jwk];
  const tokens = await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      i % 2 === 0 ? sign({ jti: `${i}` }) : sign({ jti: `${i}` }, {}, NEXT),
    ),
  );
  await Promise.all(tokens.map((token) => b.authenticate(token)));
  assert.equal(loads, 2);
  // A key that was taken away is gone with the next fetch.
  keys = [NEXT.jwk];
  b.clock.ms += 6 * 60_000;
  const now = b.clock.ms / 1000;
  await b.authenticate(await sign({ iat: now, exp: now + 60 }, {}, NEXT));
  b.clock.ms += 1000;
  await b.refusal(await sign({ iat: now, exp: now + 60, jti: "gone" }));
});

/** An identity whose issuer serves what `served.keys` holds, and how often it was told of withdrawn keys. */
function withdrawing(context: TestContext) {
  const served: { keys: readonly object[] } = { keys: [...MAIN.keys, NEXT.jwk] };
  const b = loaded(context, () => Promise.resolve(encode(served)));
  const told: number[] = [];
  b.identity.onKeysWithdrawn(() => void told.push(b.clock.ms));
  return { ...b, served, told };
}

test("what a withdrawn key signed is refused as soon as that is known, though it was cached", async (context) => {
  const b = withdrawing(context);
  const [old, next] = [await sign(), await sign({ jti: "t2" }, {}, NEXT)];
  const [who, other] = [await b.authenticate(old), await b.authenticate(next)];
  b.clock.ms += 2000;
  // Once more with both, which must be the same keys as before.
  await b.refusal(await sign({}, { kid: "made-up" }));
  b.clock.ms += 2000;
  b.served.keys = [NEXT.jwk];
  assert.deepEqual([who.judgedBy?.live, other.judgedBy?.live], [true, true]);
  // A key id that nobody has makes it look.
  await b.refusal(await sign({}, { kid: "made-up" }));
  assert.deepEqual([who.judgedBy?.live, other.judgedBy?.live], [false, true]);
  assert.deepEqual(b.told, [b.clock.ms]);
  assert.equal(await b.authenticate(next), other);
  b.clock.ms += 2000;
  await b.refusal(old);
  // It may be served again, and what has ended stays so.
  b.served.keys = [NEXT.jwk, ...MAIN.keys];
  b.clock.ms += 2000;
  assert.equal((await b.authenticate(old)).judgedBy?.live, true);
  assert.equal(who.judgedBy?.live, false);
  assert.equal(b.told.length, 1);
});

test("a key is withdrawn with what else it verifies, and not for what says nothing of that", async (context) => {
  const [main] = MAIN.keys;
  const alike = { ...main, x5c: ["renewed"], iat: 5, key_ops: undefined };
  for (const [change, withdrawn] of [
    [alike, false],
    [{ ...main, kid: "another" }, true],
    [{ ...main, alg: "ES384" }, true],
    [{ ...main, x: keysFor("ES256", "third").jwk["x"] }, true],
    [{ ...main, key_ops: ["sign"] }, true],
  ] as const) {
    const b = withdrawing(context);
    const who = await b.authenticate(await sign());
    b.clock.ms += 2000;
    b.served.keys = [change, NEXT.jwk];
    await b.refusal(await sign({}, { kid: "made-up" }));
    assert.equal(who.judgedBy?.live, !withdrawn, JSON.stringify(change));
    assert.equal(b.told.length, withdrawn ? 1 : 0);
  }
});

test("keys that cannot be fetched are not withdrawn", async (context) => {
  let down = false;
  const b = loaded(context, () =>
    down ? Promise.reject(new Error("down")) : Promise.resolve(encode(MAIN)),
  );
  const who = await b.authenticate(await sign());
  b.identity.onKeysWithdrawn(() => assert.fail("Nothing was withdrawn"));
  down = true;
  b.clock.ms += 2000;
  await b.refusal(await sign({}, { kid: "made-up" })).catch(() => undefined);
  assert.equal(b.identity.keyFailures, 1);
  assert.equal(who.judgedBy?.live, true);
});

test("a withdrawn key is found within five minutes though no token comes", async (context) => {
  mock.timers.enable({ apis: ["setInterval"] });
  context.after(() => mock.timers.reset());
  const b = withdrawing(context);
  const who = await b.authenticate(await sign());
  b.served.keys = [NEXT.jwk];
  const told = new Promise<void>((resolve) => b.identity.onKeysWithdrawn(resolve));
  const pass = (ms: number): void => {
    b.clock.ms += ms;
    mock.timers.tick(ms);
  };
  pass(5 * 60_000 - 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(who.judgedBy?.live, true);
  pass(1);
  await told;
  assert.equal(who.judgedBy?.live, false);
});

test("a token that is verified while its key is withdrawn is refused", async (context) => {
  const b = withdrawing(context);
  await b.authenticate(await sign({ jti: "t2" }, {}, NEXT));
  b.served.keys = [NEXT.jwk];
  b.clock.ms += 6 * 60_000;
  const now = b.clock.ms / 1000;
  // The refresh that it begins is over sooner than its signature is checked.
  const late = b.refusal(await sign({ iat: now, exp: now + 60 }));
  assert.match(await late, /withdrew the key meanwhile/);
});

test("made-up key ids cause no storm of fetches", async (context) => {
  let loads = 0;
  const b = loaded(context, () => {
    loads++;
    return Promise.resolve(encode(MAIN));
  });
  await b.authenticate(await sign());
  const tokens = await Promise.all(
    Array.from({ length: 400 }, (_, i) => sign({ jti: `${i}` }, { kid: `made-up-${i}` })),
  );
  await Promise.all(tokens.map((token) => b.refusal(token)));
  assert.equal(loads, 2);
});

test("closing stops waiting requests instead of leaving them", async (context) => {
  const token = await sign();
  const b = loaded(context, () => Promise.reject(new Error("down")));
  await b.refusal(token);
  const waiting = b.refusal(await sign({ jti: "2" }));
  await new Promise((resolve) => setImmediate(resolve));
  b.identity.close();
  assert.match(await waiting, /keys are not known/);
});
