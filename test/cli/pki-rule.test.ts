import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { exitCode } from "../../src/errors.ts";
import { createAuthority, inspectCertificate, issueCertificate } from "../../src/pki/mod.ts";
import { answer, headerText, reply, run } from "./harness.ts";

const authority = createAuthority({ commonName: "blue" });
const leaf = issueCertificate(authority, { commonName: "ci", usages: ["client"] });
const base64 = (pem: string): string => pem.replaceAll(/-----[A-Z ]+-----|\n/g, "");
const files = { "ca.crt": authority.certificate, "ci.crt": leaf.certificate };

interface Asked {
  readonly record: Uint8Array;
  readonly authority: string;
  readonly replace: boolean;
}

/** What `pki rule add` sends, its record read. */
async function added(...argv: readonly string[]) {
  const { asked, method } = answer({ name: argv[0] ?? "", record: "{}" });
  const client = { certificateRuleAdd: method };
  const { code, stdout, stderr } = await run(["pki", "rule", "add", ...argv], { client, files });
  const [request] = asked as readonly Asked[];
  const record: unknown =
    request === undefined ? undefined : JSON.parse(Buffer.from(request.record).toString());
  return { code, stdout, stderr, request, record };
}

describe("pki rule add", () => {
  test("makes a record of what is given", async () => {
    const names = ["--match-cn", "ci-*", "--match-o", "Acme", "--match-ou", "build"];
    const others = ["--match-uri", "spiffe://acme.org/ci/*", "--authority", "ca.crt"];
    const groups = ["--groups", "ci,dev", "--groups-from", "ou", "--tenants", "blue,green"];
    const argv = ["builds", ...names, ...others, ...groups, "--subject", "cn", "--replace"];
    const { stdout, record, request } = await added(...argv);
    assert.equal(stdout, "rule builds is in force\n");
    assert.deepEqual(record, {
      version: 1,
      name: "builds",
      match: {
        cn: "ci-*",
        o: "Acme",
        ou: "build",
        uri: "spiffe://acme.org/ci/*",
        authority: base64(authority.certificate),
      },
      subject: { kind: "cn" },
      groupsFrom: "ou",
      groups: ["ci", "dev"],
      tenants: ["blue", "green"],
    });
    assert.deepEqual([request?.authority, request?.replace], ["", true]);
  });

  test("takes its subject from the URI where one is a condition, or from TEXT", async () => {
    const uri = ["a", "--match-uri", "spiffe://acme.org/ci/*", "--tenants", "*"];
    const { record, request } = await added(...uri);
    const base = { version: 1, name: "a", match: { uri: "spiffe://acme.org/ci/*" }, groups: [] };
    assert.deepEqual(record, { ...base, subject: { kind: "uri" }, tenants: "*" });
    assert.equal(request?.replace, false);
    const fixed = await added(...uri, "--subject", "ops");
    assert.deepEqual(fixed.record, {
      ...base,
      subject: { kind: "fixed", name: "ops" },
      tenants: "*",
    });
    const off = await added("default", "--refuse");
    const subject = { kind: "cn" };
    const none = { version: 1, name: "default", match: {}, subject, groups: [], tenants: [] };
    assert.deepEqual(off.record, none);
  });

  test("sends a thumbprint in any spelling", async () => {
    const { thumbprint } = inspectCertificate(authority.certificate);
    const hex = Buffer.from(thumbprint, "base64url").toString("hex").toUpperCase();
    for (const text of [thumbprint, hex, hex.replaceAll(/..(?=.)/g, "$&:")]) {
      const { request } = await added("a", "--authority", text, "--tenants", "blue");
      assert.equal(request?.authority, thumbprint);
    }
  });

  test("needs tenants or --refuse, and not both; files that can be read", async () => {
    const bad = [
      [["a"], /either --tenants NAMES or --refuse/],
      [["a", "--tenants", "b", "--refuse"], /either --tenants NAMES or --refuse/],
      [["a", "--tenants", "b", "--authority", "none.crt"], /none.crt: cannot be read/],
      [[], /pki rule add needs more arguments/],
    ] as const;
    for (const [argv, reason] of bad) {
      const { code, stderr } = await added(...argv);
      assert.equal(code, exitCode.usage);
      assert.match(stderr, reason);
    }
  });
});

