import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { repositoryRoot } from "../tidy/sources.ts";

/** What package.json calls `coffer`. */

interface Manifest {
  readonly version: string;
  readonly bin: { readonly coffer: string };
}

const manifest = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8")) as Manifest;

test("the program of package.json runs as it is", () => {
  const { status, stdout } = spawnSync(join(repositoryRoot, manifest.bin.coffer), ["--version"], {
    encoding: "utf8",
  });
  assert.equal(status, 0);
  assert.match(stdout, new RegExp(`^coffer version: ${manifest.version.replaceAll(".", "\\.")}`));
});

test("where nothing is built it says what to run", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "coffer-program-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "bin"));
  cpSync(join(repositoryRoot, "package.json"), join(folder, "package.json"));
  cpSync(join(repositoryRoot, manifest.bin.coffer), join(folder, manifest.bin.coffer));
  const { status, stderr } = spawnSync(join(folder, manifest.bin.coffer), ["status"], {
    encoding: "utf8",
  });
  assert.equal(status, 1);
  assert.match(stderr, /not built yet\nRun: npm ci && npm run build\n$/);
});
