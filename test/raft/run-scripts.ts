import { existsSync } from "node:fs";
import { scenariosFolder } from "./source-folder.ts";
import { describeMismatch, listScripts, runScript } from "./script/run.ts";

/**
 * Runs the Raft scripts of a folder: `node dist/test/raft/run-scripts.js FOLDER`; without FOLDER,
 * our own scenarios. Exits with 1 if one of them does not give what it says. `UPDATE=1` rewrites
 * the expected texts instead.
 */
const [folder, ...rest] = process.argv.slice(2);
if (rest.length > 0) {
  process.stderr.write("Usage: run-scripts [FOLDER]\n");
  process.exit(2);
}
process.exitCode = main(folder ?? scenariosFolder());

function main(path: string): number {
  if (!existsSync(path)) {
    process.stderr.write(`There is no folder "${path}"\n`);
    return 2;
  }
  const update = process.env["UPDATE"] === "1";
  const scripts = listScripts(path);
  if (scripts.length === 0) {
    process.stderr.write(`No scripts (*.txt) in "${path}"\n`);
    return 2;
  }
  let failed = 0;
  for (const script of scripts) {
    const mismatches = runOne(script, update);
    if (mismatches.length > 0) failed++;
    process.stdout.write(`${mismatches.length === 0 ? "ok  " : "FAIL"} ${script}\n`);
    for (const text of mismatches) process.stdout.write(`${text}\n`);
  }
  process.stdout.write(`${scripts.length} scripts, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

function runOne(script: string, update: boolean): string[] {
  try {
    return runScript(script, { update }).map((mismatch) => describeMismatch(script, mismatch));
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}
