import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { describe } from "node:test";
import { checkImports, checkTable, isPure, parseRooms, roomOf } from "./tidy/rooms.ts";
import { checkSecrets, checkSource, checkTest, deadExports } from "./tidy/rules.ts";
import { REQUIRED, tableNumbers, testedRefusals, withTestedColumn } from "./tidy/refusals.ts";
import { readSource, repositoryRoot, trackedFiles, typescriptFiles } from "./tidy/sources.ts";

/** The rules of the house that a machine can check. What each protects is in ARCHITECTURE.md. */

const rooms = parseRooms(readSource("ARCHITECTURE.md").text);
const sources = typescriptFiles("src");
const tests = typescriptFiles("test");

const none = (findings: readonly string[]): void => {
  assert.equal(findings.join("\n"), "");
};

describe("the house", () => {
  test("the table of rooms only points down", () => {
    assert.ok(rooms.length > 20, "The table of rooms was not found in ARCHITECTURE.md");
    none(checkTable(rooms));
  });

  test("every import is one that the table allows", () => {
    none(checkImports(rooms, sources));
  });

  test("every room has tests", () => {
    const here = new Set(sources.map((file) => roomOf(rooms, file.path)?.name ?? file.path));
    // Declarations without behaviour are tested through what uses them, and wiring in test/e2e.
    for (const name of ["core/types", "errors.ts", "dev", "main.ts", "server"]) here.delete(name);
    const untested = [...here].filter((name) => {
      const [first = name, last = first] = name.split("/");
      const folder = first === "core" ? last : first;
      return !tests.some((file) => file.path.startsWith(`test/${folder}/`));
    });
    none(untested.map((name) => `src/${name}: no folder of test has tests of it`));
  });

  test("every file of src keeps the rules", () => {
    none(
      sources.flatMap((file) => checkSource(file, isPure(roomOf(rooms, file.path)?.name ?? ""))),
    );
  });

  test("every file of test keeps the rules", () => {
    none(tests.flatMap(checkTest));
  });

  test("nothing is exported that nobody uses", () => {
    none(deadExports(sources, tests));
  });

  test("git holds no private key", () => {
    const text = trackedFiles().filter((path) => !/\.(?:png|ico|woff2|db)$/.test(path));
    none(text.map(readSource).flatMap(checkSecrets));
  });

  test("every dependency has its row in ARCHITECTURE.md", () => {
    const manifest: unknown = JSON.parse(readSource("package.json").text);
    const { dependencies, devDependencies } = manifest as Record<string, Record<string, string>>;
    const table = readSource("ARCHITECTURE.md").text.split("## Dependencies")[1] ?? "";
    const named = [...Object.keys(dependencies ?? {}), ...Object.keys(devDependencies ?? {})];
    none(named.filter((name) => !table.includes(`\`${name}\``)));
  });
});

describe("refusals", () => {
  const tested = testedRefusals(tests);
  const { text } = readSource("SECURITY.md");

  test("the table of SECURITY.md is in step with the titles of the tests", () => {
    const wanted = withTestedColumn(text, tested);
    if (process.env["UPDATE"] === "1") writeFileSync(join(repositoryRoot, "SECURITY.md"), wanted);
    else assert.equal(text, wanted, "Run it with UPDATE=1 to rewrite the last column");
  });

  test("every number of a title is in the table, once", () => {
    const numbers = tableNumbers(text);
    assert.equal(new Set(numbers).size, numbers.length);
    none([...tested.keys()].filter((number) => !numbers.includes(number)).map(String));
  });

  test("every refusal whose feature is there has a test", () => {
    none(REQUIRED.filter((number) => !tested.has(number)).map((n) => `refusal ${n} has no test`));
  });
});

