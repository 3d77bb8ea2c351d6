import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  type Authority,
  type Ensured,
  type EnsureOptions,
  type PairFiles,
  type Profile,
  createAuthority,
  ensureAuthority,
  ensureCertificate,
  issueCertificate,
  savePem,
} from "../../src/pki/mod.ts";

const DAY_MS = 86_400_000;
const profile: Profile = {
  commonName: "m1",
  usages: ["server"],
  dns: ["m1", "localhost"],
  ips: ["127.0.0.1", "::1"],
};

interface Stand {
  readonly folder: string;
  readonly authority: Authority;
  readonly files: PairFiles;
  ensure(wanted?: Profile, options?: Partial<EnsureOptions>): Ensured;
  text(): string;
}

function pairIn(folder: string, stem: string): PairFiles {
  return { certificatePath: join(folder, `${stem}.crt`), keyPath: join(folder, `${stem}.key`) };
}

function stand(context: TestContext): Stand {
  const folder = mkdtempSync(join(tmpdir(), "coffer-ensure-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const authority = createAuthority({ commonName: "test authority" });
  const files = pairIn(folder, "leaf");
  const now = Date.now();
  return {
    folder,
    authority,
    files,
    ensure: (wanted = profile, options = {}) =>
      ensureCertificate(files, wanted, { authority, now, unusable: "refuse", ...options }),
    text: () => readFileSync(files.certificatePath, "utf8"),
  };
}

test("a certificate is made, kept while it is good, and renewed before it ends", (context) => {
  const { ensure, files, text } = stand(context);
  assert.equal(ensure(), "made");
  assert.equal(statSync(files.keyPath).mode & 0o777, 0o600);
  const first = text();
  assert.equal(ensure(), "kept");
  assert.equal(text(), first);
  const later = Date.now() + 340 * DAY_MS;
  assert.equal(ensure(profile, { now: later }), "renewed");
  assert.notEqual(text(), first);
  assert.equal(ensure(profile, { anew: true }), "renewed");
});

test("one that says something else is renewed", (context) => {
  const { ensure, text } = stand(context);
  ensure();
  for (const wanted of [
    { ...profile, commonName: "m2" },
    { ...profile, organization: "tenant:blue" },
    { ...profile, usages: ["server", "client"] as const },
    { ...profile, dns: ["m1"] },
    { ...profile, ips: ["127.0.0.1", "10.0.0.5"] },
  ]) {
    ensure(); // So that each differs in one thing alone.
    assert.equal(ensure(wanted), "renewed", JSON.stringify(wanted));
    assert.equal(ensure(wanted), "kept", JSON.stringify(wanted));
  }
  const same = { ...profile, dns: ["localhost", "m1"], ips: ["0:0:0:0:0:0:0:1", "127.0.0.1"] };
  ensure();
  const before = text();
  assert.equal(ensure(same), "kept", "other order, other spelling");
  assert.equal(text(), before);
});

/** What may lie where a pair belongs, and what the refusal says of it. */
const unusable: readonly (readonly [string, (stand: Stand) => void, RegExp])[] = [
  ["garbage", ({ files }) => writeFileSync(files.certificatePath, "x"), /holds no certificate/],
  ["a garbled key", ({ files }) => writeFileSync(files.keyPath, "x"), /holds no private key/],
  ["no key", ({ files }) => rmSync(files.keyPath), /is there without its key/],
  ["no certificate", ({ files }) => rmSync(files.certificatePath), /is there without/],
  [
    "another's key",
    ({ authority, files }) =>
      savePem(files.keyPath, issueCertificate(authority, profile).privateKey),
    /is not the key of/,
  ],
  [
    "a pair of another authority of the same name",
    ({ files }) => {
      const other = createAuthority({ commonName: "test authority" });
      const issued = issueCertificate(other, profile);
      savePem(files.keyPath, issued.privateKey);
      savePem(files.certificatePath, issued.certificate);
    },
    /is of another authority/,
  ],
];

for (const [what, damage, message] of unusable) {
  test(`${what}: left alone unless it may be replaced`, (context) => {
    const made = stand(context);
    made.ensure();
    damage(made);
    assert.throws(() => made.ensure(), message);
    assert.throws(() => made.ensure(profile, { anew: true }), message);
    assert.equal(made.ensure(profile, { unusable: "replace" }), "made");
    assert.equal(made.ensure(), "kept");
  });
}

test("an authority that ends soon is renewed under its key: what it signed stays good", (context) => {
  const { folder } = stand(context);
  const files = pairIn(folder, "ca");
  const now = Date.now();
  const first = ensureAuthority(files, "a", { now, unusable: "refuse" });
  assert.equal(first.outcome, "made");
  assert.equal(ensureAuthority(files, "a", { now, unusable: "refuse" }).outcome, "kept");
  const leaf = new X509Certificate(issueCertificate(first.authority, profile).certificate);
  // It may as well have been made ten years ago.
  const later = now + 3640 * DAY_MS;
  const second = ensureAuthority(files, "a", { now: later, unusable: "refuse" });
  assert.equal(second.outcome, "renewed");
  const renewed = new X509Certificate(readFileSync(files.certificatePath));
  assert.notEqual(
    renewed.serialNumber,
    new X509Certificate(first.authority.certificate).serialNumber,
  );
  assert.ok(leaf.checkIssued(renewed) && leaf.verify(renewed.publicKey));
  // Where all is the maker's own, with a new key.
  const third = ensureAuthority(files, "a", { now: later, unusable: "replace" });
  assert.ok(!leaf.verify(new X509Certificate(third.authority.certificate).publicKey));
});

test("another's authority is not overwritten", (context) => {
  const { folder } = stand(context);
  const files = pairIn(folder, "ca");
  const options = { now: Date.now(), unusable: "refuse" } as const;
  ensureAuthority(files, "a", options);
  ensureAuthority(pairIn(folder, "other"), "b", options);
  cpSync(join(folder, "other.key"), files.keyPath);
  assert.throws(() => ensureAuthority(files, "a", options), /is not the key of/);
});
