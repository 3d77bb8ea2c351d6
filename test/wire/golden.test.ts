import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeProposals, encodeProposals } from "../../src/wire/mod.ts";
import { goldenProposals } from "./golden-proposals.ts";

/**
 * The bytes of format version 1. A log outlives the build that wrote it, so this file may only grow:
 * a changed line is a log that cannot be read any more. `UPDATE=1` rewrites it.
 */
const goldenPath = join(projectRoot(), "test", "wire", "proposals-v1.golden.txt");

function projectRoot(): string {
  let folder = process.env["COFFER_ROOT"] ?? dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package-lock.json"))) {
    const parent = dirname(folder);
    assert.notEqual(parent, folder, "No folder above the test holds package-lock.json");
    folder = parent;
  }
  return folder;
}

function hexLines(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return (hex.match(/.{1,64}/g) ?? []).map((line) => `  ${line}\n`).join("");
}

function goldenText(): string {
  const all = [...goldenProposals];
  const single = all.map(([kind, one]) => `${kind}\n${hexLines(encodeProposals([one]))}`);
  const batch = all.map(([, proposal]) => proposal);
  return `${single.join("")}all of them in one batch\n${hexLines(encodeProposals(batch))}`;
}

test("the format is the one that older logs were written in", () => {
  if (process.env["UPDATE"] === "1") writeFileSync(goldenPath, goldenText());
  assert.equal(goldenText(), readFileSync(goldenPath, "utf8"));
});

test("the golden bytes are read as the proposals they were", () => {
  const sections = readFileSync(goldenPath, "utf8").split(/^(?=\S)/m);
  const proposals = [...goldenProposals.values()];
  assert.equal(sections.length, proposals.length + 1);
  for (const [at, section] of sections.entries()) {
    const [, ...lines] = section.split("\n");
    const bytes = Buffer.from(lines.map((line) => line.trim()).join(""), "hex");
    const expected = proposals[at];
    assert.deepStrictEqual(decodeProposals(bytes), expected === undefined ? proposals : [expected]);
  }
});
