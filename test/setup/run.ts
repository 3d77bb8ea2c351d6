import { spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { filesBelow } from "./files-below.ts";
import { ensureTools } from "./tools.ts";

/**
 * Runs the compiled tests: `node dist/test/setup/run.js [PART ...]`, where each PART is a piece of a
 * test file's path, such as `core/mvcc`. On Node 20 `node --test` takes no globs, and given a folder
 * named test it runs every file in it, fixtures too; so the files are listed here.
 */

const FILE_TIMEOUT_MS = 15 * 60_000;

/** Whole processes run in some tests; more at once than this makes their timing noise. */
const CONCURRENCY = 2;

const dist = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const root = dirname(dist);

removeStale();
try {
  ensureTools();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
const files = testFiles(process.argv.slice(2));
if (files.length === 0) {
  console.error(`No test file matches ${process.argv.slice(2).join(" ")}`);
  process.exit(1);
}
runNode(files);

/** Removes compiled files whose source is gone: a deleted test must not go on passing. */
function removeStale(): void {
  for (const path of ["src", "test"].flatMap((part) => filesBelow(join(dist, part)))) {
    const stem = relative(dist, path).replace(/(\.d\.ts|\.js|\.js\.map)$/, "");
    const sources = [".ts", ".js"].map((ending) => join(root, stem + ending));
    if (!sources.some((source) => existsSync(source))) rmSync(path);
  }
}

function testFiles(parts: readonly string[]): readonly string[] {
  const all = filesBelow(join(dist, "test")).filter((path) => path.endsWith(".test.js"));
  const wanted = (path: string): boolean =>
    parts.length === 0 || parts.some((part) => relative(dist, path).includes(part));
  return all.filter(wanted).toSorted();
}

function runNode(paths: readonly string[]): void {
  const options = [
    "--test",
    `--test-concurrency=${CONCURRENCY}`,
    `--test-timeout=${FILE_TIMEOUT_MS}`,
    `--test-reporter=${process.stdout.isTTY ? "spec" : "tap"}`,
    "--test-reporter-destination=stdout",
    `--test-reporter=${new URL("failures.js", import.meta.url).href}`,
    "--test-reporter-destination=stderr",
  ];
  const child = spawn(process.execPath, [...options, ...paths], { cwd: root, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  child.on("close", (code) => {
    process.exitCode = code ?? 1;
  });
}
