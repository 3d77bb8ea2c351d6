import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import { certificateOf } from "../identity/certificate-fixtures.ts";
import { keysFor, sign } from "../identity/fixtures.ts";
import { answer, headerText, run } from "./harness.ts";

/** Commands about credentials: what they ask of the cluster, and what they tell. */

const { raw, thumbprint } = certificateOf();
const x509 = new X509Certificate(raw);
const files = { "laptop.crt": x509.toString(), "laptop.der": raw };
const NOT_AFTER = Date.parse(x509.validTo);

function revoked(target: object, tenant = "") {
  const times = { created: 1_795_000_000_000, expires: 1_795_003_600_000 };
  return answer({ tenant, revocation: { id: "5f0c", target, by: "user:admin", ...times } });
}

describe("token revoke", () => {
  const subject = { kind: "subject", issuer: "", subject: "user:a", issuedBefore: 0 };
  const cases: readonly (readonly [readonly string[], object, number])[] = [
    [["--jti", "t1"], { kind: "token", issuer: "", tokenId: "t1" }, 0],
    [["--jti", "t1", "--issuer", "i"], { kind: "token", issuer: "i", tokenId: "t1" }, 0],
    [["--subject", "user:a"], subject, 0],
    [
      ["--subject", "user:a", "--issuer", "i", "--issued-before", "2026-11-22T17:00:00.9Z"],
      { ...subject, issuer: "i", issuedBefore: 1_795_366_800 },
      0,
    ],
    [
      ["--issuer", "i", "--issued-before", "1795366800"],
      { kind: "issuer", issuer: "i", issuedBefore: 1_795_366_800 },
      0,
    ],
    [
      ["--issuer", "i", "--issued-before", "now"],
      { kind: "issuer", issuer: "i", issuedBefore: 0 },
      0,
    ],
    [["--certificate", thumbprint], { kind: "certificate", thumbprint }, 0],
    [["--certificate", x509.fingerprint256], { kind: "certificate", thumbprint }, 0],
    [["--certificate", "laptop.crt"], { kind: "certificate", thumbprint }, NOT_AFTER],
    [["--certificate", "laptop.der"], { kind: "certificate", thumbprint }, NOT_AFTER],
  ];
  for (const [argv, target, certificateEnds] of cases) {
    test(argv.join(" "), async () => {
      const { asked, method } = revoked(target);
      const { code, stderr } = await run(["token", "revoke", ...argv], {
        client: { tokenRevoke: method as never },
        files,
      });
      assert.equal(code, 0, stderr);
      assert.deepEqual(asked, [{ target, certificateEnds }]);
    });
  }

  test("says what is revoked, where, and under which id", async () => {
    const target = { kind: "subject", issuer: "", subject: "user:a", issuedBefore: 1_795_366_800 };
    const client = { tokenRevoke: revoked(target, "blue").method as never };
    const argv = ["token", "revoke", "--subject", "user:a"];
    assert.equal(
      (await run(argv, { client })).stdout,
      "revoked in tenant blue: user:a of any issuer, issued until 2026-11-22T17:00:00Z\nid: 5f0c\n",
    );
    assert.equal(
      (await run([...argv, "-w", "json"], { client })).stdout,
      `{${headerText},"tenant":"blue","revocation":{"id":"5f0c","kind":"subject","issuer":"",` +
        '"subject":"user:a","issued_before":1795366800,"by":"user:admin",' +
        '"created":1795000000000,"expires":1795003600000}}\n',
    );
  });

  test("the token at hand, from a file or stdin, is not the one to show oneself with", async () => {
    const token = await sign({ iss: "https://id.example", jti: "found" });
    const target = { kind: "token", issuer: "https://id.example", tokenId: "found" };
    const { asked, method } = revoked(target);
    const configs: unknown[] = [];
    const connect = async (config: unknown): Promise<never> => {
      configs.push(config);
      return { tokenRevoke: method, close: async () => undefined } as never;
    };
    const env = { COFFER_TOKEN: "mine" };
    const session = { connect, env, files: { "bob.token": `${token}\n` }, stdin: `${token}\n` };
    for (const file of ["bob.token", "-"]) {
      const { code, stderr } = await run(["token", "revoke", "--token-file", file], session);
      assert.equal(code, 0, stderr);
    }
    assert.deepEqual(asked, [
      { target, certificateEnds: 0 },
      { target, certificateEnds: 0 },
    ]);
    assert.deepEqual(
      configs.map((config) => (config as { readonly token: string }).token),
      ["mine", "mine"],
    );
  });

  const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /name what to revoke: --jti ID/],
    [["--issuer", "i"], /name what to revoke/],
    [["--issued-before", "now"], /name what to revoke/],
    [["--jti", "a", "--subject", "user:a"], /name one of/],
    [["--jti", "a", "--issued-before", "now"], /--issued-before goes with/],
    [["--certificate", thumbprint, "--issuer", "i"], /--issuer goes with/],
    [["--subject", "user:a", "--issued-before", "yesterday"], /is not a time: now, 2026/],
    [["--certificate", "none.crt"], /none.crt: cannot be read/],
    [["--certificate", "words"], /words: holds no certificate/],
    [["--token-file", "words"], /words: does not hold a token/],
    [["--token-file", "no-jti"], /no-jti: the token has no jti, so it is revoked by --subject/],
  ];
  for (const [argv, message] of mistakes) {
    test(`refused: ${argv.join(" ")}`, async () => {
      const noJti = await sign({ jti: undefined });
      const { code, stderr } = await run(["token", "revoke", ...argv], {
        files: { words: "secret words", "no-jti": noJti },
      });
      assert.equal(code, 2);
      assert.match(stderr, message);
      assert.ok(!stderr.includes(noJti) && !stderr.includes("secret"), "a token is in the message");
    });
  }
});

