import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { makeFolders } from "../../src/files/mod.ts";

function newFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "coffer-files-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("makes all that is missing, for the owner alone, and leaves what is there", (context) => {
  const folder = newFolder(context);
  makeFolders(join(folder, "a", "b"));
  writeFileSync(join(folder, "a", "file"), "");
  makeFolders(join(folder, "a", "b"));
  assert.deepEqual(readdirSync(join(folder, "a")).toSorted(), ["b", "file"]);
  for (const made of ["a", join("a", "b")]) {
    assert.equal(statSync(join(folder, made)).mode & 0o777, 0o700);
  }
});

test("a place that takes no folders is refused, by name", (context) => {
  const file = join(newFolder(context), "file");
  writeFileSync(file, "");
  for (const path of ["/proc/x", "/proc/x/y", join(file, "x"), file]) {
    assert.throws(() => makeFolders(path), {
      code: "invalid-argument",
      message: /cannot make the folder '[^']+' in '[^']+': (ENOENT|ENOTDIR|EEXIST|EACCES|EPERM)/,
    });
  }
});