/** The rules themselves: each must find what it is for. */
describe("the rules", () => {
  const source = (path: string, text: string): { path: string; text: string } => ({ path, text });

  const forbidden: readonly (readonly [string, string])[] = [
    ["src/storage/a.ts", 'import { x } from "../seal/mod.ts";'],
    ["src/core/mvcc/a.ts", 'import fs from "node:fs";'],
    ["src/core/mvcc/a.ts", 'import type { X } from "../fsm/mod.ts";'],
    ["src/api/grpc/a.ts", 'import {\n  x,\n} from "../../node/mod.ts";'],
    ["src/edge/a.ts", 'import { x } from "../node/loop.ts";'],
    ["src/edge/a.ts", 'import { x } from "casbin";'],
    ["src/node/a.ts", 'const x = await import("../storage/mod.ts");'],
    ["src/node/a.ts", 'export * from "../transport/mod.ts";'],
    ["src/edge/a.ts", 'import { x } from "../../test/tidy/rooms.ts";'],
    ["src/elsewhere/a.ts", ""],
  ];
  for (const [path, text] of forbidden) {
    test(`refuse ${path} with ${text.replaceAll("\n", " ") || "no room"}`, () => {
      assert.equal(checkImports(rooms, [source(path, text)]).length, 1);
    });
  }

  test("allow what the table allows", () => {
    const allowed = [
      source("src/edge/a.ts", 'import { x } from "../node/mod.ts";\nimport fs from "node:fs";'),
      source("src/core/mvcc/a.ts", 'import { key } from "../types/mod.ts";'),
      source("src/access/a.ts", '// import { x } from "../seal/mod.ts";\nimport "casbin";'),
      source("src/main.ts", 'import { x } from "./storage/mod.ts";'),
    ];
    none(checkImports(rooms, allowed));
  });

  test("a table that points up or sideways is refused", () => {
    const room = { layer: 4, packages: [] };
    const bad = [
      { ...room, name: "storage", rooms: ["seal"] },
      { ...room, name: "seal", rooms: [] },
    ];
    assert.equal(checkTable(bad).length, 2);
  });

  // Put together here, so that this file does not break the rules that it tests.
  const marker = ["TO", "DO"].join("");
  const suppression = ["ts", "ignore"].join("-");
  const begin = ["-----BEGIN", "PRIVATE", "KEY-----"].join(" ");

  const untidy: readonly (readonly [string, boolean])[] = [
    ["const x: any = 1;", false],
    ["const x = y as any;", false],
    [`// ${marker}: later`, false],
    [`// @${suppression}`, false],
    ["const x = new Date();", true],
    ["export async function f() {}", true],
    ["const x = Math.random();", true],
    ["\n".repeat(501), false],
  ];
  for (const [text, pure] of untidy) {
    test(`refuse ${JSON.stringify(text.slice(0, 40))}`, () => {
      assert.ok(checkSource(source("src/core/x/a.ts", text), pure).length > 0);
    });
  }

  test("words in comments and strings are no code", () => {
    const text = '/** Any Promise. */\nconst x = "new Date(), any";\n// Math.random() as any\n';
    none(checkSource(source("src/core/x/a.ts", text), true));
  });

  test("refuse tests that are left out or assert nothing", () => {
    assert.equal(checkTest(source("test/a.test.ts", "test.skip(assert)")).length, 1);
    assert.equal(checkTest(source("test/a.test.ts", "test(() => {})")).length, 1);
  });

  test("refuse private keys", () => {
    const pem = `${begin}\n${"A".repeat(64)}\n`;
    assert.equal(checkSecrets(source("certs/a.pem", pem)).length, 1);
    assert.equal(checkSecrets(source("a.json", `{"d": "${"b".repeat(43)}"}`)).length, 1);
    none(checkSecrets(source("README.md", begin)));
  });

  test("refusals are found in titles, and written into the table", () => {
    const a = source("test/x/a.test.ts", 'test("refusal 7, 10: x", () => {});\ntest(`refusal 7`);');
    const tested = testedRefusals([a]);
    const table = withTestedColumn("| 7 | a | b | |\n| 8 | a | b | gone |", tested);
    assert.equal(table, "| 7 | a | b | `test/x/a.test.ts` |\n| 8 | a | b | not yet |");
    assert.deepEqual([...tested.keys()], [7, 10]);
  });

  test("find dead exports", () => {
    const a = source("src/x/a.ts", "export function used(): void {}\nexport const dead = 1;\n");
    const b = source("src/x/b.ts", 'import { used } from "./a.ts";\nused();\n');
    const mod = source("src/x/mod.ts", 'export { dead, used } from "./a.ts";\n');
    assert.equal(deadExports([a, b, mod], []).length, 1);
  });
});
