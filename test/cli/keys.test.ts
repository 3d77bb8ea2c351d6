import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { CofferError } from "../../src/errors.ts";
import { leaseId } from "../../src/core/types/mod.ts";
import { answer, headerText, kv, run } from "./harness.ts";

const allBytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

describe("get", () => {
  const range = (kvs: readonly ReturnType<typeof kv>[]) =>
    answer({ kvs, more: false, count: kvs.length });

  test("prints keys and values as etcdctl does", async () => {
    const { method } = range([kv("a", "1"), kv("b", "")]);
    const { code, stdout } = await run(["get", "a", "z"], { client: { range: method } });
    assert.equal(stdout, "a\n1\nb\n\n");
    assert.equal(code, 0);
  });

  test("prints nothing for a key that is not there, and exits 0, as etcdctl", async () => {
    const { method } = range([]);
    const { code, stdout } = await run(["get", "a"], { client: { range: method } });
    assert.deepEqual([code, stdout], [0, ""]);
  });

  test("-w json is etcdctl's", async () => {
    const { method } = answer({
      kvs: [{ ...kv("a", "1"), lease: leaseId(-1n) }, kv("b", "")],
      more: true,
      count: 9,
    });
    const { stdout } = await run(["get", "a", "-w", "json"], {
      client: { range: method },
    });
    const first =
      '{"key":"YQ==","create_revision":2,"mod_revision":2,"version":1,"value":"MQ==","lease":-1}';
    const second = '{"key":"Yg==","create_revision":2,"mod_revision":2,"version":1}';
    assert.equal(stdout, `{${headerText},"kvs":[${first},${second}],"more":true,"count":9}\n`);
  });

  const defaults = {
    rangeEnd: "",
    limit: 0,
    revision: 0,
    sortOrder: "none",
    sortTarget: "key",
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
  const requests: readonly (readonly [string, object])[] = [
    ["a", { key: "a" }],
    ["a z", { key: "a", rangeEnd: "z" }],
    ["--prefix /app/", { key: "/app/", rangeEnd: "/app0" }],
    ["--prefix=true \u00ff", { key: "\u00c3\u00bf", rangeEnd: "\u00c3\u00c0" }],
    ["a --from-key", { key: "a", rangeEnd: "\0" }],
    ["a --rev 7 --limit=3", { key: "a", revision: 7, limit: 3 }],
    ["a --order DESCEND", { key: "a", sortOrder: "descend" }],
    ["a --sort-by MODIFY", { key: "a", sortOrder: "ascend", sortTarget: "mod" }],
    ["a --consistency s --keys-only", { key: "a", serializable: true, keysOnly: true }],
    ["a --consistency=l --count-only", { key: "a", countOnly: true }],
    ["-- --odd", { key: "--odd" }],
  ];
  for (const [line, request] of requests) {
    test(`asks for ${line}`, async () => {
      const { asked, method } = range([]);
      await run(["get", ...line.split(" ")], { client: { range: method } });
      assert.deepEqual(asked, [{ ...defaults, ...request }]);
    });
  }

  test("--prefix '' and --from-key '' are all keys", async () => {
    for (const flag of ["--prefix", "--from-key"]) {
      const { asked, method } = range([]);
      await run(["get", flag, ""], { client: { range: method } });
      assert.deepEqual(asked, [{ ...defaults, key: "\0", rangeEnd: "\0" }]);
    }
  });

  test("--print-value-only, --count-only and --raw", async () => {
    const { method } = range([kv("a", allBytes)]);
    const client = { range: method };
    const value = await run(["get", "a", "--print-value-only"], { client });
    assert.deepEqual(value.stdoutBytes, Buffer.concat([allBytes, Buffer.from("\n")]));
    assert.equal((await run(["get", "a", "--count-only"], { client })).stdout, "1\n");
    assert.deepEqual((await run(["get", "a", "--raw"], { client })).stdoutBytes, allBytes);
  });

  test("--raw tells a missing key from an empty value", async () => {
    const { method } = range([]);
    const { code, stderr } = await run(["get", "a", "--raw"], {
      client: { range: method },
    });
    assert.equal(code, 3);
    assert.match(stderr, /^Error: coffer: not found: there is no such key\n/);
  });

  const mistakes: readonly (readonly [string, RegExp])[] = [
    ["get", /get needs more arguments: coffer get KEY \[RANGE_END\]\nSee: coffer get --help\n$/],
    ["get a b c", /get takes fewer arguments/],
    ["get a --prefix --from-key", /exclude each other/],
    ["get a b --prefix", /RANGE_END goes without --prefix/],
    ["get a --raw --prefix", /--raw writes one value/],
    ["get a --limt 3", /unknown option --limt; did you mean "--limit"\?/],
    ["get a --rev -1", /"-1" is below the least allowed, 0/],
    ["get a -w yaml", /"yaml" is not one of simple, json/],
    ["get a --endpoints http://db:1", /in plaintext/],
  ];
  for (const [line, message] of mistakes) {
    test(`refuses ${line}`, async () => {
      const { code, stderr, stdout } = await run(line.split(" "));
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, message);
      assert.equal(stderr.split("\n").length, 3, "one line of cause, one of what to do");
    });
  }
});

