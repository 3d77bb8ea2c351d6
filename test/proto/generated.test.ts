import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

/** The folder of package.json: tests run from dist, whose layout may change. */
function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "src", "proto", "def"))) {
    const above = dirname(folder);
    assert.notEqual(above, folder, "no folder above the test holds src/proto/def");
    folder = above;
  }
  return folder;
}

function filesIn(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => name.endsWith(".ts")).sort();
  return new Map(files.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

test("the generated code in git is what the .proto files give", () => {
  const root = projectRoot();
  const folder = mkdtempSync(join(tmpdir(), "coffer-gen-"));
  try {
    cpSync(join(root, "src", "proto", "def"), join(folder, "def"), { recursive: true });
    const bin = join(root, "node_modules", ".bin");
    execFileSync(join(bin, "buf"), ["generate"], {
      cwd: join(folder, "def"),
      env: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` },
      stdio: "pipe",
    });
    assert.deepEqual(filesIn(join(root, "src", "proto", "gen")), filesIn(join(folder, "gen")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