test("token revocations and unrevoke", async () => {
  const target = { kind: "certificate", thumbprint };
  const { method } = revoked(target, "");
  const one = (await method()).body.revocation;
  const list = answer({ tenant: "", revocations: [one] });
  const client = { tokenRevocations: list.method as never, tokenUnrevoke: method as never };
  assert.equal(
    (await run(["token", "revocations"], { client })).stdout,
    [
      "ID    CREATED               BY          FORGOTTEN             REVOKED",
      `5f0c  2026-11-18T11:06:40Z  user:admin  2026-11-18T12:06:40Z  certificate ${thumbprint}`,
      "",
    ].join("\n"),
  );
  const { stdout } = await run(["token", "unrevoke", "5f0c"], { client });
  assert.equal(stdout, `good again in all tenants: certificate ${thumbprint}\n`);
  assert.match((await run(["token", "unrevoke"])).stderr, /coffer token unrevoke ID/);
});

test("token issue binds to a certificate, and rotate-key asks before it ends all tokens", async () => {
  const issued = answer({ token: "a.b.c", tokenId: "j1", expires: 1_795_000_000_000 });
  const order = ["token", "issue", "--subject", "sa:ci/build", "--bind-certificate", "laptop.crt"];
  const { stdout } = await run([...order, "-w", "json"], {
    client: { tokenIssue: issued.method as never },
    files,
  });
  assert.match(stdout, /"token_id":"j1"/);
  assert.equal((issued.asked[0] as { readonly certificate: string }).certificate, thumbprint);
  assert.equal((issued.asked[0] as { readonly ttlSeconds: number }).ttlSeconds, 3600);
  const rotated = answer({ keyId: "k2" });
  const client = { tokenRotateKey: rotated.method as never };
  const rotate = ["token", "rotate-key"];
  assert.equal((await run(rotate, { client })).stdout, "tokens are signed with key k2\n");
  const asking = await run([...rotate, "--drop-former"], { client });
  assert.match(asking.stderr, /ends every token .* repeat with --yes/);
  await run([...rotate, "--drop-former", "--yes"], { client });
  assert.deepEqual(rotated.asked, [{ dropFormer: false }, { dropFormer: true }]);
});

