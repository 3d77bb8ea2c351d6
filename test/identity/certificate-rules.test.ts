import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import {
  type CertificateRule,
  encodeCertificateRule,
  parseCertificateRule,
  type PeerCertificate,
} from "../../src/identity/mod.ts";
import { type Authority, createAuthority, inspectCertificate } from "../../src/pki/mod.ts";
import { encodeName } from "../../src/pki/name.ts";
import { forge } from "../pki/forged.ts";
import { certificateOf, CLIENT } from "./certificate-fixtures.ts";
import { bench, failure, NOW_MS } from "./fixtures.ts";

/** Certificates to principals by operators' rules. */

const DAY = 86_400_000;
const cn = (value: string) => ({ name: "commonName", value });
const org = (value: string) => ({ name: "organizationName", value });
const unit = (value: string) => ({ shortName: "OU", name: "organizationalUnitName", value });

interface Wanted {
  readonly match?: object;
  readonly subject?: object;
  readonly tenants?: readonly string[] | "*";
  readonly groups?: readonly string[];
  readonly groupsFrom?: string;
}

function jsonOf(name: string, wanted: Wanted): Uint8Array {
  const { match = {}, subject = { kind: "cn" }, tenants = ["blue"], groups = [] } = wanted;
  const { groupsFrom } = wanted;
  const rule = { version: 1, name, match, subject, groupsFrom, groups, tenants };
  return new TextEncoder().encode(JSON.stringify(rule));
}

function rule(name: string, wanted: Wanted): CertificateRule {
  return parseCertificateRule(jsonOf(name, wanted));
}

const { identity } = bench();

function judge(certificate: PeerCertificate, ...rules: readonly CertificateRule[]) {
  return identity.judgeCertificate(certificate, rules);
}

/** `rule subject tenants`, or why it is refused. */
function verdict(certificate: PeerCertificate, ...rules: readonly CertificateRule[]): string {
  const { rule: by = "-", principal, refusal } = judge(certificate, ...rules);
  return principal === undefined
    ? `${by}: ${refusal}`
    : `${by}: ${principal.subject} ${String(principal.tenants)}`;
}

/** A certificate with these alternative names, as GeneralName tags and values. */
function withNames(
  names: readonly (readonly [tag: number, value: string])[],
  more: readonly object[] = [],
): PeerCertificate {
  const altNames = names.map(([type, value]) => ({ type, value }));
  return certificateOf({ extensions: [CLIENT, { name: "subjectAltName", altNames }, ...more] });
}

const spiffe = (id: string): PeerCertificate => withNames([[6, id]]);

/** An identity whose rules can be changed. */
function world(...rules: readonly CertificateRule[]) {
  let current = rules;
  const b = bench(undefined, { certificateRules: () => current });
  return {
    set: (...next: readonly CertificateRule[]) => (current = next),
    authenticate: (certificate: PeerCertificate, tenantName?: string) =>
      b.identity.authenticate({ authorization: undefined, certificate, tenantName }),
  };
}

describe("conditions", () => {
  const certificate = certificateOf({
    subject: [cn("ci-7"), org("Acme Ltd"), org("Beta"), unit("build"), unit("dev")],
  });

  test("all must hold, each exactly or by its beginning", () => {
    const met = [
      { cn: "ci-7" },
      { cn: "ci-*" },
      { cn: "*" },
      { o: "Beta" },
      { ou: "de*" },
      { cn: "ci-*", o: "Acme*", ou: "build" },
    ];
    for (const match of met) {
      assert.equal(verdict(certificate, rule("r", { match })), "r: cert:ci-7 blue");
    }
    const missed = [
      { cn: "ci-" },
      { cn: "ci-77*" },
      { cn: "CI-7" },
      { o: "Acme" },
      { uri: "spiffe://acme.org/*" },
      { cn: "ci-*", o: "Gamma" },
    ];
    for (const match of missed) {
      assert.equal(verdict(certificate, rule("r", { match })), "built-in: cert:ci-7 default");
    }
  });

  test("a subject with two common names meets none of them", () => {
    const two = certificateOf({ subject: [cn("admin"), cn("eve")] });
    const rules = [rule("a", { match: { cn: "admin" } }), rule("e", { match: { cn: "*" } })];
    assert.match(verdict(two, ...rules), /^built-in: the common name is missing, or there are/);
  });

  test("separators within a value are part of it", () => {
    const odd = certificateOf({ subject: [cn("x"), org("Other, O=Acme Ltd\nO=Acme Ltd")] });
    const acme = rule("acme", { match: { o: "Acme Ltd" } });
    assert.equal(verdict(odd, acme), "built-in: cert:x default");
  });
});

