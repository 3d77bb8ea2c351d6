import assert from "node:assert/strict";
import test, { describe, mock } from "node:test";
import type { CertificateFacts, PkiOrder, PkiOutcome } from "../../src/cli/commands/pki.ts";
import type { SignOrder } from "../../src/cli/commands/pki-sign.ts";
import { exitCode } from "../../src/errors.ts";
import { refusingServices, run } from "./harness.ts";

const outcome: PkiOutcome = {
  folder: "certs",
  members: ["m1"],
  nats: ["n1"],
  files: [
    { path: "ca.crt", outcome: "kept" },
    { path: "m1/server.crt", outcome: "renewed" },
    { path: "n1/nats.conf", outcome: "edited" },
  ],
};

const facts: CertificateFacts = {
  subject: "CN=m1",
  issuer: "CN=coffer\u001b[31m",
  serial: "7F",
  notBefore: 0,
  notAfter: 86_400_000,
  isAuthority: false,
  usages: ["server"],
  dns: ["m1", "localhost"],
  ips: ["127.0.0.1"],
  uris: [],
  thumbprint: "abc",
};

async function init(
  argv: readonly string[],
): Promise<{ readonly order: PkiOrder | undefined; readonly stdout: string; stderr: string }> {
  let order: PkiOrder | undefined;
  const pki = {
    ...refusingServices.pki,
    init: async (given: PkiOrder): Promise<PkiOutcome> => {
      order = given;
      return outcome;
    },
  };
  const { stdout, stderr } = await run(["pki", "init", ...argv], { services: { pki } });
  return { order, stdout, stderr };
}

describe("pki init", () => {
  test("leaves out what is not given, so that the last time's counts", async () => {
    const { order } = await init([]);
    assert.deepEqual(order, {
      folder: "certs",
      members: undefined,
      nats: undefined,
      hosts: undefined,
      clusterToken: undefined,
      force: false,
    });
  });

  test("takes names and their hosts", async () => {
    const hosts = "a=10.0.0.5,a=a.example.com,x=10.0.0.9";
    const flags = ["--out", "o", "--members", "a,b", "--nats", "x", "--hosts", hosts, "--force"];
    const { order } = await init([...flags, "--cluster-token", "t"]);
    assert.deepEqual(order, {
      folder: "o",
      members: ["a", "b"],
      nats: ["x"],
      hosts: { a: ["10.0.0.5", "a.example.com"], x: ["10.0.0.9"] },
      clusterToken: "t",
      force: true,
    });
  });

  test("tells what it did, and what to keep safe", async () => {
    const { stdout } = await init([]);
    assert.match(stdout, /^renewed {2}certs\/m1\/server\.crt\nedited {3}certs\/n1\/nats\.conf\n/);
    assert.match(stdout, /^kept {5}1 more as they are\nedited files were left alone; --force/m);
    assert.match(stdout, /^Back up certs\/root\.key/m);
    const { files } = JSON.parse((await init(["-w", "json"])).stdout) as PkiOutcome;
    assert.deepEqual(files, outcome.files);
  });

  test("refuses what it cannot read, with the form wanted", async () => {
    for (const hosts of ["x", "=10.0.0.1", "x=", "x=a=b"]) {
      const { order, stderr } = await init(["--hosts", hosts]);
      assert.equal(order, undefined);
      assert.match(stderr, /--hosts takes NAME=HOST, as m1=10\.0\.0\.5/);
    }
    assert.match((await init(["certs"])).stderr, /takes options only/);
  });
});

describe("pki inspect", () => {
  const pki = {
    ...refusingServices.pki,
    inspect: async (pem: string): Promise<readonly CertificateFacts[]> => {
      assert.equal(pem, "PEM");
      return [facts, { ...facts, isAuthority: true, notAfter: 4e12 }];
    },
  };
  const files = { "a.crt": "PEM" };

  test("shows each certificate of a file, and lets none of them steer the terminal", async () => {
    const { code, stdout } = await run(["pki", "inspect", "a.crt"], { services: { pki }, files });
    assert.equal(code, exitCode.ok);
    assert.match(stdout, /^names {5}m1, localhost, 127\.0\.0\.1$/m);
    assert.match(stdout, /^valid {5}1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z \(EXPIRED\)$/m);
    assert.match(stdout, /^valid {5}1970-01-01T00:00:00Z to 2096-10-02T07:06:40Z$/m);
    assert.deepEqual(
      [...stdout.matchAll(/^usages +(.*)$/gm)].map((match) => match[1]),
      ["server", "authority"],
    );
    assert.ok(!stdout.includes("\u001b"));
    const argv = ["pki", "inspect", "a.crt", "-w", "json"];
    const parsed = JSON.parse((await run(argv, { services: { pki }, files })).stdout) as unknown[];
    assert.deepEqual(parsed[0], facts);
  });

  test("a file that is not there, or none named, is a mistake in usage", async () => {
    const missing = await run(["pki", "inspect", "b.crt"], { services: { pki }, files });
    assert.equal(missing.code, exitCode.usage);
    assert.match(missing.stderr, /b\.crt: cannot be read/);
    assert.equal((await run(["pki", "inspect"], { services: { pki } })).code, exitCode.usage);
  });
});

