import assert from "node:assert/strict";
import { test } from "node:test";
import type { IdentityOptions, PeerCertificate } from "../../src/identity/mod.ts";
import { certificateOf, CLIENT } from "./certificate-fixtures.ts";
import { bench, failure, NOW_MS, recordOf, sign } from "./fixtures.ts";

const DAY = 86_400_000;

const cn = (value: string) => ({ name: "commonName", value });
const org = (value: string) => ({ name: "organizationName", value });

function certBench(options: Partial<IdentityOptions> = {}) {
  const b = bench([recordOf()], options);
  const authenticate = (certificate: PeerCertificate, tenantName?: string) =>
    b.identity.authenticate({ authorization: undefined, certificate, tenantName });
  const refuse = async (certificate: PeerCertificate): Promise<string> =>
    String((await failure(() => authenticate(certificate), "invalid-token")).cause);
  return { ...b, authenticate, refuse };
}

test("a client certificate is cert:CN of the default tenant, synchronously", () => {
  const b = certBench();
  const certificate = certificateOf();
  const principal = b.authenticate(certificate);
  assert.deepEqual(principal, {
    subject: "cert:node-1",
    groups: [],
    issuer: "certificate",
    via: "certificate",
    tenant: "default",
    tenants: ["default"],
    expires: NOW_MS + DAY,
    tokenId: undefined,
    // Its notBefore, in seconds.
    issuedAt: (NOW_MS - DAY) / 1000,
  });
  assert.equal(b.authenticate(certificate), principal);
});

test("organizations tenant:NAME bind tenants, others do not", async () => {
  const b = certBench();
  const bound = certificateOf({
    subject: [cn("a"), org("Acme Ltd"), org("tenant:acme"), org("tenant:beta")],
  });
  const principal = await b.authenticate(bound);
  assert.deepEqual([principal.tenant, principal.tenants], ["acme", ["acme", "beta"]]);
  assert.equal((await b.authenticate(bound, "beta")).tenant, "beta");
  await failure(() => b.authenticate(bound, "default"), "permission-denied");
  const plain = await b.authenticate(certificateOf({ subject: [cn("a"), org("Acme Ltd")] }));
  assert.deepEqual(plain.tenants, ["default"]);
  for (const name of ["*", "", "Acme", "a/b", "..", " a"]) {
    const certificate = certificateOf({ subject: [cn("a"), org(`tenant:${name}`)] });
    assert.match(await b.refuse(certificate), /not a tenant name/);
  }
});

test("refusal 38: expired and not yet valid, on a connection that outlives its certificate too", async () => {
  const b = certBench();
  const certificate = certificateOf();
  await b.authenticate(certificate);
  b.clock.ms += DAY + 1000;
  assert.match(await b.refuse(certificate), /expired/);
  b.clock.ms = NOW_MS;
  await b.authenticate(certificate);
  assert.match(await b.refuse(certificateOf({ from: NOW_MS + 60_000 })), /not yet valid/);
});

test("refusal 38: a revoked certificate, on its next request", async () => {
  const revoked = new Set<string>();
  const b = certBench({ isCertificateRevoked: (thumbprint) => revoked.has(thumbprint) });
  const certificate = certificateOf();
  await b.authenticate(certificate);
  revoked.add(certificate.thumbprint);
  assert.match(await b.refuse(certificate), /revoked/);
});

test("refusal 39: serverAuth only, no extended key usage, any usage, an authority", async () => {
  const b = certBench();
  const bad = [
    [{ name: "extKeyUsage", serverAuth: true }],
    [],
    [{ name: "extKeyUsage", "2.5.29.37.0": true }],
  ];
  for (const extensions of bad) {
    assert.match(await b.refuse(certificateOf({ extensions })), /not for clients/);
  }
  const authority = [CLIENT, { name: "basicConstraints", cA: true }];
  assert.match(await b.refuse(certificateOf({ extensions: authority })), /authority/);
});

test("common names follow the rules of subjects", async () => {
  const b = certBench();
  const other = ["role:admin", "user:admin", "SA:ns/name", "cert:x", "group:x", "system:x"];
  const bad = [...other, "", "a\nb", "x\u0000", "a,CN=admin\n", " a", "x".repeat(300)];
  for (const name of bad)
    assert.match(await b.refuse(certificateOf({ subject: [cn(name)] })), /name/);
  // What rules make of a SPIFFE id is `cert:` and the id: of nobody who only chooses common names.
  for (const name of ["spiffe://acme.org/ns/ci", "SPIFFE:x"])
    assert.match(await b.refuse(certificateOf({ subject: [cn(name)] })), /like a SPIFFE id/);
  assert.match(await b.refuse(certificateOf({ subject: [org("x")] })), /name/);
  assert.match(await b.refuse(certificateOf({ subject: [cn("a"), cn("b")] })), /name/);
  const odd = await b.authenticate(certificateOf({ subject: [cn("a, CN=admin + O=x")] }));
  assert.equal(odd.subject, "cert:a, CN=admin + O=x");
});

test("bytes that are no certificate are refused", async () => {
  const b = certBench();
  const certificate = { raw: new TextEncoder().encode("no"), thumbprint: "x" };
  assert.match(await b.refuse(certificate), /parsed/);
});

test("a token wins over the certificate, and a bad token never falls back to it", async () => {
  const b = certBench();
  const certificate = certificateOf();
  const token = await sign();
  const won = await b.identity.authenticate({
    authorization: token,
    certificate,
    tenantName: undefined,
  });
  assert.equal(won.subject, "user:alice");
  for (const authorization of ["", "x", "Bearer x", `${token.slice(0, -4)}AAAA`]) {
    await failure(
      async () => b.identity.authenticate({ authorization, certificate, tenantName: undefined }),
      "invalid-token",
    );
  }
});

test("refusal 34: cnf goes by the certificate of the connection", async () => {
  const b = certBench();
  const [own, other] = [certificateOf(), certificateOf({ subject: [cn("thief")] })];
  const token = await sign({ cnf: { "x5t#S256": own.thumbprint } });
  await b.authenticate(own);
  const ask = async (certificate: PeerCertificate | undefined) =>
    b.identity.authenticate({ authorization: token, certificate, tenantName: undefined });
  assert.equal((await ask(own)).subject, "user:alice");
  await failure(() => ask(other), "invalid-token");
  await failure(() => ask(undefined), "invalid-token");
});