describe("put", () => {
  const put = () => answer({ prevKv: undefined });
  const request = {
    key: "k",
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
  };

  test("stores an argument, as UTF-8", async () => {
    const { asked, method } = put();
    const { stdout } = await run(["put", "k", "é"], { client: { put: method } });
    assert.equal(stdout, "OK\n");
    assert.deepEqual(asked, [{ ...request, value: Buffer.from("é", "utf8") }]);
  });

  for (const argv of [
    ["put", "k"],
    ["put", "k", "-"],
    ["put", "k", "--file", "f"],
  ]) {
    test(`stores bytes as they are: ${argv.join(" ")}`, async () => {
      const { asked, method } = put();
      const session = { stdin: allBytes, files: { f: allBytes }, client: { put: method } };
      await run(argv, session);
      assert.deepEqual(asked, [{ ...request, value: allBytes }]);
    });
  }

  test("takes etcdctl's flags", async () => {
    const { asked, method } = put();
    const flags = ["--lease", "41f2a20457fd851b", "--prev-kv", "--ignore-lease"];
    await run(["put", "k", "v", ...flags], { client: { put: method } });
    assert.deepEqual(asked, [
      {
        ...request,
        value: Buffer.from("v"),
        lease: 0x41f2a20457fd851bn,
        prevKv: true,
        ignoreLease: true,
      },
    ]);
    await run(["put", "k", "--ignore-value"], { client: { put: method } });
    assert.deepEqual(asked[1], { ...request, value: new Uint8Array(0), ignoreValue: true });
  });

  test("prints what was there before, simple and in JSON", async () => {
    const { method } = answer({ prevKv: kv("b", "2", 5) });
    const client = { put: method };
    assert.equal((await run(["put", "b", "3"], { client })).stdout, "OK\nb\n2\n");
    assert.equal(
      (await run(["put", "b", "3", "-w", "json"], { client })).stdout,
      `{${headerText},"prev_kv":{"key":"Yg==","create_revision":2,"mod_revision":5,"version":1,"value":"Mg=="}}\n`,
    );
  });

  test("refuses two values, a bad lease and a file that is not there", async () => {
    for (const argv of [
      ["put", "k", "v", "--file", "f"],
      ["put", "k", "v", "--ignore-value"],
      ["put", "k", "v", "--lease", "xyz"],
      ["put", "k", "--file", "gone"],
    ]) {
      assert.equal((await run(argv)).code, 2);
    }
  });
});

describe("del", () => {
  test("prints how many, and what with --prev-kv", async () => {
    const { asked, method } = answer({ deleted: 1, prevKvs: [kv("b", "3")] });
    const client = { deleteRange: method };
    assert.equal((await run(["del", "b", "--prev-kv"], { client })).stdout, "1\nb\n3\n");
    await run(["del", "--prefix", "x"], { client });
    assert.deepEqual(asked, [
      { key: "b", rangeEnd: "", prevKv: true },
      { key: "x", rangeEnd: "y", prevKv: false },
    ]);
  });

  test("-w json", async () => {
    const { method } = answer({ deleted: 0, prevKvs: [] });
    const { stdout } = await run(["del", "b", "-w", "json"], {
      client: { deleteRange: method },
    });
    assert.equal(stdout, `{${headerText}}\n`);
  });
});

