import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import {
  type PolicyRow,
  SEED_ROLES,
  findPolicyFolder,
  formatPolicyCsv,
  idOfRow,
  keyIn,
  loadPolicyFiles,
  parsePolicyCsv,
  planPolicyChange,
  rangeRel,
  recordOf,
  rowOf,
  rowsAfter,
} from "../../src/access/mod.ts";
import { CofferError } from "../../src/errors.ts";

const field = fc.oneof(
  fc.string({
    unit: fc.constantFrom("a", ",", '"', "\n", "\r", "#", " ", "\t", "\ufeff", "\u00a0"),
  }),
  fc.string({ unit: "binary" }),
);

describe("policy text", () => {
  test("any rows come back exactly", () => {
    const rows = fc.array(fc.array(field, { minLength: 1, maxLength: 6 }));
    fc.assert(
      fc.property(rows, (before) => {
        assert.deepEqual(parsePolicyCsv(formatPolicyCsv(before)), before);
      }),
      { numRuns: 2000 },
    );
  });

  test("comments, blank lines, blanks around fields, quotes and both line ends", () => {
    const text =
      "\ufeff# who\r\n\r\n  # indented\np , user:a,\t/a#b , read,allow\r\n" +
      'p, "user:x, y", "/say ""hi""", read, allow # not a comment\n\ng, user:a, "role:\n#b"';
    assert.deepEqual(parsePolicyCsv(text), [
      ["p", "user:a", "/a#b", "read", "allow"],
      ["p", "user:x, y", '/say "hi"', "read", "allow # not a comment"],
      ["g", "user:a", "role:\n#b"],
    ]);
    assert.deepEqual(parsePolicyCsv(""), []);
    assert.deepEqual(parsePolicyCsv("# nothing"), []);
    assert.deepEqual(parsePolicyCsv("a,,b,\n"), [["a", "", "b", ""]]);
    assert.equal(formatPolicyCsv([["p", "user:a", "/a/*"]]), "p, user:a, /a/*\n");
  });

  test("faults name their line", () => {
    const faults: readonly [string, RegExp][] = [
      ['p, a\np, "b', /line 2 opens a quote/],
      ['p, a\n\np, "b" c', /line 3 has text between/],
      ['p, a"b', /line 1 has a quote inside/],
    ];
    for (const [text, message] of faults) {
      assert.throws(() => parsePolicyCsv(text), { code: "invalid-argument", message });
    }
    assert.throws(() => formatPolicyCsv([[]]), { code: "invalid-argument" });
  });
});

