import assert from "node:assert/strict";
import test, { describe } from "node:test";
import type { DevConfig, ServerConfig } from "../../src/config/mod.ts";
import { exitCode } from "../../src/errors.ts";
import { run } from "./harness.ts";

const verbs = [
  "dev",
  "server",
  "version",
  "get",
  "put",
  "del",
  "txn",
  "watch",
  "lease grant",
  "lease revoke",
  "lease timetolive",
  "lease list",
  "lease keep-alive",
  "compact",
  "history",
  "diff",
  "rollback",
  "tenant create",
  "tenant list",
  "tenant show",
  "tenant delete",
  "policy list",
  "policy add",
  "policy remove",
  "policy import",
  "policy export",
  "policy can-i",
  "policy who-can",
  "policy explain",
  "policy diff",
  "policy try",
  "token issue",
  "token whoami",
  "audit tail",
  "audit search",
  "audit export",
  "audit checkpoints",
  "audit verify",
  "pki init",
  "pki sign",
  "pki inspect",
  "status",
  "member list",
  "member add",
  "member remove",
  "member promote",
  "member update",
  "move-leader",
];

describe("help", () => {
  test("the overview names every command, on stdout, with exit 0", async () => {
    for (const argv of [[], ["--help"], ["-h"], ["help"]]) {
      const { code, stdout, stderr } = await run(argv);
      assert.deepEqual([code, stderr], [0, ""]);
      for (const verb of verbs) assert.match(stdout, new RegExp(`^  ${verb} `, "m"));
    }
  });

  for (const verb of verbs) {
    test(`${verb} --help shows usage and examples, and needs no server`, async () => {
      const { code, stdout } = await run([...verb.split(" "), "--help"]);
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`^coffer ${verb} - .+\n\nUsage: coffer ${verb}`));
      if (verb !== "version") assert.match(stdout, /\nExamples:\n {2}# /);
      assert.equal((await run(["help", ...verb.split(" ")])).stdout, stdout);
    });
  }

  test("a group shows its commands", async () => {
    const { code, stdout } = await run(["lease", "--help"]);
    assert.equal(code, 0);
    assert.match(stdout, /^ {2}lease grant SECONDS /m);
    assert.equal((await run(["lease"])).code, exitCode.usage);
  });

  test("policy add --help says what its arguments may be", async () => {
    const { stdout } = await run(["policy", "add", "--help"]);
    assert.match(
      stdout,
      /\nArguments:\n {2}SUBJECT +user:NAME, .+\n {2}OBJECT .+\n {2}ACTION +read, /,
    );
  });

  test("get --help as a golden", async () => {
    const { stdout } = await run(["get", "--help"]);
    assert.match(stdout, /^ {2}-w, --write-out simple\|json +form of the output \(simple\)$/m);
    assert.match(stdout, /^ {2}--tenant NAME +tenant to work in \[COFFER_TENANT\]$/m);
    assert.match(stdout, /^ {2}--prefix +all keys that start with KEY$/m);
  });

  test("an unknown command names the nearest", async () => {
    const cases: readonly (readonly [readonly string[], string])[] = [
      [["gett", "a"], 'unknown command "gett"; did you mean "get"?'],
      [["lease", "gramt"], 'unknown command "lease gramt"; did you mean "lease grant"?'],
      [["xyzzyxyzzy"], 'unknown command "xyzzyxyzzy"'],
    ];
    for (const [argv, message] of cases) {
      const { code, stdout, stderr } = await run(argv);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.equal(stderr, `Error: ${message}\nSee: coffer --help\n`);
    }
  });
});

describe("services", () => {
  test("server and dev get their options read", async () => {
    const configs: (ServerConfig | DevConfig)[] = [];
    const keep = async (config: ServerConfig | DevConfig): Promise<0> => {
      configs.push(config);
      return 0;
    };
    const services = { server: keep, dev: keep };
    const files = { "c.yaml": "name: m1\nroot-key-file: r\ntls-cert: c\ntls-key: k\n" };
    const env = { COFFER_HEARTBEAT_MS: "50" };
    await run(["server", "--config", "c.yaml"], { services, files, env });
    await run(["dev", "--client-port", "4000", "--reset"], { services });
    const [server, dev] = configs as [ServerConfig, DevConfig];
    assert.deepEqual([server.name, server.heartbeatMs, server.rootKeyFile], ["m1", 50, "r"]);
    assert.deepEqual([dev.clientPort, dev.reset, dev.members], [4000, true, 1]);
  });

  test("a bad option ends before anything runs", async () => {
    const { code, stderr } = await run(["server", "--listen-client-urls", "http://0.0.0.0:1"]);
    assert.equal(code, 2);
    assert.match(stderr, /^Error: .*\nSee: coffer server --help\n$/);
  });

  test("version", async () => {
    for (const word of ["version", "--version", "-v"]) {
      const { code, stdout } = await run([word]);
      assert.deepEqual([code, stdout], [0, "coffer version: 0.0.0-test\nAPI version: 3.6\n"]);
    }
  });

  test("a word of etcdctl, of habit or with a typo leads to the command", async () => {
    for (const [argv, command] of [
      ["user add root", "policy list"],
      ["delete /a", "del"],
      ["endpoint status", "status"],
      ["leese grant 5", "lease"],
      ["lease grnat 5", "lease grant"],
      ["polcy", "policy"],
      ["stauts", "status"],
    ] as const) {
      const { code, stderr } = await run(argv.split(" "));
      assert.equal(code, exitCode.usage);
      assert.match(stderr, new RegExp(`unknown command .*; did you mean "${command}"\\?`));
    }
    const { stderr } = await run(["zzzzzz"]);
    assert.doesNotMatch(stderr, /did you mean/);
  });
});
