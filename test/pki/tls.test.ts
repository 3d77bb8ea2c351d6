import assert from "node:assert/strict";
import { before, test } from "node:test";
import {
  checkClientCertificate,
  createAuthority,
  createRevocationList,
} from "../../src/pki/mod.ts";
import { inspectCertificate, issueCertificate, type Authority } from "../../src/pki/mod.ts";
import { encodeName } from "../../src/pki/name.ts";
import { refused } from "../seal/refused.ts";
import { forge, HOUR, intermediate, openRoot } from "./forged.ts";
import {
  caOf,
  handshake,
  type Handshake,
  type HandshakeOptions,
  type Identity,
} from "./handshake.ts";

let ca: Authority;
let server: Identity;
let client: Identity;
before(() => {
  ca = createAuthority({ commonName: "coffer test" });
  server = issueCertificate(ca, { commonName: "m1", usages: ["server"], dns: ["localhost"] });
  client = issueCertificate(ca, { commonName: "alice", usages: ["client"] });
});

function shake(options: Partial<HandshakeOptions>): Promise<Handshake> {
  return handshake({ server, client, clientCa: caOf(ca), serverCa: caOf(ca), ...options });
}

test("a valid client and server accept each other, and the client is who it is", async () => {
  const { server: atServer, client: atClient, peer } = await shake({});
  assert.deepEqual([atServer, atClient], ["accepted", "accepted"]);
  assert.ok(peer);
  const info = checkClientCertificate(peer);
  assert.equal(info.commonName, "alice");
  assert.deepEqual(info, inspectCertificate(client.certificate));
});

test("a client without a certificate and a server of another name are refused", async () => {
  const { client: _, ...rest } = { server, client, clientCa: caOf(ca), serverCa: caOf(ca) };
  assert.equal((await handshake(rest)).server, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE");
  const other = await shake({ host: "example.org" });
  assert.equal(other.client, "ERR_TLS_CERT_ALTNAME_INVALID");
});

test("refusal 37: another authority of the same subject, a client of the same serial", async () => {
  const { serial } = inspectCertificate(client.certificate);
  const twin = createAuthority({ commonName: "coffer test" });
  const twinClient = forge(twin, "alice", { serial: Buffer.from(serial, "hex") });
  assert.equal(inspectCertificate(twinClient.certificate).serial, serial);
  // With the real authority's key id in it, only the signature tells.
  const impostor = forge({ ...twin, keyId: ca.keyId }, "alice", {
    serial: Buffer.from(serial, "hex"),
  });
  for (const one of [twinClient, impostor]) {
    assert.notEqual((await shake({ client: one })).server, "accepted");
  }
  assert.equal((await shake({ client: twinClient, clientCa: caOf(twin) })).server, "accepted");
});

test("refusal 37: a server of another authority", async () => {
  const twin = createAuthority({ commonName: "coffer test" });
  const wrong = issueCertificate(twin, {
    commonName: "m1",
    usages: ["server"],
    dns: ["localhost"],
  });
  assert.notEqual((await shake({ server: wrong })).client, "accepted");
});

test("refusal 38: an expired client certificate", async () => {
  const now = Date.now();
  const dates = { notBefore: now - 2 * HOUR, notAfter: now - HOUR };
  const old = forge(ca, "alice", dates);
  assert.equal((await shake({ client: old })).server, "CERT_HAS_EXPIRED");
});

test("refusal 38: a client certificate not yet valid", async () => {
  const now = Date.now();
  const early = forge(ca, "alice", { notBefore: now + HOUR, notAfter: now + 2 * HOUR });
  assert.equal((await shake({ client: early })).server, "CERT_NOT_YET_VALID");
});

test("refusal 38: a revoked client certificate", async () => {
  const { serial } = inspectCertificate(client.certificate);
  const revoked = [{ serial, revokedAt: Date.now() - HOUR }];
  const list = { number: 300, thisUpdate: Date.now() - HOUR, nextUpdate: Date.now() + HOUR };
  const crl = createRevocationList(ca, { ...list, revoked });
  assert.equal((await shake({ crl })).server, "CERT_REVOKED");
  const other = issueCertificate(ca, { commonName: "bob", usages: ["client"] });
  assert.equal((await shake({ crl, client: other })).server, "accepted");
  const empty = createRevocationList(ca, { ...list, revoked: [] });
  assert.equal((await shake({ crl: empty })).server, "accepted");
  const stale = createRevocationList(ca, { ...list, revoked: [], nextUpdate: Date.now() - 60_000 });
  assert.equal((await shake({ crl: stale })).server, "CRL_HAS_EXPIRED");
});

test("refusal 39: a client with a server's certificate", async () => {
  assert.equal((await shake({ client: server })).server, "INVALID_PURPOSE");
  const raw = Buffer.from(inspectDer(server.certificate));
  refused(
    () => checkClientCertificate(raw),
    "invalid-token",
    /CN=m1 \(.*Z to .*Z\) is not for clients/,
  );
});

test("refusal 39: a client without any extended key usage, which TLS lets pass", async () => {
  const bare = forge(ca, "alice", { extensions: [] });
  const { server: atServer, peer } = await shake({ client: bare });
  assert.equal(atServer, "accepted");
  assert.ok(peer);
  refused(() => checkClientCertificate(peer), "invalid-token", /does not name clientAuth/);
});

test("refusal 39: an authority's or expired certificate is nobody's identity", () => {
  const now = Date.now();
  refused(
    () => checkClientCertificate(inspectDer(ca.certificate)),
    "invalid-token",
    /an authority's/,
  );
  const raw = inspectDer(client.certificate);
  refused(
    () => checkClientCertificate(raw, now + 400 * 24 * HOUR),
    "invalid-token",
    /not valid now/,
  );
  refused(() => checkClientCertificate(raw, now - HOUR), "invalid-token", /CN=alice/);
});

test("refusal 39: a server with a client's certificate", async () => {
  const wrong = { ...client };
  assert.equal((await shake({ server: wrong })).client, "INVALID_PURPOSE");
});

test("refusal 40: an intermediate without basicConstraints", async () => {
  const root = openRoot("root");
  for (const [constraints, expected] of [
    ["with", /^accepted$/],
    ["without", /^INVALID_CA$/],
  ] as const) {
    const middle = intermediate(root, `middle ${constraints}`, constraints);
    const leaf = forge(middle, "alice");
    const chain = { ...leaf, certificate: leaf.certificate + middle.certificate };
    const { server: atServer } = await shake({ client: chain, clientCa: caOf(root) });
    assert.match(atServer, expected, constraints);
  }
});

test("refusal 40: a leaf or an intermediate below an authority of this room", async () => {
  const leaf = forge(ca, "leaf");
  const below = forge(
    { ...ca, privateKey: leaf.key, subjectName: encodeName({ commonName: "leaf" }) },
    "alice",
  );
  const chain = { ...below, certificate: below.certificate + leaf.certificate };
  assert.notEqual((await shake({ client: chain })).server, "accepted");
  const middle = intermediate(ca, "middle", "with");
  const under = forge(middle, "alice");
  const longer = { ...under, certificate: under.certificate + middle.certificate };
  assert.equal((await shake({ client: longer })).server, "PATH_LENGTH_EXCEEDED");
});

function inspectDer(pem: string): Uint8Array {
  return Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\n/g, ""), "base64");
}