describe("the narrowest rule decides", () => {
  const certificate = certificateOf({ subject: [cn("ci-7"), org("Acme"), unit("build")] });
  const one = (name: string, match: object) => rule(name, { match, tenants: [name] });

  test("exact before a beginning, longer before shorter, more conditions before fewer", () => {
    const chain = [
      one("a", { cn: "ci-7", o: "Acme" }),
      one("b", { cn: "ci-7" }),
      one("c", { cn: "ci-*" }),
      one("d", { cn: "c*" }),
      rule("default", { tenants: ["e"] }),
    ];
    for (let from = 0; from < chain.length; from++) {
      const { name, tenants } = chain[from] as CertificateRule;
      for (const rules of [chain.slice(from), chain.slice(from).toReversed()]) {
        assert.equal(verdict(certificate, ...rules), `${name}: cert:ci-7 ${String(tenants)}`);
      }
    }
  });

  test("where none is narrower than all others, nobody is named", () => {
    const crossing = [one("z", { cn: "ci-*" }), one("m", { o: "Acme" }), one("w", { cn: "*" })];
    const text = "-: the certificate meets the rules m, z, and none is narrower than the rest";
    assert.equal(verdict(certificate, ...crossing), text);
    assert.equal(verdict(certificate, ...crossing.toReversed()), text);
    const both = one("both", { cn: "ci-*", o: "Acme" });
    assert.equal(verdict(certificate, ...crossing, both), "both: cert:ci-7 both");
  });
});

describe("what a rule makes of a certificate", () => {
  const certificate = certificateOf({
    subject: [cn("ci-7"), org("Acme"), unit("build"), unit("dev")],
  });
  const match = { cn: "ci-*" };

  test("a principal with the certificate's dates", () => {
    const wanted = { match, tenants: ["blue", "green"], groups: ["ci", "dev"], groupsFrom: "ou" };
    assert.deepEqual(judge(certificate, rule("ci", wanted)).principal, {
      subject: "cert:ci-7",
      groups: ["ci", "dev", "build"],
      issuer: "certificate",
      via: "certificate",
      tenant: "blue",
      tenants: ["blue", "green"],
      expires: NOW_MS + DAY,
      tokenId: undefined,
      issuedAt: (NOW_MS - DAY) / 1000,
    });
  });

  test("a subject of the rule's own, and any tenant", () => {
    const fixed = rule("ops", { match, subject: { kind: "fixed", name: "ops" }, tenants: "*" });
    const { principal } = judge(certificate, fixed);
    assert.deepEqual([principal?.subject, principal?.tenant], ["cert:ops", "default"]);
    assert.equal(principal?.tenants, "*");
  });

  test("a rule without tenants refuses", () => {
    const text = 'no: the rule "no" refuses the certificate';
    assert.equal(verdict(certificate, rule("no", { match, tenants: [] })), text);
    const off = rule("default", { tenants: [] });
    assert.match(verdict(certificate, off), /^default: the rule "default" refuses/);
  });

  test("groups of a certificate follow the rules of names", () => {
    for (const name of ["role:admin", "a\nb", " a", "system:masters"]) {
      const bad = certificateOf({ subject: [cn("ci-7"), unit(name)] });
      assert.match(verdict(bad, rule("r", { match, groupsFrom: "ou" })), /a group of the cert/);
    }
    const many = Array.from({ length: 65 }, (_, at) => unit(`g${at}`));
    const crowded = certificateOf({ subject: [cn("ci-7"), ...many] });
    assert.match(verdict(crowded, rule("r", { match, groupsFrom: "ou" })), /too many groups/);
  });

  test("rules count from the next request, for certificates that were seen before too", async () => {
    const w = world();
    assert.equal((await w.authenticate(certificate)).tenant, "default");
    w.set(rule("ci", { match }));
    assert.equal((await w.authenticate(certificate)).tenant, "blue");
    await failure(() => w.authenticate(certificate, "default"), "permission-denied");
    w.set(rule("ci", { match, tenants: [] }));
    await failure(() => w.authenticate(certificate), "invalid-token");
    w.set();
    assert.equal((await w.authenticate(certificate)).tenant, "default");
  });
});

