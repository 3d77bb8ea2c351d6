import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { clientOptions, loadClientConfig, parseCommandLine } from "../../src/config/mod.ts";

const noFile = (path: string): string => assert.fail(`read ${path}`);

const load = (
  argv: readonly string[],
  env: { readonly [name: string]: string } = {},
  readFile: (path: string) => string = noFile,
): ReturnType<typeof loadClientConfig> =>
  loadClientConfig(parseCommandLine(clientOptions, argv).values, env, readFile);

describe("client configuration", () => {
  test("defaults", () => {
    const { endpoints, ...rest } = load([]);
    assert.deepEqual(
      endpoints.map((endpoint) => endpoint.url),
      ["https://127.0.0.1:2379"],
    );
    assert.deepEqual(rest, {
      caFile: undefined,
      certFile: undefined,
      keyFile: undefined,
      token: undefined,
      tenant: undefined,
      commandTimeoutMs: 5000,
    });
  });

  test("flags win over the environment", () => {
    const env = {
      COFFER_ENDPOINTS: "a:1,https://b:2",
      COFFER_CACERT: "ca",
      COFFER_CERT: "c",
      COFFER_KEY: "k",
      COFFER_TOKEN: "t.o.k",
      COFFER_TENANT: "blue",
      COFFER_COMMAND_TIMEOUT: "1m",
    };
    const fromEnv = load([], env);
    assert.deepEqual(
      fromEnv.endpoints.map((endpoint) => endpoint.url),
      ["https://a:1", "https://b:2"],
    );
    assert.deepEqual(
      [fromEnv.caFile, fromEnv.certFile, fromEnv.keyFile, fromEnv.token, fromEnv.tenant],
      ["ca", "c", "k", "t.o.k", "blue"],
    );
    assert.equal(fromEnv.commandTimeoutMs, 60_000);
    const argv = ["--endpoints=[::1]:9", "--tenant", "red", "--token-file", "f"];
    const both = load(argv, env, () => "other\n");
    assert.deepEqual([both.endpoints[0]?.host, both.tenant, both.token], ["::1", "red", "other"]);
  });

  test("a token comes from a file too, by flag or by variable", () => {
    assert.equal(load([], { COFFER_TOKEN_FILE: "t" }, () => "abc\n").token, "abc");
  });

  test("a bad token is refused and not shown", () => {
    for (const token of ["se cret", "secret\nsecret", "s".repeat(8193), "gehei\u0301m"]) {
      assert.throws(
        () => load([], { COFFER_TOKEN: token }),
        (error: unknown) => {
          assert.ok(error instanceof Error);
          assert.match(error.message, /COFFER_TOKEN: does not hold a bearer token/);
          assert.ok(!error.message.includes(token));
          return true;
        },
      );
    }
    assert.throws(() => load(["--token-file", "f"], {}, () => ""), /f: does not hold/);
  });

  test("mistakes are refused", () => {
    assert.throws(() => load(["--endpoints", "http://db:2379"]), /in plaintext: use https/);
    assert.throws(() => load(["--cert", "x"]), /go together/);
    assert.throws(
      () => load([], { COFFER_ENDPOINTS: "a/b" }),
      /environment: COFFER_ENDPOINTS: "a\/b"/,
    );
  });
});

describe("the command line", () => {
  test("options and arguments mix, and -- ends options", () => {
    const { values, positional } = parseCommandLine(clientOptions, [
      "a",
      "--tenant=x=y",
      "-",
      "--key",
      "--odd",
      "--",
      "--tenant",
    ]);
    assert.deepEqual(values, { tenant: "x=y", key: "--odd" });
    assert.deepEqual(positional, ["a", "-", "--tenant"]);
  });

  test("short options take their value in each way", () => {
    const write = {
      ...clientOptions,
      out: { ...clientOptions.tenant, name: "write-out", short: "w" },
    };
    for (const argv of [["-w", "json"], ["-wjson"], ["-w=json"], ["--write-out=json"]]) {
      assert.equal(parseCommandLine(write, argv).values.out, "json");
    }
    assert.throws(() => parseCommandLine(write, ["-x"]), /unknown option -x/);
  });
});
