import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { JsonRefused, parseStrictJson } from "../../src/identity/strict-json.ts";
import { bench, claimsOf, keysFor, recordOf, segment, sign, signText } from "./fixtures.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= \n";

for (const alg of ["ES256", "EdDSA", "RS256"]) {
  test(`no mutated ${alg} token verifies`, async () => {
    const keys = keysFor(alg);
    const b = bench([recordOf({ keys: { kind: "inline", keys: [keys.jwk] }, algorithms: [alg] })]);
    const token = await sign({}, { alg }, keys);
    await b.authenticate(token);
    const position = fc.nat(token.length - 1);
    const char = fc.constantFrom(...Array.from(ALPHABET));
    const mutation = fc.oneof(
      fc.tuple(position, char).map(([at, c]) => token.slice(0, at) + c + token.slice(at + 1)),
      fc.tuple(position, char).map(([at, c]) => token.slice(0, at) + c + token.slice(at)),
      position.map((at) => token.slice(0, at) + token.slice(at + 1)),
      position.map((at) => token.slice(0, at)),
      fc.tuple(position, position).map(([a, c]) => token.slice(a) + token.slice(0, c)),
    );
    await fc.assert(
      fc.asyncProperty(mutation, async (text) => {
        fc.pre(text !== token);
        await b.refusal(text);
      }),
      { numRuns: 400 },
    );
  });
}

test("no claims or header of another choice verify under an old signature", async () => {
  const b = bench();
  const token = await sign();
  const [header = "", payload = "", signature = ""] = token.split(".");
  const overrides = fc.record(
    {
      sub: fc.constantFrom("bob", "admin"),
      exp: fc.integer({ min: 2_000_000_000, max: 3_000_000_000 }),
      groups: fc.array(fc.string()),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(overrides, fc.constantFrom("ES256", "none", "HS256"), async (over, alg) => {
      const changed = segment(claimsOf({ ...over, extra: 1 }));
      await b.refusal(`${header}.${changed}.${signature}`);
      await b.refusal(`${segment({ alg, kid: "ES256-main", typ: "JWT" })}.${payload}.${signature}`);
    }),
    { numRuns: 100 },
  );
});

test("a payload of any JSON never gets past with more than it says", async () => {
  const b = bench();
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), async (json) => {
      await b.refusal(await signText(JSON.stringify(json)));
    }),
    { numRuns: 150 },
  );
});

test("strict JSON reads what JSON.parse reads, and refuses every doubled name", () => {
  const objects = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 }), { minKeys: 1 });
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  fc.assert(
    fc.property(objects, fc.boolean(), (object, pretty) => {
      const text = pretty ? JSON.stringify(object, null, 2) : JSON.stringify(object);
      fc.pre(!text.includes("__proto__"));
      assert.deepEqual(JSON.parse(JSON.stringify(parseStrictJson(encode(text)))), JSON.parse(text));
      const name = JSON.stringify(Object.keys(object)[0]);
      const doubled = `{${name} :1,${text.trim().slice(1)}`;
      assert.throws(() => parseStrictJson(encode(doubled)), JsonRefused);
    }),
    { numRuns: 500 },
  );
});