describe("SPIFFE ids", () => {
  const team = rule("team", {
    match: { uri: "spiffe://acme.org/ns/ci/*" },
    subject: { kind: "uri" },
  });

  test("name their holder, by whole segments", () => {
    const id = "spiffe://acme.org/ns/ci/sa/Build_1.x-y";
    assert.equal(verdict(spiffe(id), team), `team: cert:${id} blue`);
    const other = withNames([
      [2, "build.acme.org"],
      [6, id],
      [7, "\u0001\u0002\u0003\u0004"],
    ]);
    assert.equal(verdict(other, team), `team: cert:${id} blue`);
    const exact = rule("one", { match: { uri: id }, subject: { kind: "uri" }, tenants: ["red"] });
    assert.equal(verdict(spiffe(id), team, exact), `one: cert:${id} red`);
    for (const elsewhere of [
      "spiffe://acme.org/ns/cinder/x",
      "spiffe://acme.org/ns/ci",
      "spiffe://acme.org.evil.net/ns/ci/x",
      "spiffe://evil.net/ns/ci/x",
    ]) {
      assert.equal(verdict(spiffe(elsewhere), team), "built-in: cert:node-1 default");
    }
  });

  test("that are not exactly one id in its one spelling are refused", () => {
    const bad = [
      "spiffe://acme.org",
      "spiffe://acme.org/",
      "spiffe://acme.org/ns/ci/",
      "spiffe://acme.org/ns//ci/x",
      "spiffe://acme.org/ns/ci/../../admin",
      "spiffe://acme.org/ns/./ci/x",
      "spiffe://Acme.org/ns/ci/x",
      "SPIFFE://acme.org/ns/ci/x",
      "spiffe:acme.org/ns/ci/x",
      "spiffe:///ns/ci/x",
      "spiffe://user@acme.org/ns/ci/x",
      "spiffe://acme.org:443/ns/ci/x",
      "spiffe://acme.org/ns/ci/x?y=1",
      "spiffe://acme.org/ns/ci/x#y",
      "spiffe://acme.org/ns/ci/%2e%2e",
      "spiffe://acme.org/ns/ci/ x",
      "spiffe://acme.org/ns/ci/x\0",
      "spiffe://acme.org/ns/ci/x\n",
      "spiffe://acme.org/ns/ci/\u00e9",
      `spiffe://${"a".repeat(256)}/ns/ci/x`,
      `spiffe://acme.org/ns/ci/${"x".repeat(2048)}`,
    ];
    for (const id of bad) assert.match(verdict(spiffe(id), team), /^-: the certificate's SPIFFE/);
    const id = "spiffe://acme.org/ns/ci/x";
    for (const second of [id, "https://acme.org/", "spiffe://acme.org/ns/ci/y"]) {
      for (const names of [[id, second] as const, [second, id] as const]) {
        const two = withNames(names.map((name) => [6, name]));
        assert.match(verdict(two, team), /has a SPIFFE id and another URI/);
      }
    }
  });

  test("are not made of other names, however these are spelt (CVE-2021-44532)", () => {
    const id = "spiffe://acme.org/ns/ci/x";
    const injected = [
      [[2, `a.org, URI:${id}`]],
      [[2, id]],
      [[1, id]],
      [[6, `https://a.org/, URI:${id}`]],
      [[6, `https://a.org/\0URI:${id}`]],
      [[6, `https://a.org/", URI:${id}, DNS:"`]],
    ] as const;
    for (const names of injected) {
      assert.equal(verdict(withNames(names), team), "built-in: cert:node-1 default");
    }
    const subject = [cn("x"), org(`Acme, URI:${id}`)];
    assert.equal(verdict(certificateOf({ subject }), team), "built-in: cert:x default");
  });

  test("in a certificate with the names twice, or that may sign, are refused", () => {
    const names = (id: string) => ({ name: "subjectAltName", altNames: [{ type: 6, value: id }] });
    const id = "spiffe://acme.org/ns/ci/x";
    const twice = certificateOf({ extensions: [CLIENT, names(id), names("https://a.org/")] });
    assert.match(verdict(twice, team), /two extensions subjectAltName/);
    for (const usage of ["keyCertSign", "cRLSign"]) {
      const signer = withNames([[6, id]], [{ name: "keyUsage", [usage]: true, critical: true }]);
      assert.match(verdict(signer, team), /a key usage of authorities/);
    }
    const usage = { name: "keyUsage", digitalSignature: true, critical: true };
    assert.equal(verdict(withNames([[6, id]], [usage]), team), `team: cert:${id} blue`);
  });

  test("longer than a subject may be are refused, not cut", () => {
    const id = `spiffe://acme.org/ns/ci/${"x".repeat(300)}`;
    assert.match(verdict(spiffe(id), team), /^team: the SPIFFE id is empty, too long or not/);
  });
});

describe("authorities", () => {
  const acme = createAuthority({ commonName: "Acme" });
  const twin = createAuthority({ commonName: "Acme" });
  const base64 = (authority: Authority): string =>
    authority.certificate.replaceAll(/-----[A-Z ]+-----|\n/g, "");
  const by = (authority: Authority, name: string, organization?: string): PeerCertificate => {
    const subject = encodeName({
      commonName: name,
      ...(organization === undefined ? {} : { organization }),
    });
    const { certificate } = forge(authority, name, {
      subject,
      notBefore: NOW_MS - DAY,
      notAfter: NOW_MS + DAY,
    });
    const raw = Buffer.from(certificate.replaceAll(/-----[A-Z ]+-----|\n/g, ""), "base64");
    return { raw, thumbprint: createHash("sha256").update(raw).digest("base64url") };
  };
  const bound = rule("acme", { match: { authority: base64(acme), cn: "ci-*" } });

  test("count by their signature, not by their name", () => {
    assert.equal(verdict(by(acme, "ci-1"), bound), "acme: cert:ci-1 blue");
    assert.equal(verdict(by(twin, "ci-1"), bound), "built-in: cert:ci-1 default");
    // The name and key id of the authority, but not its key.
    const impostor = { ...twin, keyId: acme.keyId };
    assert.equal(verdict(by(impostor, "ci-1"), bound), "built-in: cert:ci-1 default");
  });

  test("that are renewed with their key are the same", () => {
    const renewed = createAuthority({ commonName: "Acme", privateKey: acme.privateKey });
    assert.notEqual(renewed.certificate, acme.certificate);
    assert.equal(verdict(by(renewed, "ci-1"), bound), "acme: cert:ci-1 blue");
  });

  test("that a rule names never reach the built-in rule", () => {
    const text = "-: the certificate's authority is bound by rules, and it meets none of them";
    assert.equal(verdict(by(acme, "admin", "tenant:system"), bound), text);
    assert.equal(verdict(by(twin, "admin", "tenant:system"), bound), "built-in: cert:admin system");
  });
});

describe("a rule that is refused", () => {
  const cases: readonly (readonly [string, Wanted, RegExp])[] = [
    ["Bad", { match: { cn: "a" } }, /name must be/],
    ["built-in", { match: { cn: "a" } }, /"built-in" is not free/],
    ["all", {}, /has no condition/],
    ["default", { match: { cn: "a" } }, /has a condition/],
    ["r", { match: { cn: "a*b" } }, /match.cn may hold one star only/],
    ["r", { match: { cn: "**" } }, /match.cn may hold one star only/],
    ["r", { match: { o: "" } }, /match.o must be a text/],
    ["r", { match: { ou: 1 } }, /match.ou must be a text/],
    ["r", { match: { CN: "a" } }, /match.CN is not known/],
    ["r", { match: { uri: "spiffe://acme.org*" } }, /match.uri may hold a star as its whole/],
    ["r", { match: { uri: "spiffe://acme.org/ci-*" } }, /match.uri may hold a star as its whole/],
    ["r", { match: { uri: "spiffe://*/ci" } }, /match.uri may hold a star as its whole/],
    ["r", { match: { uri: "spiffe://*" } }, /match.uri has no path/],
    ["r", { match: { uri: "https://acme.org/*" } }, /match.uri does not begin with spiffe:/],
    ["r", { match: { authority: "AAAA" } }, /match.authority is no certificate/],
    ["r", { match: { cn: "a" }, subject: { kind: "uri" } }, /needs a condition on the URI/],
    ["r", { match: { cn: "a" }, subject: { kind: "fixed", name: "role:x" } }, /reserved prefix/],
    ["r", { match: { cn: "a" }, subject: { kind: "fixed", name: "user:x" } }, /reserved prefix/],
    ["r", { match: { cn: "a" }, subject: { kind: "fixed", name: "sa:a/b" } }, /reserved prefix/],
    ["r", { match: { cn: "a" }, subject: { kind: "fixed", name: "" } }, /empty/],
    ["r", { match: { cn: "a" }, groups: ["role:x"] }, /groups .* reserved prefix/],
    ["r", { match: { cn: "a" }, groupsFrom: "cn" }, /groupsFrom must be o or ou/],
    ["r", { match: { cn: "a" }, tenants: ["a", "*"] }, /tenants "\*" is not a tenant name/],
    ["r", { match: { cn: "a" }, tenants: ["a", "a"] }, /tenants must be a list/],
  ];
  for (const [name, wanted, reason] of cases) {
    test(`${name} ${JSON.stringify(wanted)}`, async () => {
      const error = await failure(() => rule(name, wanted), "invalid-argument");
      assert.match(error.message, reason);
    });
  }

  test("one with a leaf's certificate as its authority, or fields of a later version", async () => {
    const acme = createAuthority({ commonName: "Acme" });
    const { certificate } = forge(acme, "leaf");
    assert.equal(inspectCertificate(certificate).isAuthority, false);
    const authority = certificate.replaceAll(/-----[A-Z ]+-----|\n/g, "");
    const leaf = await failure(() => rule("r", { match: { authority } }), "invalid-argument");
    assert.match(leaf.message, /not an authority's certificate/);
    const later = Buffer.from(jsonOf("r", { match: { cn: "a" } }))
      .toString()
      .replace('"version":1', '"version":1,"limit":3');
    const error = await failure(() => parseCertificateRule(Buffer.from(later)), "invalid-argument");
    assert.match(error.message, /limit is not known/);
  });
});

test("a rule comes back from its record as it was", () => {
  const { certificate } = createAuthority({ commonName: "Acme" });
  const authority = certificate.replaceAll(/-----[A-Z ]+-----|\n/g, "");
  const match = { cn: "ci-*", o: "Acme", ou: "x", uri: "spiffe://acme.org/*", authority };
  const wanted = rule("r", { match, subject: { kind: "uri" }, groupsFrom: "o", groups: ["a"] });
  assert.deepEqual(parseCertificateRule(encodeCertificateRule(wanted)), wanted);
  assert.deepEqual(wanted.match, match);
});
