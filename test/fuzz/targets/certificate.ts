import { createHash, createPublicKey } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import {
  type CertificateRule,
  encodeCertificateRule,
  parseCertificateRule,
  type PeerCertificate,
} from "../../../src/identity/mod.ts";
import {
  createAuthority,
  createRevocationList,
  issueForRequest,
  readRevocationLists,
} from "../../../src/pki/mod.ts";
import { type DerValue, derValues, type Prng } from "../../../src/stdx/mod.ts";
import { certificateOf, CLIENT } from "../../identity/certificate-fixtures.ts";
import { bench } from "../../identity/fixtures.ts";
import { newKeyPair } from "../../../src/key-pair/mod.ts";
import { pemOf } from "../../../src/pki/pem.ts";
import { requestOf, requestPem } from "../../pki/signing-request.ts";
import { type Json, mutated, mutatedJson, mutatedText, noise, pick, sameBytes } from "../mutate.ts";
import { Finding, type Target, unlessRefused, unlessRefusedLater } from "../target.ts";

const cn = (value: string): { name: string; value: string } => ({ name: "commonName", value });
const org = (value: string): { name: string; value: string } => ({
  name: "organizationName",
  value,
});
const san = (...names: readonly string[]): object => ({
  name: "subjectAltName",
  altNames: names.map((value) => ({ type: 6, value })),
});

const RULES: readonly Json[] = [
  { match: { cn: "ci-*", o: "Acme" }, subject: { kind: "cn" }, groups: ["ci"], groupsFrom: "o" },
  { match: { uri: "spiffe://acme.org/*" }, subject: { kind: "uri" }, groups: [] },
  { match: { ou: "x" }, subject: { kind: "fixed", name: "one" }, groups: [] },
].map((rule, n) => ({ version: 1, name: `r${n}`, tenants: ["blue", "red"], ...rule }));
const WORDS: readonly string[] = [
  '"*"',
  "*",
  '"tenants":"*",',
  '"o":"*",',
  '"name":"default",',
  '"',
];
const TENANTS: ReadonlySet<string> = new Set(["blue", "red", "acme", "default"]);
const SERIAL = "00c0ffee";

/**
 * DER as a client's certificate, a revocation list or a signing request has it, and rules over
 * certificates. (That a certificate is unchanged is for TLS to verify: here nothing may break.)
 */
export function certificateTarget(): Target {
  const rules = RULES.map((rule) => ruleOf(Buffer.from(JSON.stringify(rule))));
  const { identity } = bench(undefined, { certificateRules: () => rules });
  const certificates = [
    certificateOf({ subject: [cn("ci-7"), org("Acme"), org("tenant:acme")] }),
    certificateOf({ subject: [cn("web"), org("tenant:acme"), org("tenant:beta")] }),
    certificateOf({ extensions: [CLIENT, san("spiffe://acme.org/a/b")] }),
    certificateOf({ extensions: [CLIENT, san("https://x", "urn:y"), { name: "keyUsage" }] }),
  ];
  const authority = createAuthority({ commonName: "fuzz" });
  const list = createRevocationList(authority, {
    revoked: [{ serial: SERIAL, revokedAt: 0 }],
    number: 1,
    nextUpdate: 4e12,
  });
  const keys = newKeyPair("p-256");
  const request = requestOf({ keys });
  const keyOfRequest = keys.publicKey.export({ type: "spki", format: "der" });

  const certificate = async (random: Prng): Promise<void> => {
    const bytes = mutated(pick(certificates, random).raw, random);
    const shown: PeerCertificate = {
      raw: bytes,
      thumbprint: createHash("sha256").update(bytes).digest("base64url"),
    };
    const credentials = { authorization: undefined, certificate: shown, tenantName: undefined };
    const who = await unlessRefusedLater(bytes, () => identity.authenticate(credentials));
    if (who === undefined) return;
    if (!/^cert:\P{C}+$/u.test(who.subject)) throw new Finding("an odd subject", bytes);
    const isBound = who.tenants !== "*" && who.tenants.every(isTenant);
    if (!isBound) throw new Finding(`odd tenants: ${String(who.tenants)}`, bytes);
  };

  const revocationList = (random: Prng): void => {
    const der = derOf(list);
    const bytes = mutated(der, random);
    const [read] = unlessRefused(bytes, () => readRevocationLists(pemOf("X509 CRL", bytes))) ?? [];
    if (sameBytes(bytes, der) && read?.has(SERIAL) !== true) {
      throw new Finding("a good list was not read", bytes);
    }
  };

  const signing = (random: Prng): void => {
    const bytes = mutated(derOf(request), random);
    const pem = requestPem(bytes);
    const profile = { commonName: "granted", usages: ["client"] } as const;
    const issued = unlessRefused(bytes, () => issueForRequest(authority, profile, pem));
    if (issued === undefined) return;
    const key = createPublicKey(issued.certificate).export({ type: "spki", format: "der" });
    if (!key.equals(keyOfRequest)) throw new Finding("a key that signed nothing", bytes);
  };

  return {
    name: "certificate",
    attempt: (random) => pick([certificate, revocationList, signing, rule, der], random)(random),
    close: () => identity.close(),
  };
}

/** What O=tenant:NAME may name, too: any name that a tenant may have. */
function isTenant(name: string): boolean {
  return TENANTS.has(name) || /^[a-z0-9][a-z0-9-]{0,62}$/.test(name);
}

function ruleOf(bytes: Uint8Array): CertificateRule {
  return parseCertificateRule(bytes);
}

function rule(random: Prng): void {
  const json = mutatedJson(pick(RULES, random), random);
  const bytes = Buffer.from(random.below(3) === 0 ? mutatedText(json, random, WORDS) : json);
  const parsed = unlessRefused(bytes, () => ruleOf(bytes));
  if (parsed === undefined) return;
  if (!isDeepStrictEqual(ruleOf(encodeCertificateRule(parsed)), parsed)) {
    throw new Finding("another rule when it is written and read again", bytes);
  }
  const isForAll = Object.keys(parsed.match).length === 0;
  if (isForAll !== (parsed.name === "default")) {
    throw new Finding("a rule for all certificates under another name", bytes);
  }
}

/** Values lie one behind the other and are all there is, or the bytes are refused. */
function der(random: Prng): void {
  const bytes = random.below(2) === 0 ? noise(random) : mutated(noise(random, 16), random);
  const values: readonly DerValue[] | undefined = derValues(bytes);
  if (values === undefined) return;
  const total = values.at(-1)?.end ?? 0;
  const held = values.reduce((sum, { content }) => sum + content.length, 0);
  if (total !== bytes.length || held > total - 2 * values.length) {
    throw new Finding("values that overlap, or leave something over", bytes);
  }
}

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
}
