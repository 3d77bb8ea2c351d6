import assert from "node:assert/strict";
import { test } from "node:test";
import { bench, ecdsaTwin, ISSUER, NOW, recordOf, sign } from "./fixtures.ts";

test("refusal 32: another signature over the same payload does not evade revocation", async () => {
  let revoked = false;
  const b = bench([recordOf()], { isRevoked: ({ tokenId }) => revoked && tokenId === "t1" });
  const token = await sign();
  const twin = ecdsaTwin(token);
  assert.notEqual(twin, token);
  await b.authenticate(token);
  // (r, n - s) is a valid signature too: the twin is the same token under another spelling.
  await b.authenticate(twin);
  assert.equal(b.identity.cachedTokens, 2);
  revoked = true;
  for (const text of [token, twin, `Bearer ${twin}`]) {
    assert.match(await b.refusal(text), /revoked/);
  }
});

test("refusal 32: unused bits of base64url must be zero", async () => {
  const b = bench();
  const token = await sign();
  await b.authenticate(token);
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet.indexOf(token.slice(-1));
  assert.equal(last % 4, 0, "a 64-byte signature leaves four bits of its last character unused");
  for (const bits of [1, 2, 3, 8, 15]) {
    assert.match(await b.refusal(token.slice(0, -1) + alphabet[last ^ bits]), /canonical|jose/);
  }
});

test("refusal 33: a token revoked while cached, by id, subject or time", async () => {
  const questions: unknown[] = [];
  let revoked = false;
  const b = bench([recordOf()], {
    isRevoked: (question) => {
      questions.push(question);
      return revoked;
    },
  });
  const token = await sign();
  await b.authenticate(token);
  await b.authenticate(token);
  revoked = true;
  assert.match(await b.refusal(token), /revoked/);
  assert.equal(questions.length, 3);
  const asked = { issuer: ISSUER, tokenId: "t1", subject: "user:alice", issuedAt: NOW - 10 };
  for (const question of questions) assert.deepEqual(question, asked);
  revoked = false;
  await b.authenticate(token);
});

test("refusal 33: a cached token ends with its exp", async () => {
  const b = bench();
  const token = await sign({ exp: NOW + 20 });
  await b.authenticate(token);
  b.clock.ms += 19_000;
  await b.authenticate(token);
  b.clock.ms += 7_000;
  assert.match(await b.refusal(token), /exp/);
});