const record = JSON.stringify({
  version: 1,
  name: "builds",
  match: { cn: "ci-*", authority: base64(authority.certificate) },
  subject: { kind: "cn" },
  groupsFrom: "ou",
  groups: ["ci"],
  tenants: ["blue", "green"],
});

test("pki rule list shows conditions and what they make", async () => {
  const off = JSON.stringify({ match: {}, subject: { kind: "cn" }, groups: [], tenants: [] });
  const { method } = answer([
    { name: "builds", record },
    { name: "default", record: off },
  ]);
  const client = { certificateRuleList: method };
  const { stdout } = await run(["pki", "rule", "list"], { client });
  const cells = stdout.split("\n").map((line) => line.split(/ {2,}|\t+|\s*\|\s*/).filter(Boolean));
  assert.ok(cells.some((row) => row.join("|").includes("builds|cn=ci-* authority=CN=blue|cn")));
  assert.match(stdout, /ci,from ou +\|? *blue,green/);
  assert.match(stdout, /default.*refused/);
  const json = await run(["pki", "rule", "list", "-w", "json"], { client });
  assert.equal(json.stdout, `{${headerText},"rules":[${record},${off}]}\n`);
});

test("pki rule remove", async () => {
  const { asked, method } = answer(undefined);
  const client = { certificateRuleRemove: method };
  const { stdout } = await run(["pki", "rule", "remove", "builds"], { client });
  assert.deepEqual([stdout, asked], ["rule builds is removed\n", ["builds"]]);
});

describe("pki rule test", () => {
  const verdict = {
    rule: "builds",
    refusal: "",
    subject: "cert:ci",
    groups: ["ci"],
    tenants: ["blue"],
    distrust: "",
  };
  const tested = async (more: object, ...flags: readonly string[]) => {
    let asked: Uint8Array | undefined;
    const certificateTest = async (certificate: Uint8Array) => {
      asked = certificate;
      return reply({ ...verdict, ...more });
    };
    const argv = ["pki", "rule", "test", "ci.crt", ...flags];
    const outcome = await run(argv, { client: { certificateTest }, files });
    assert.equal(Buffer.from(asked ?? []).toString("base64"), base64(leaf.certificate));
    return outcome;
  };

  test("tells who it is, and exits with 4 if it is nobody", async () => {
    const good = await tested({});
    assert.equal(good.code, exitCode.ok);
    assert.match(good.stdout, /^rule +builds\nsubject +cert:ci\ngroups +ci\ntenants +blue\ntls /);
    const refused = await tested({ rule: "", refusal: "no\u001b[31m", subject: "", tenants: [] });
    assert.equal(refused.code, exitCode.denied);
    assert.match(refused.stdout, /^rule +-\nrefused +no.*\ntls/);
    assert.equal(refused.stdout.includes("\u001b"), false);
    const foreign = await tested({ distrust: "its authority is not there" });
    assert.equal(foreign.code, exitCode.denied);
    assert.match(foreign.stdout, /tls +may be refused: its authority is not there\n$/);
    const json = await tested({}, "-w", "json");
    assert.equal(json.stdout, `{${headerText},${JSON.stringify(verdict).slice(1)}\n`);
  });
});

test("help of a group within a group, and of its commands", async () => {
  const group = await run(["pki", "rule"]);
  assert.equal(group.code, exitCode.usage);
  assert.match(group.stdout, /pki rule add[^]*pki rule list[^]*pki rule remove[^]*pki rule test/);
  assert.equal(group.stdout.includes("pki inspect"), false);
  const help = await run(["help", "pki", "rule", "add"]);
  assert.match(help.stdout, /Usage: coffer pki rule add NAME/);
  const wrong = await run(["pki", "rule", "ad"]);
  assert.match(wrong.stderr, /pki rule ad.*did you mean "pki rule add"/);
});