describe("pki sign", () => {
  const files = { "web.csr": "REQUEST", "certs/ca.crt": "CA" };

  async function sign(
    argv: readonly string[],
    stdin = "",
  ): Promise<{
    readonly order: SignOrder | undefined;
    code: number;
    stdout: string;
    stderr: string;
  }> {
    let order: SignOrder | undefined;
    const pki = {
      ...refusingServices.pki,
      sign: async (given: SignOrder) => {
        order = given;
        return { certificate: "PEM\n", notAfter: 86_400_000 };
      },
    };
    const argvWhole = ["pki", "sign", ...argv];
    return { ...(await run(argvWhole, { services: { pki }, files, stdin })), order };
  }

  test("a client's certificate for a year, by the authority of pki init, and nothing but it on stdout", async () => {
    const { order, stdout, stderr } = await sign(["web.csr", "--cn", "web"]);
    assert.deepEqual(order, {
      authority: { certificatePath: "certs/ca.crt", keyPath: "certs/ca.key" },
      profile: { commonName: "web", organization: [], usages: ["client"], dns: [], ips: [] },
      request: "REQUEST",
    });
    assert.deepEqual([stdout, stderr], ["PEM\n", ""]);
    const { stdout: json } = await sign(["web.csr", "--cn", "web", "-w", "json"]);
    assert.deepEqual(JSON.parse(json), { certificate: "PEM\n", notAfter: 86_400_000 });
  });

  test("all that it may be told, with the request on stdin", async (context) => {
    mock.timers.enable({ apis: ["Date"], now: 1000 });
    context.after(() => mock.timers.reset());
    const who = ["--cn", "m1", "--tenants", "a,b,a", "--usages", "client,server"];
    const names = ["--dns", "m1,m1.example.com", "--ips", "10.0.0.1", "--ttl", "90d"];
    const { order } = await sign(["-", ...who, ...names, "--authority", "x.y/ours"], "STDIN");
    assert.deepEqual(order, {
      authority: { certificatePath: "x.y/ours", keyPath: "x.y/ours.key" },
      profile: {
        commonName: "m1",
        organization: ["tenant:a", "tenant:b"],
        usages: ["client", "server"],
        dns: ["m1", "m1.example.com"],
        ips: ["10.0.0.1"],
        notAfter: 1000 + 90 * 86_400_000,
      },
      request: "STDIN",
    });
    const keys = ["--authority", "ca.pem", "--authority-key", "k.pem"];
    const { order: other } = await sign(["web.csr", "--cn", "web", ...keys]);
    assert.deepEqual(other?.authority, { certificatePath: "ca.pem", keyPath: "k.pem" });
  });

  test("without the authority of pki init it says how to name another", async () => {
    const session = { services: { pki: refusingServices.pki }, files: { "web.csr": "REQUEST" } };
    const { code, stderr } = await run(["pki", "sign", "web.csr", "--cn", "web"], session);
    assert.equal(code, exitCode.usage);
    assert.match(stderr, /no certs\/ca\.crt: say by --authority/);
  });

  test("a mistake in usage signs nothing, and says what is missing", async () => {
    for (const [argv, expected] of [
      [["web.csr"], /needs --cn/],
      [["--cn", "web"], /takes one REQUEST/],
      [["web.csr", "b.csr", "--cn", "web"], /takes one REQUEST/],
      [["missing.csr", "--cn", "web"], /missing\.csr: cannot be read/],
      [["web.csr", "--cn", "web", "--usages", "all"], /--usages/],
      [["web.csr", "--cn", "web", "--tenants", "tenant:a"], /"tenant:a" is no tenant's name/],
    ] as const) {
      const { order, code, stdout, stderr } = await sign(argv);
      assert.deepEqual([order, code, stdout], [undefined, exitCode.usage, ""]);
      assert.match(stderr, expected);
    }
  });
});
