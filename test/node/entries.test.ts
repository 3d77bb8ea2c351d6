import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../../src/core/raft/mod.ts";
import type { Proposal } from "../../src/core/types/mod.ts";
import { readEntry } from "../../src/node/entries.ts";
import { encodeProposals } from "../../src/wire/mod.ts";
import { proposal, put } from "../fsm/fixtures.ts";
import { goldenHeader } from "../wire/golden-proposals.ts";

const PROPOSALS: readonly Proposal[] = [proposal({ kind: "put", request: put("k", "v") })];

function read(version: number, known?: readonly Proposal[]) {
  const data = encodeProposals(goldenHeader, PROPOSALS);
  data[0] = version;
  const entry = { kind: "normal", index: 5, term: 2, data } as unknown as Entry;
  return readEntry(entry, undefined, () => known).committed;
}

test("an entry of an earlier format is applied, and moves no credential revision", () => {
  const { proposals, movesCredentials } = read(2);
  assert.deepEqual([proposals.length, movesCredentials], [1, false]);
  // What this member has proposed in another life may look the same.
  assert.notEqual(read(2, PROPOSALS).proposals, PROPOSALS);
});

test("an entry of this format moves them, whether this member has proposed it or not", () => {
  assert.equal(read(3).movesCredentials, true);
  const own = read(3, PROPOSALS);
  assert.equal(own.proposals, PROPOSALS);
  assert.equal(own.movesCredentials, true);
});
