import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Proposal } from "../../src/core/types/mod.ts";
import { type BatchHeader, decodeBatch, encodeProposals } from "../../src/wire/mod.ts";
import { V1_KINDS, V1_TIME, goldenHeader, goldenProposals } from "./golden-proposals.ts";

/**
 * The bytes of the format. A log outlives the build that wrote it, so these files may only grow: a
 * changed line is a log that cannot be read any more. `UPDATE=1` rewrites that of the version that is
 * written now; nothing writes version 1 any more.
 */
const goldenPath = goldenFile("proposals-v2.golden.txt");
const goldenV1Path = goldenFile("proposals-v1.golden.txt");

function goldenFile(name: string): string {
  return join(projectRoot(), "test", "wire", name);
}

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

/** Each section of the file is one proposal, the last all of them. */
function checkRead(path: string, header: BatchHeader, proposals: readonly Proposal[]): void {
  const sections = readFileSync(path, "utf8").split(/^(?=\S)/m);
  assert.equal(sections.length, proposals.length + 1);
  for (const [at, section] of sections.entries()) {
    const [, ...lines] = section.split("\n");
    const bytes = Buffer.from(lines.map((line) => line.trim()).join(""), "hex");
    const expected = proposals[at];
    assert.deepStrictEqual(decodeBatch(bytes), {
      header,
      proposals: expected === undefined ? proposals : [expected],
    });
  }
}

test("the format is the one that older logs were written in", () => {
  if (process.env["UPDATE"] === "1") writeFileSync(goldenPath, goldenText());
  assert.equal(goldenText(), readFileSync(goldenPath, "utf8"));
});

test("the golden bytes are read as the proposals they were", () => {
  checkRead(goldenPath, goldenHeader, [...goldenProposals.values()]);
});

test("a log of version 1 is read: its batches have the time of their proposals, and no name", () => {
  const header = { time: V1_TIME, leaseTime: V1_TIME, origin: 0n, life: 0, seq: 0 } as BatchHeader;
  checkRead(goldenV1Path, header, [...goldenProposals.values()].slice(0, V1_KINDS));
});
