import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CofferError } from "../../src/errors.ts";
import type { Proposal } from "../../src/core/types/mod.ts";
import { decodeBatch, decodeHeader, encodeProposals } from "../../src/wire/mod.ts";
import { goldenHeader, goldenProposals, goldenProposals2 } from "./golden-proposals.ts";

/**
 * The bytes of format version 3. A log outlives the build that wrote it, so this file may only grow:
 * a changed line is a log that cannot be read any more. `UPDATE=1` rewrites it.
 */
const goldenPath = join(projectRoot(), "test", "wire", "proposals-v3.golden.txt");
/** Of version 2, which is written no more. */
const formerPath = join(projectRoot(), "test", "wire", "proposals-v2.golden.txt");

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
  const encode = (batch: readonly Proposal[]): string =>
    hexLines(encodeProposals(goldenHeader, batch));
  const all = [...goldenProposals];
  const single = all.map(([kind, one]) => `${kind}\n${encode([one])}`);
  const batch = all.map(([, proposal]) => proposal);
  return `${single.join("")}all of them in one batch\n${encode(batch)}`;
}

test("the format is the one that older logs were written in", () => {
  if (process.env["UPDATE"] === "1") writeFileSync(goldenPath, goldenText());
  assert.equal(goldenText(), readFileSync(goldenPath, "utf8"));
});

/** Reads the batches of a golden file: one of each proposal, and then one of all. */
function checkRead(path: string, all: readonly Proposal[], movesCredentials: boolean): void {
  const sections = readFileSync(path, "utf8").split(/^(?=\S)/m);
  assert.equal(sections.length, all.length + 1);
  for (const [at, section] of sections.entries()) {
    const [, ...lines] = section.split("\n");
    const bytes = Buffer.from(lines.map((line) => line.trim()).join(""), "hex");
    const expected = all[at];
    const proposals = expected === undefined ? all : [expected];
    const decoded = { header: goldenHeader, proposals, movesCredentials };
    assert.deepStrictEqual(decodeBatch(bytes), decoded);
  }
}

test("the golden bytes are read as the proposals they were", () => {
  checkRead(goldenPath, [...goldenProposals.values()], true);
});

test("entries of version 2 are read, count no credentials, and set limits as a whole", () => {
  checkRead(formerPath, goldenProposals2, false);
});

test("a batch of version 2 is taken from a log and from no other member", () => {
  const [, line = ""] = readFileSync(formerPath, "utf8").split("\n");
  assert.throws(
    () => decodeHeader(Buffer.from(line.trim(), "hex")),
    (error: unknown) =>
      error instanceof CofferError &&
      error.code === "unimplemented" &&
      /version 2, .* version 3; run the same version of Coffer on all members/.test(error.message),
  );
});

test("an entry of version 1 is refused, and what to do is said", () => {
  // A compaction, as version 1 wrote it.
  const hex = "01010800112233445566778899aabbccddeeff80bcf4d7a7330900000003878796";
  for (const decode of [decodeBatch, decodeHeader]) {
    assert.throws(
      () => decode(Buffer.from(hex, "hex")),
      (error: unknown) =>
        error instanceof CofferError &&
        error.code === "unimplemented" &&
        /version 1, .* version (2 to )?3; .*coffer dev --reset/.test(error.message),
    );
  }
});