describe("records", () => {
  const rows: readonly PolicyRow[] = [
    ["p", "user:a, b", '/say "hi"\n*', "read", "allow"],
    ["g", "user:\u00e9", "role:r"],
  ];

  test("a row and its record are one to one", () => {
    for (const row of rows) {
      const change = recordOf(row);
      assert.ok(change.data !== undefined);
      assert.deepEqual(rowOf({ id: change.id, data: change.data }), row);
      assert.equal(recordOf(row, "remove").id, change.id);
      assert.equal(recordOf(row, "remove").data, undefined);
    }
    assert.notEqual(idOfRow(["g", "a", "b,c"]), idOfRow(["g", "a,b", "c"]));
  });

  test("a record of another form or with a row that is not valid is named", () => {
    const good = recordOf(rows[1] as PolicyRow);
    const data = good.data as Uint8Array;
    const bad = [
      { id: good.id, data: Uint8Array.of(2) },
      { id: good.id, data: new Uint8Array() },
      { id: "[", data },
      { id: '["p"]', data },
      { id: '"p"', data },
      { id: '["p","user:a","*","*","Deny"]', data },
    ];
    for (const record of bad) {
      assert.throws(() => rowOf(record), { code: "record-invalid" }, record.id);
    }
  });

  test("a change of policy is planned whole or refused", () => {
    const current: readonly PolicyRow[] = [
      ["g", "role:1", "role:2"],
      ["p", "role:2", "/a", "read", "allow"],
    ];
    const added: PolicyRow = ["g", "user:a", "role:1"];
    const removed = current[1] as PolicyRow;
    assert.deepEqual(planPolicyChange(current, { add: [added], remove: [removed] }), [
      { table: "policy", id: idOfRow(removed), data: undefined, expect: "present" },
      { table: "policy", id: idOfRow(added), data: Uint8Array.of(1), expect: "any" },
    ]);
    assert.deepEqual(planPolicyChange(current, { add: [removed], remove: [] }), []);
    assert.throws(() => planPolicyChange(current, { add: [], remove: [added] }), {
      code: "not-found",
      message: /row 1/,
    });
    const badRow: PolicyRow = ["p", "role:2", "/a", "read", "no"];
    assert.throws(() => planPolicyChange(current, { add: [added, badRow], remove: [] }), /row 2/);
    const circle: PolicyRow = ["g", "role:2", "role:1"];
    assert.throws(() => planPolicyChange(current, { add: [circle], remove: [] }), /row 1 begins/);
    planPolicyChange(current, { add: [circle], remove: [current[0] as PolicyRow] });
    const before = [added, removed];
    assert.deepEqual(rowsAfter(before, { add: [circle, added], remove: [removed] }), [
      added,
      circle,
    ]);
    assert.deepEqual(before, [added, removed]);
  });
});

describe("policy files", () => {
  test("a missing, broken or foreign file is named", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "coffer-access-"));
    t.after(() => rmSync(folder, { recursive: true }));
    assert.throws(() => loadPolicyFiles(folder), { code: "not-found", message: /model\.conf/ });
    writeFileSync(join(folder, "model.conf"), "");
    assert.throws(() => loadPolicyFiles(folder), { code: "not-found", message: /reader\.csv/ });
    for (const role of SEED_ROLES) {
      writeFileSync(join(folder, `${role}.csv`), `p, role:${role}, *, read, allow\n`);
    }
    assert.equal(
      loadPolicyFiles(folder).seedRows({ owner: "user:a" }).length,
      SEED_ROLES.length + 1,
    );
    const broken: readonly [string, RegExp][] = [
      ["p, role:owner, *, *, Allow\n", /owner\.csv: .*row 1 effect/],
      ["p, role:reader, *, write, allow\n", /owner\.csv: .*not about role:owner/],
      ['p, "role', /owner\.csv: .*line 1/],
    ];
    for (const [text, message] of broken) {
      writeFileSync(join(folder, "owner.csv"), text);
      assert.throws(() => loadPolicyFiles(folder), { code: "invalid-argument", message });
    }
  });

  test("the policies folder is found upward, or said not to be", () => {
    assert.match(findPolicyFolder(import.meta.url), /policies$/);
    assert.throws(() => findPolicyFolder(pathToFileURL("/no/such/module.js").href), CofferError);
  });
});

test("keyIn and rangeRel mean what prefixes and keys mean", () => {
  const name = fc.string({ unit: fc.constantFrom("a", "b", "\xff", "\0"), maxLength: 3 });
  const run = fc.property(name, name, name, fc.boolean(), (k, lo, stem, star) => {
    const object = star ? `${stem}*` : stem;
    const named = star ? k.startsWith(stem) : k === stem;
    assert.equal(keyIn(k, object), named);
    assert.equal(rangeRel(k, `${k}\0`, object, "allow"), named);
    assert.equal(rangeRel(k, `${k}\0`, object, "deny"), named);
    if (lo <= k && named) assert.equal(rangeRel(lo, "", object, "deny"), true);
    if (lo <= k && !named) assert.equal(rangeRel(lo, "", object, "allow"), false);
    if (lo <= k && !named) assert.equal(rangeRel(lo, `${k}\0`, object, "allow"), false);
  });
  fc.assert(run, { numRuns: 5000 });
});
