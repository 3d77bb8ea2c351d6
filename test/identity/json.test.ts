import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { deep, many } from "../fuzz/mutate.ts";
import { createKeyLoader } from "../../src/identity/key-source.ts";
import { JsonRefused, parseStrictJson } from "../../src/identity/strict-json.ts";
import { bench, keysFor, recordOf, sign } from "./fixtures.ts";

const KEYS = JSON.stringify([keysFor("ES256").jwk]);
const objects = (levels: number): string => `${'{"x":'.repeat(levels)}1${"}".repeat(levels)}`;
const DOCUMENTS: Readonly<Record<string, string>> = {
  "nested 17 deep": `{"keys":${KEYS},"x":${deep(17)}}`,
  "nested as deep as it may be long": `{"keys":${KEYS},"x":${deep(30_000)}}`,
  "nested 100,000 deep": `{"keys":${KEYS},"x":${deep(100_000)}}`,
  "with a million fields": `{"keys":${KEYS},${many(1_000_000)}}`,
};
for (const [what, text] of Object.entries(DOCUMENTS)) {
  test(`refusal 56: a key set ${what}`, async (context) => {
    // Signed first: a token that comes while the fetch runs need not wait for the one after it.
    const token = await sign();
    const keys = { kind: "url", url: "https://issuer.example/jwks" };
    const b = bench([recordOf({ keys })], {
      loadKeys: () => Promise.resolve(Buffer.from(text)),
    });
    context.after(() => b.identity.close());
    assert.match(await b.refusal(token), /keys are not known/);
    assert.equal(b.identity.keyFailures, 1);
  });

  test(`refusal 56: a configuration document ${what}`, async (context) => {
    const server = createServer((_, response) => void response.end(text));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const load = createKeyLoader({ allowLoopbackHttp: true });
    const refused = /nested too deep|longer than 64 KiB/;
    await assert.rejects(async () => load({ kind: "discovery", issuer }), refused);
  });
}

test("refusal 56: any depth is refused as itself, not by the end of the stack", () => {
  for (const text of [
    `{"x":${deep(16)}}`,
    objects(17),
    `{"x":${deep(100_000)}}`,
    objects(100_000),
  ]) {
    const parse = (): unknown => parseStrictJson(Buffer.from(text));
    assert.throws(parse, (error) => error instanceof JsonRefused && /deep/.test(error.message));
  }
  assert.ok(parseStrictJson(Buffer.from(`{"x":${deep(15)}}`)));
});
