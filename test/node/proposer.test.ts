import assert from "node:assert/strict";
import { test } from "node:test";
import { memberId } from "../../src/core/types/mod.ts";
import { Proposer, type ProposerDeps } from "../../src/node/proposer.ts";
import { NODE_RULES } from "../../src/node/rules.ts";
import { PROPOSALS_VERSION } from "../../src/wire/limits.ts";

test("a batch that cannot be read is refused as it comes, though the leader is not ready", () => {
  let isReady = false;
  const deps: Partial<ProposerDeps> = {
    raft: { role: "leader", term: 3 } as ProposerDeps["raft"],
    queue: { hasPending: false } as ProposerDeps["queue"],
    rules: NODE_RULES,
    isReady: () => isReady,
  };
  const proposer = new Proposer(deps as ProposerDeps);
  const take = (bytes: readonly number[]): void =>
    proposer.take(memberId(2n), { term: 3, data: Uint8Array.from(bytes) });
  assert.throws(() => take([PROPOSALS_VERSION, 1]), { code: "corrupt" });
  for (const version of [PROPOSALS_VERSION - 1, PROPOSALS_VERSION + 1]) {
    const message = new RegExp(`version ${version}, .* reads version ${PROPOSALS_VERSION};`);
    assert.throws(() => take([version, 1, 1]), { code: "unimplemented", message });
  }
  isReady = true;
  proposer.launch();
});
