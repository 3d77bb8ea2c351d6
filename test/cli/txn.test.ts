import assert from "node:assert/strict";
import test, { describe } from "node:test";
import fc from "fast-check";
import { revision, type TxnRequest, type TxnResult } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { answer, headerText, kv, run } from "./harness.ts";

async function parse(stdin: string): Promise<TxnRequest> {
  const { asked, method } = answer<TxnResult>({ succeeded: true, responses: [] });
  const { code, stderr } = await run(["txn"], { stdin, client: { txn: method } });
  assert.equal(code, 0, stderr);
  return asked[0] as TxnRequest;
}

const on = (key: string, result: string): object => ({ key, rangeEnd: "", result });
const range = {
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
const put = { lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false };

describe("txn", () => {
  test("reads etcdctl's grammar", async () => {
    const input = [
      'mod("a") > "0"',
      'c("b") = "2"',
      'ver("c")<"3"',
      'value("d") != "x y"',
      'lease("e") = "41f2a20457fd851b"',
      "",
      'put a "1 2"',
      "get --prefix a --limit=3",
      "del b --prev-kv",
      "",
      "put 'single \"quoted\"' plain",
      "",
    ].join("\n");
    assert.deepEqual(await parse(input), {
      compare: [
        { ...on("a", "greater"), target: "mod", operand: 0 },
        { ...on("b", "equal"), target: "create", operand: 2 },
        { ...on("c", "less"), target: "version", operand: 3 },
        { ...on("d", "not-equal"), target: "value", operand: Buffer.from("x y") },
        { ...on("e", "equal"), target: "lease", operand: 0x41f2a20457fd851bn },
      ],
      success: [
        { kind: "put", request: { ...put, key: "a", value: Buffer.from("1 2") } },
        { kind: "range", request: { ...range, key: "a", rangeEnd: "b", limit: 3 } },
        { kind: "delete-range", request: { key: "b", rangeEnd: "", prevKv: true } },
      ],
      failure: [
        { kind: "put", request: { ...put, key: 'single "quoted"', value: Buffer.from("plain") } },
      ],
    });
  });

  test("an empty block stays empty", async () => {
    const { compare, success, failure } = await parse("\n\nget a\n");
    assert.deepEqual([compare.length, success.length, failure.length], [0, 0, 1]);
    assert.deepEqual(await parse(""), { compare: [], success: [], failure: [] });
    assert.deepEqual((await parse("\nget a\n\n\n\n")).success.length, 1);
  });

  test("strings take Go's escapes, and bytes stay bytes", async () => {
    const [op] = (
      await parse(String.raw`
put "k\x00\xff" "\a\b\f\n\r\t\v\\\"\101é\u00e9\U0001F512"
`)
    ).success;
    const value = Buffer.concat([
      Buffer.from([7, 8, 12, 10, 13, 9, 11, 92, 34, 65]),
      Buffer.from("éé🔒"),
    ]);
    assert.deepEqual(op, { kind: "put", request: { ...put, key: "k\0\u00ff", value } });
  });

  const mistakes: readonly (readonly [string, string])[] = [
    ["bad\n", 'line 1 is no comparison such as mod("key") > "0"'],
    ['size("a") = "1"\n', 'line 1 compares "size", not create, mod, version, value or lease'],
    ['mod("a") = "one"\n', "line 1 compares with what is no whole number"],
    ['mod("a") = "1"\n\nfetch a\n', 'line 3 starts with "fetch", not get, put or del'],
    ["\nput a\n", "line 2 has too few arguments"],
    ["\nget a b c\n", "line 2 has too many arguments"],
    ['\nput a "b\n', "line 2 has an open quote"],
    ['\nput a "\\q"\n', "line 2 has an unknown escape in a string"],
    ["\nget a --oops\n", "unknown option --oops"],
    ["\nget a\n\nget b\n\nget c\n", "a transaction has three blocks, and this has more"],
  ];
  for (const [stdin, message] of mistakes) {
    test(`refuses ${JSON.stringify(stdin)}`, async () => {
      const { code, stderr } = await run(["txn"], { stdin });
      assert.equal(code, 2);
      assert.equal(stderr.split("\n")[0], `Error: ${message}`);
    });
  }

  const result: TxnResult = {
    succeeded: true,
    responses: [
      { kind: "put", revision: revision(4), response: { prevKv: undefined } },
      {
        kind: "range",
        revision: revision(4),
        response: { kvs: [kv("a", "1")], more: false, count: 1 },
      },
      {
        kind: "delete-range",
        revision: revision(4),
        response: { deleted: 1, prevKvs: [kv("b", "2")] },
      },
      {
        kind: "txn",
        revision: revision(0),
        response: { succeeded: false, responses: [] },
      },
    ],
  };

  test("prints as etcdctl does", async () => {
    const { method } = answer(result);
    const { stdout } = await run(["txn"], { client: { txn: method } });
    assert.equal(stdout, "SUCCESS\n\nOK\n\na\n1\n\n1\nb\n2\n\nFAILURE\n");
  });

  test("prints etcdctl's JSON", async () => {
    const { method } = answer(result);
    const { stdout } = await run(["txn", "-w", "json"], { client: { txn: method } });
    const pair = (key: string, value: string): string =>
      `{"key":"${key}","create_revision":2,"mod_revision":2,"version":1,"value":"${value}"}`;
    const responses = [
      '{"Response":{"ResponsePut":{"header":{"revision":4}}}}',
      `{"Response":{"ResponseRange":{"header":{"revision":4},"kvs":[${pair("YQ==", "MQ==")}],"count":1}}}`,
      `{"Response":{"ResponseDeleteRange":{"header":{"revision":4},"deleted":1,"prev_kvs":[${pair("Yg==", "Mg==")}]}}}`,
      '{"Response":{"ResponseTxn":{"header":{}}}}',
    ].join(",");
    assert.equal(stdout, `{${headerText},"succeeded":true,"responses":[${responses}]}\n`);
  });

  test("any input is read or refused, never a bug", async () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom("", 'mod("a") = "1"', "get a", 'put "a', "del a b c", "put a \\x"),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line), async (lines) => {
        const { method } = answer<TxnResult>({ succeeded: true, responses: [] });
        const outcome = await run(["txn"], { stdin: lines.join("\n"), client: { txn: method } });
        assert.ok(outcome.code === 0 || outcome.code === 2, outcome.stderr);
      }),
      { numRuns: 200 },
    );
  });

  test("a duplicate key is the server's to refuse", async () => {
    const { code, stderr } = await run(["txn"], {
      stdin: "\nput a 1\nput a 2\n",
      client: { txn: () => Promise.reject(new CofferError("duplicate-key")) },
    });
    assert.equal(code, 2);
    assert.match(stderr, /duplicate key given in txn request/);
  });
});