describe("failures", () => {
  const failing = (error: Error): Promise<Awaited<ReturnType<typeof run>>> =>
    run(["get", "a"], { client: { range: () => Promise.reject(error) } });

  const cases: readonly (readonly [CofferError, number])[] = [
    [new CofferError("permission-denied"), 4],
    [new CofferError("invalid-token"), 4],
    [new CofferError("compacted"), 1],
    [new CofferError("no-leader"), 5],
    [new CofferError("deadline-exceeded"), 5],
    [new CofferError("lease-not-found"), 3],
    [new CofferError("conflict"), 6],
    [new CofferError("request-too-large"), 2],
  ];
  for (const [error, exit] of cases) {
    test(`${error.code} exits ${exit} with a cause and a next step`, async () => {
      const { code, stderr, stdout } = await failing(error);
      assert.deepEqual([code, stdout], [exit, ""]);
      const [cause = "", step = "", rest] = stderr.split("\n");
      assert.equal(cause, `Error: ${error.message}`);
      assert.ok(step.length > 10 && rest === "");
    });
  }

  test("what is not there, or there already, points to the list of its kind", async () => {
    const absent = new CofferError("not-found");
    const client = {
      range: () => Promise.reject(absent),
      tenantShow: () => Promise.reject(absent),
      tenantCreate: () => Promise.reject(new CofferError("already-exists")),
      policyChange: () => Promise.reject(absent),
      tokenUnrevoke: () => Promise.reject(absent),
      issuerShow: () => Promise.reject(absent),
    };
    const step = async (words: string): Promise<string | undefined> =>
      (await run(words.split(" "), { client })).stderr.split("\n")[1];
    assert.match((await step("get a")) ?? "", /coffer get --prefix/);
    assert.equal(await step("tenant show x"), "See what there is: coffer tenant list");
    assert.equal(await step("tenant create x"), "See what there is: coffer tenant list");
    assert.equal(
      await step("policy remove user:x a read"),
      "See what there is: coffer policy list",
    );
    assert.equal(await step("token unrevoke ab"), "See what there is: coffer token revocations");
    assert.equal(await step("issuer show x"), "See what there is: coffer issuer list");
  });

  test("who has no right is not sent round in a circle by whoami", async () => {
    const client = { whoAmI: () => Promise.reject(new CofferError("permission-denied")) };
    const { code, stderr } = await run(["token", "whoami"], { client });
    assert.equal(code, 4);
    assert.match(stderr, /\nThe credential is good, and has no right in this tenant/);
  });

  test("a request without an answer points to the leader; a member that cannot start, to its options", async () => {
    const late = await failing(new CofferError("deadline-exceeded"));
    assert.match(late.stderr, /leader: coffer status/);
    const services = { server: () => Promise.reject(new CofferError("storage-failed", "in use")) };
    const files = ["--tls-cert", "c", "--tls-key", "k", "--root-key-file", "r"];
    const server = await run(["server", ...files], { services });
    assert.match(server.stderr, /in use\nSee: coffer server --help\n$/);
  });

  test("what is no CofferError is told without a stack", async () => {
    const { code, stderr } = await failing(new TypeError("x is not a function"));
    assert.equal(code, 1);
    assert.match(stderr, /^Error: x is not a function\nThis is likely a bug in Coffer/);
    assert.doesNotMatch(stderr, / {2}at /);
  });

  test("a reader that has gone, as head, is no failure", async () => {
    const error = Object.assign(new Error("write EPIPE"), { code: "EPIPE" });
    const { code, stderr } = await failing(error);
    assert.deepEqual([code, stderr], [0, ""]);
  });

  test("a reason from a server cannot steer the terminal", async () => {
    const { stderr } = await failing(new CofferError("internal", "\u001b[2J\r\nbye"));
    assert.doesNotMatch(stderr, /[^\P{Cc}\n]/u);
    assert.equal(stderr.split("\n").length, 3);
  });
});
