import assert from "node:assert/strict";
import { basename } from "node:path";
import { test } from "node:test";
import { formatScript, parseScript } from "./script/parse.ts";
import { scenariosFolder } from "./source-folder.ts";
import { describeMismatch, listScripts, runScript } from "./script/run.ts";

/** Each text scenario is a test of the name of its file. `UPDATE=1` rewrites what they expect. */
const update = process.env["UPDATE"] === "1";

for (const path of listScripts(scenariosFolder())) {
  test(basename(path, ".txt"), () => {
    const mismatches = runScript(path, { update });
    assert.equal(mismatches.map((one) => describeMismatch(path, one)).join("\n"), "");
  });
}

test("a script keeps its form when rewritten with equal texts", () => {
  const text = "# Why.\n\nadd-nodes 1 voters=(1) a=b\ninput\n----\nok\n\n# The end.\n";
  const script = parseScript(text);
  assert.equal(formatScript(script, ["ok\n"]), text);
  assert.deepEqual(script.cases[0]?.args, [
    { name: "1", values: [] },
    { name: "voters", values: ["1"] },
    { name: "a", values: ["b"] },
  ]);
});

test("an expected text with empty lines stands in a double fence", () => {
  const script = parseScript("status 1\n----\n----\na\n\nb\n----\n----\n");
  assert.equal(script.cases[0]?.expected, "a\n\nb\n");
  const again = parseScript(formatScript(script, ["a\n\nb\n"]));
  assert.equal(again.cases[0]?.expected, "a\n\nb\n");
});
