import assert from "node:assert/strict";
import { test } from "node:test";
import { bench, failure, keysFor, recordOf, sign } from "./fixtures.ts";

test("refusal 13: a token of one tenant naming another, existing or not, gets one answer", async () => {
  const b = bench();
  const token = await sign();
  const picked = await b.authenticate(token, undefined, "beta");
  assert.deepEqual([picked.tenant, picked.subject], ["beta", "user:alice"]);
  assert.equal(await b.authenticate(token, undefined, "beta"), picked);
  const messages = new Set<string>();
  for (const name of ["gamma", "default", "system", "", "*", "acme ", "ACME", "constructor"]) {
    const error = await failure(() => b.authenticate(token, undefined, name), "permission-denied");
    messages.add(`${error.message} ${String(error.cause)}`);
  }
  assert.equal(messages.size, 1);
});

test("a tenant comes from a claim only if the record says so", async () => {
  const claim = { tenants: ["gamma", "delta"], tenant: "root" };
  const fixed = await bench().authenticate(await sign(claim));
  assert.deepEqual(fixed.tenants, ["acme", "beta"]);
  const b = bench([recordOf({ tenants: { kind: "claim", claim: "tenants" } })]);
  const principal = await b.authenticate(await sign(claim));
  assert.deepEqual([principal.tenant, principal.tenants], ["gamma", ["gamma", "delta"]]);
  const many = Array.from({ length: 65 }, (_, i) => `t${i}`);
  for (const tenants of [undefined, "gamma", [], [1], ["*"], ["a", "*"], ["A"], ["../x"], many]) {
    assert.match(await b.refusal(await sign({ tenants })), /tenants claim/);
  }
});

test("the system scope by a claim only if the record binds to any", async () => {
  const token = await sign({ tenants: ["system"] });
  const narrow = bench([recordOf({ tenants: { kind: "claim", claim: "tenants" } })]);
  assert.match(await narrow.refusal(token), /system scope/);
  const wide = bench([recordOf({ tenants: { kind: "claim", claim: "tenants", any: true } })]);
  assert.deepEqual((await wide.authenticate(token)).tenants, ["system"]);
});

test("every tenant only by a record that allows it; then any well-formed name may be asked for", async () => {
  const b = bench([recordOf({ tenants: { kind: "claim", claim: "tenants", any: true } })]);
  const token = await sign({ tenants: ["*"] });
  const principal = await b.authenticate(token);
  assert.deepEqual([principal.tenant, principal.tenants], ["default", "*"]);
  for (let i = 0; i < 1000; i++) {
    assert.equal((await b.authenticate(token, undefined, `t-${i}`)).tenant, `t-${i}`);
  }
  for (const name of ["", "A", "a/b", "x".repeat(64), "x".repeat(1_000_000)]) {
    await failure(() => b.authenticate(token, undefined, name), "permission-denied");
  }
  await b.refusal(await sign({ tenants: ["*", "acme"] }));
});

const ACCOUNT = { namespace: "apps", name: "web", uid: "0c9d" };
const KUBERNETES = {
  sub: "system:serviceaccount:apps:web",
  "kubernetes.io": { namespace: "apps", serviceaccount: { name: "web", uid: "0c9d" } },
};

test("a Kubernetes service account is bound by namespace, name and uid", async () => {
  const b = bench([recordOf({ subject: { kind: "kubernetes", accounts: [ACCOUNT] } })]);
  assert.equal((await b.authenticate(await sign(KUBERNETES))).subject, "sa:apps/web");
  const wrong = [
    { ...KUBERNETES, sub: "system:serviceaccount:apps:other" },
    { ...KUBERNETES, "kubernetes.io": undefined },
    { ...KUBERNETES, "kubernetes.io": { namespace: "apps" } },
    { ...KUBERNETES, "kubernetes.io": { namespace: "kube", serviceaccount: ACCOUNT } },
    {
      ...KUBERNETES,
      "kubernetes.io": { namespace: "apps", serviceaccount: { name: "web", uid: "made-again" } },
    },
    { ...KUBERNETES, aud: "https://kubernetes.default.svc" },
  ];
  for (const claims of wrong) await b.refusal(await sign(claims));
});

test("a record may name the subject's claim and prefix", async () => {
  const own = bench([recordOf({ subject: { kind: "own", claim: "sub" } })]);
  assert.equal((await own.authenticate(await sign({ sub: "sa:ci/build" }))).subject, "sa:ci/build");
  for (const sub of [
    "alice",
    "user:",
    "role:x",
    "cert:x",
    "user:role:admin",
    "User:x",
    "user: x",
  ]) {
    await own.refusal(await sign({ sub }));
  }
  const rule = { kind: "prefix", claim: "email", prefix: "sa:" };
  const mail = bench([recordOf({ subject: rule })]);
  assert.equal((await mail.authenticate(await sign({ email: "a@b.c" }))).subject, "sa:a@b.c");
  for (const email of [undefined, 1, ["a@b.c"], "", "role:admin"]) {
    await mail.refusal(await sign({ email }));
  }
});

test("keys of one issuer do not open another's tenants", async () => {
  const other = keysFor("ES256", "b");
  const b = bench([
    recordOf(),
    recordOf({
      issuer: "https://b.example",
      keys: { kind: "inline", keys: [other.jwk] },
      tenants: { kind: "fixed", tenants: ["gamma"] },
    }),
  ]);
  const token = await sign({ iss: "https://b.example", tenants: ["acme"] }, {}, other);
  assert.deepEqual((await b.authenticate(token)).tenants, ["gamma"]);
  await failure(() => b.authenticate(token, undefined, "acme"), "permission-denied");
});
