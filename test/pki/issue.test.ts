import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { checkValidity, createAuthority, inspectCertificate } from "../../src/pki/mod.ts";
import { issueCertificate, loadAuthority, savePem, type Authority } from "../../src/pki/mod.ts";
import { createRevocationList } from "../../src/pki/mod.ts";
import { decode, encode, partsOf, sequence, unsigned } from "../../src/pki/der.ts";
import { encodeName } from "../../src/pki/name.ts";
import { refused } from "../seal/refused.ts";
import { pemBegin, pemText } from "../setup/pem-text.ts";
import { forge, HOUR } from "./forged.ts";

let folder: string;
let ca: Authority;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "coffer-pki-"));
  ca = createAuthority({ commonName: "coffer test", organization: "Coffer" });
});
after(() => rmSync(folder, { recursive: true }));

function pemOfKey(authority: Authority): string {
  return authority.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

test("an authority is self-signed, critical in its constraints and signs leaves only", () => {
  const x509 = new X509Certificate(ca.certificate);
  assert.equal(x509.ca, true);
  assert.ok(x509.verify(x509.publicKey));
  assert.ok(x509.checkIssued(x509));
  const info = inspectCertificate(ca.certificate);
  assert.equal(info.subject, "O=Coffer, CN=coffer test");
  assert.equal(info.isAuthority, true);
  const days = (info.notAfter - info.notBefore) / (24 * HOUR);
  assert.ok(days > 3649 && days < 3651);
});

test("a member's certificate says its names, usages, dates and key", () => {
  const dates = { notBefore: Date.UTC(2030, 0, 2, 3, 4, 5), notAfter: Date.UTC(2031, 5, 6) };
  const { certificate, privateKey, notAfter } = issueCertificate(ca, {
    commonName: "mäinz-1",
    organization: "Ops",
    usages: ["server", "client"],
    dns: ["localhost", "*.coffer.internal", "m1"],
    ips: ["127.0.0.1", "::1", "2001:db8::ff00:42:8329", "::ffff:10.1.2.3"],
    ...dates,
  });
  const x509 = new X509Certificate(certificate);
  assert.ok(x509.verify(new X509Certificate(ca.certificate).publicKey));
  assert.ok(x509.checkIssued(new X509Certificate(ca.certificate)));
  assert.ok(privateKey.startsWith(pemBegin("PRIVATE KEY")));
  assert.equal(x509.checkHost("x.coffer.internal"), "*.coffer.internal");
  assert.equal(x509.checkIP("2001:db8:0::ff00:42:8329"), "2001:db8:0::ff00:42:8329");
  const info = inspectCertificate(certificate);
  assert.equal(info.commonName, "mäinz-1");
  assert.deepEqual(info.organizations, ["Ops"]);
  assert.deepEqual(info.usages, ["server", "client"]);
  assert.deepEqual(info.dns, ["localhost", "*.coffer.internal", "m1"]);
  assert.deepEqual(info.ips.slice(0, 3), ["127.0.0.1", "::1", "2001:db8::ff00:42:8329"]);
  assert.deepEqual({ notBefore: info.notBefore, notAfter: info.notAfter }, dates);
  assert.equal(notAfter, dates.notAfter);
  const fingerprint = Buffer.from(info.thumbprint, "base64url").toString("hex").toUpperCase();
  assert.equal(fingerprint, x509.fingerprint256.replaceAll(":", ""));
  assert.deepEqual(inspectCertificate(x509.raw), info);
});

test("serials are positive, 16 bytes and all different; every certificate verifies", () => {
  const authorityKey = new X509Certificate(ca.certificate).publicKey;
  const seen = new Set<string>();
  for (let i = 0; i < 100; i++) {
    const one = issueCertificate(ca, { commonName: `c${i}`, usages: ["client"] });
    const x509 = new X509Certificate(one.certificate);
    assert.match(x509.serialNumber, /^[4-7][0-9A-F]{31}$/);
    assert.ok(x509.verify(authorityKey));
    seen.add(x509.serialNumber);
  }
  assert.equal(seen.size, 100);
});

test("an integer is positive and as short as it can be", () => {
  const der = (...bytes: number[]) => [...encode(unsigned(Uint8Array.from(bytes)))];
  assert.deepEqual(der(0x80), [2, 2, 0, 0x80]);
  assert.deepEqual(der(0, 0, 0x7f), [2, 1, 0x7f]);
  assert.deepEqual(der(0, 0), [2, 1, 0]);
});

test("an empty revocation list leaves its entries out", () => {
  const options = { revoked: [], number: 1, nextUpdate: Date.now() + HOUR };
  const pem = createRevocationList(ca, options).split("\n").slice(1, -2).join("");
  const [tbs] = partsOf(decode(Buffer.from(pem, "base64"), "list"));
  assert.equal(partsOf(tbs).length, 6);
});

test("dates past 2049 are right", () => {
  const far = createAuthority({ commonName: "far", notAfter: Date.UTC(2060, 1, 3, 4, 5, 6) });
  assert.equal(inspectCertificate(far.certificate).notAfter, Date.UTC(2060, 1, 3, 4, 5, 6));
});

test("validity never exceeds the authority's: shortened by default, refused if asked", () => {
  const short = createAuthority({ commonName: "short", notAfter: Date.now() + HOUR });
  const leaf = { commonName: "alice", usages: ["client"] } as const;
  assert.equal(issueCertificate(short, leaf).notAfter, short.notAfter);
  const longer = { ...leaf, notAfter: short.notAfter + 1000 };
  refused(
    () => issueCertificate(short, longer),
    "invalid-argument",
    /authority CN=short expires at 20.*Z/,
  );
  const earlier = { ...leaf, notBefore: short.notBefore - 1000 };
  refused(
    () => issueCertificate(short, earlier),
    "invalid-argument",
    /authority CN=short is valid from/,
  );
  const never = { ...leaf, notAfter: short.notBefore };
  refused(() => issueCertificate(short, never), "invalid-argument", /before it is valid/);
});

test("bad subjects, names, usages and serials are refused and named", () => {
  const issue = (change: object) => () =>
    issueCertificate(ca, { commonName: "x", usages: ["server"], dns: ["a"], ...change });
  refused(issue({ commonName: "" }), "invalid-argument", /subject ""/);
  refused(issue({ commonName: "a\nb" }), "invalid-argument", /subject "a\\nb"/);
  refused(issue({ commonName: "a".repeat(65) }), "invalid-argument", /1 to 64/);
  for (const dns of [
    "",
    "a b",
    "a\0b",
    "-a",
    "*",
    "a.*.b",
    "a..b",
    "ü",
    "127.0.0.1",
    "a".repeat(64),
  ]) {
    refused(issue({ dns: [dns] }), "invalid-argument", /is not a DNS name/);
  }
  for (const ip of ["", "1.2.3", "1.2.3.4.5", "g::1", "fe80::1%eth0", "localhost"]) {
    refused(issue({ ips: [ip] }), "invalid-argument", /is not an IP address/);
  }
  refused(issue({ usages: [] }), "invalid-argument", /needs a usage/);
  refused(issue({ dns: [] }), "invalid-argument", /needs a DNS name or an IP/);
  const list = { number: 1, nextUpdate: Date.now() + HOUR };
  const revoked = [{ serial: "xy", revokedAt: 0 }];
  refused(() => createRevocationList(ca, { ...list, revoked }), "invalid-argument", /"xy"/);
});

test("files: keys 0600, certificates 0644, replaced whole, loaded again", () => {
  const paths = { certificatePath: join(folder, "ca.pem"), keyPath: join(folder, "ca.key") };
  savePem(paths.keyPath, "old");
  savePem(paths.keyPath, pemOfKey(ca));
  savePem(paths.certificatePath, ca.certificate);
  assert.equal(statSync(paths.keyPath).mode & 0o7777, 0o600);
  assert.equal(statSync(paths.certificatePath).mode & 0o7777, 0o644);
  assert.equal(readFileSync(paths.certificatePath, "utf8"), ca.certificate);
  assert.deepEqual(readdirSync(folder).toSorted(), ["ca.key", "ca.pem"]);
  const loaded = loadAuthority(paths);
  const leaf = issueCertificate(loaded, { commonName: "alice", usages: ["client"] });
  const x509 = new X509Certificate(leaf.certificate);
  assert.ok(x509.verify(new X509Certificate(ca.certificate).publicKey));
  refused(() => savePem(join(folder, "no/x.pem"), "x"), "invalid-argument", /no\/x\.pem.*ENOENT/);
});

test("an authority that cannot be one is refused, and file, subject or expiry named", () => {
  const paths = { certificatePath: join(folder, "a.pem"), keyPath: join(folder, "a.key") };
  const load = () => loadAuthority(paths);
  refused(load, "invalid-argument", /a\.pem' cannot be read: ENOENT/);
  savePem(paths.certificatePath, ca.certificate);
  refused(load, "invalid-argument", /a\.key' cannot be read: ENOENT/);
  savePem(paths.keyPath, pemOfKey(createAuthority({ commonName: "other" })));
  refused(load, "invalid-argument", /a\.key' is not that of .*CN=coffer test/);
  savePem(paths.keyPath, pemText("PRIVATE KEY", ""));
  refused(load, "invalid-argument", /a\.key' holds no private key/);
  chmodSync(paths.keyPath, 0o640);
  refused(load, "invalid-argument", /mode 0640, wider than 0600; run: chmod 600/);
  const leaf = forge(ca, "leaf");
  savePem(paths.certificatePath, leaf.certificate);
  savePem(paths.keyPath, leaf.privateKey);
  refused(load, "invalid-argument", /\(CN=leaf\) is not an authority's/);
  const dates = { notBefore: Date.UTC(2001, 0, 1), notAfter: Date.UTC(2002, 0, 1) };
  const old = createAuthority({ commonName: "old", ...dates });
  savePem(paths.certificatePath, old.certificate);
  savePem(paths.keyPath, pemOfKey(old));
  refused(load, "invalid-argument", /CN=old expired at 2002-01-01T00:00:00Z; issue another/);
  savePem(paths.certificatePath, "nonsense");
  refused(load, "invalid-argument", /no certificate in PEM or DER/);
});

test("a certificate with two common names names nobody; dates are checked and named", () => {
  const info = inspectCertificate(forge(ca, "alice", { subject: twoNames() }).certificate);
  assert.equal(info.commonName, undefined);
  checkValidity(info, Date.now());
  refused(() => checkValidity(info, info.notAfter + 1), "invalid-argument", /expired at .*; issue/);
  refused(() => checkValidity(info, info.notBefore - 1), "invalid-argument", /not valid before/);
});

function twoNames(): Authority["subjectName"] {
  const names = ["alice", "admin"].map((commonName) => encodeName({ commonName }));
  return sequence(...names.flatMap(partsOf));
}