describe("issuer", () => {
  const issuer = "https://id.example";
  const row = { issuer, record: '{"version":1}', isBuiltin: false, keys: 2, failure: "" };
  const jwks = { keys: [keysFor("ES256").jwk] };
  const base = ["--audience", "coffer", "--algorithms", "ES256,RS256", "--tenants", "blue,green"];
  const record = {
    version: 1,
    issuer,
    keys: { kind: "discovery" },
    audience: ["coffer"],
    algorithms: ["ES256", "RS256"],
    maxAgeSeconds: 3600,
    tenants: { kind: "fixed", tenants: ["blue", "green"] },
    subject: { kind: "prefix", claim: "sub", prefix: "user:" },
    boundClaims: {},
  };

  async function added(argv: readonly string[]): Promise<unknown> {
    const { asked, method } = answer(row);
    const { code, stderr } = await run(["issuer", "add", ...argv], {
      client: { issuerAdd: method as never },
      files: { ...files, "jwks.json": JSON.stringify(jwks), "record.json": '{"whole":1}' },
    });
    assert.equal(code, 0, stderr);
    const [request] = asked as { readonly record: Uint8Array; readonly replace: boolean }[];
    const text = Buffer.from(request?.record ?? []).toString();
    return { ...(JSON.parse(text) as object), replace: request?.replace };
  }

  test("add with discovery, a URL, keys or a whole record", async () => {
    assert.deepEqual(await added([issuer, "--discovery", ...base]), { ...record, replace: false });
    const url = ["--jwks-url", "https://id.example/keys", "--ca", "laptop.crt", "--replace"];
    assert.deepEqual(await added([issuer, ...url, ...base]), {
      ...record,
      keys: { kind: "url", url: "https://id.example/keys", ca: files["laptop.crt"] },
      replace: true,
    });
    assert.deepEqual(await added([issuer, "--jwks-file", "jwks.json", ...base]), {
      ...record,
      keys: { kind: "inline", keys: jwks.keys },
      replace: false,
    });
    const whole = await added(["--file", "record.json", "--replace"]);
    assert.deepEqual(whole, { whole: 1, replace: true });
  });

  test("add with everything that a record can say", async () => {
    const keys = ["--discovery", "--audience", "coffer", "--algorithms", "ES256"];
    const names = ["--tenants-claim", "teams", "--groups-claim", "groups"];
    const subject = ["--subject-claim", "email", "--subject-prefix", "sa:"];
    const times = ["--max-age", "90m", "--clock-tolerance", "5s"];
    const bound = ["a=x, y", "b:=true", "c:=7", "https://x/y=z"].flatMap((claim) => {
      return ["--bound-claim", claim];
    });
    const glob = ["--bound-glob", "ref=refs/*"];
    const argv = [issuer, ...keys, ...names, ...subject, ...times, ...bound, ...glob];
    assert.deepEqual(await added(argv), {
      ...record,
      algorithms: ["ES256"],
      tenants: { kind: "claim", claim: "teams" },
      subject: { kind: "prefix", claim: "email", prefix: "sa:" },
      groupsClaim: "groups",
      maxAgeSeconds: 5400,
      clockToleranceSeconds: 5,
      boundClaims: { a: "x, y", b: true, c: 7, ref: { glob: "refs/*" }, "https://x/y": "z" },
      replace: false,
    });
    const kubernetes = ["--kubernetes-account", "app/web/u-1,app/job/u-2"];
    const bare = await added([issuer, "--discovery", ...base, ...kubernetes]);
    const accounts = [
      { namespace: "app", name: "web", uid: "u-1" },
      { namespace: "app", name: "job", uid: "u-2" },
    ];
    assert.deepEqual((bare as { readonly subject: unknown }).subject, {
      kind: "kubernetes",
      accounts,
    });
  });

  const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
    [["--discovery", ...base], /needs the issuer, as its tokens spell it/],
    [[issuer, ...base], /one of --discovery, --jwks-url and --jwks-file/],
    [[issuer, "--discovery", "--jwks-url", "https://x", ...base], /one of --discovery/],
    [[issuer, "--discovery", "--algorithms", "ES256", "--tenants", "a"], /needs --audience/],
    [[issuer, "--discovery", "--audience", "a", "--tenants", "a"], /needs --algorithms/],
    [[issuer, "--discovery", ...base, "--tenants-claim", "t"], /either --tenants or/],
    [[issuer, "--discovery", ...base, "--bound-claim", "x"], /takes NAME=VALUE/],
    [[issuer, "--discovery", ...base, "--bound-claim", "x:=seven"], /true, false or a number/],
    [
      [issuer, "--discovery", ...base, "--bound-claim", "x=1", "--bound-glob", "x=*"],
      /bound twice/,
    ],
    [[issuer, "--discovery", ...base, "--kubernetes-account", "app/web"], /NAMESPACE\/NAME\/UID/],
    [[issuer, "--jwks-file", "none.json", ...base], /none.json: cannot be read/],
    [[issuer, "--jwks-file", "laptop.crt", ...base], /laptop.crt: is not a JWK set/],
    [[issuer, "--file", "laptop.crt"], /--file holds the whole record/],
  ];
  for (const [argv, message] of mistakes) {
    test(`add refused: ${argv.join(" ")}`, async () => {
      const { code, stderr } = await run(["issuer", "add", ...argv], { files });
      assert.equal(code, 2);
      assert.match(stderr, message);
    });
  }

  test("list, show and remove", async () => {
    const failing = { ...row, keys: 0, failure: "down\n" };
    const list = answer([{ ...row, issuer: "coffer", isBuiltin: true }, failing]);
    const client = {
      issuerList: list.method as never,
      issuerShow: answer(row).method as never,
      issuerRemove: answer(undefined).method as never,
    };
    assert.equal(
      (await run(["issuer", "list"], { client })).stdout,
      [
        "ISSUER              ORIGIN    KEYS  FAILURE",
        "coffer              built in  2     -",
        "https://id.example  added     0     down\\x0a",
        "",
      ].join("\n"),
    );
    const shown = await run(["issuer", "show", issuer], { client });
    assert.equal(shown.stdout, '{\n  "version": 1\n}\n');
    const removed = await run(["issuer", "remove", issuer], { client });
    assert.equal(removed.stdout, "tokens of https://id.example are refused\n");
  });
});
