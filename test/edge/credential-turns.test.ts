import assert from "node:assert/strict";
import { test } from "node:test";
import { CLUSTER_SCOPE } from "../../src/core/types/mod.ts";
import { CredentialTurns } from "../../src/edge/credential-turns.ts";
import { TENANT } from "../fsm/fixtures.ts";
import { CALLER, LaggingMember, STRANGER } from "./lagging.ts";

const never = (): Promise<never> => new Promise(() => {});
const nothing = (): Promise<string> => Promise.resolve("done");

test("who may not change credentials holds up nobody who may", async (context) => {
  const one = new LaggingMember();
  context.after(() => one.edge.close());
  const target = { kind: "token", issuer: "i", tokenId: "t" } as const;
  const refused = Array.from({ length: 400 }, () => [
    one.edge.tokenRevoke(STRANGER, { target, certificateEnds: 0 }),
    one.edge.tokenUnrevoke(STRANGER, "id"),
    one.edge.tokenRotateKey(STRANGER, { dropFormer: false }),
  ]).flat();
  for (const one of refused) one.catch(() => {});
  await one.edge.tokenRevoke(CALLER, { target, certificateEnds: 0 });
  for (const one of refused) await assert.rejects(one, { code: "permission-denied" });
  assert.equal(one.proposals.length, 1);
});

test("the people of one tenant do not fill the turns of others", async () => {
  const turns = new CredentialTurns({ now: () => 0 });
  const waiting = Array.from({ length: 1024 }, () => turns.take(TENANT, never));
  await assert.rejects(turns.take(TENANT, nothing), { code: "too-many-requests" });
  assert.equal(await turns.take(CLUSTER_SCOPE, nothing), "done");
  assert.equal(waiting.length, 1024);
});

test("a turn that waited long for a leader is not followed by as long a pause", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  const turns = new CredentialTurns({ now: () => now });
  const first = turns.take(CLUSTER_SCOPE, () => {
    now += 60_000;
    return nothing();
  });
  const second = turns.take(CLUSTER_SCOPE, nothing);
  await first;
  // The pause begins behind the answer.
  await new Promise((resolve) => setImmediate(resolve));
  context.mock.timers.tick(1000);
  const turn = await Promise.race([second, new Promise((resolve) => setImmediate(resolve))]);
  assert.equal(turn, "done");
});
