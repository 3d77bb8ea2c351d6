import assert from "node:assert/strict";
import { test } from "node:test";
import { CLUSTER_SCOPE, type TenantId } from "../../src/core/types/mod.ts";
import { planRevocation } from "../../src/identity/mod.ts";
import { openMemberRevocations } from "../../src/server/member-revocations.ts";
import { createLogger } from "../../src/telemetry/mod.ts";
import { RecordsNode } from "./records-node.ts";

const NOW = 1_795_348_800_000;
const { tenant } = RecordsNode;

/** The record that revokes a token. */
function revocation(tokenId: string): { readonly id: string; readonly data: Uint8Array } {
  const target = { kind: "token", issuer: "i", tokenId } as const;
  const rest = { by: "user:a", now: NOW, maxAgeSeconds: 60, certificateEnds: undefined };
  const [change] = planRevocation({ ...rest, target, recordsMax: 1 }, []).changes;
  return { id: change?.id ?? "", data: change?.data ?? new Uint8Array() };
}

/** A member with records; `turn` runs one slice, `ms` is how long each look at the clock takes. */
function opened(fill: (node: RecordsNode) => void = () => undefined) {
  const node = new RecordsNode();
  fill(node);
  const waiting: (() => void)[] = [];
  const clock = { ms: 0, step: 0, now: () => (clock.ms += clock.step) };
  const never = (): never => assert.fail("No timer is needed");
  const scheduler = {
    soon: (work: () => void) => void waiting.push(work),
    after: never,
    every: never,
  };
  const log = createLogger({ level: "error", destination: { write: () => undefined } });
  const revoked = openMemberRevocations({ node: node.node, clock, scheduler, log });
  const told: TenantId[] = [];
  revoked.onRevoked((scope) => void told.push(scope));
  const isRevoked = (tokenId: string, scope = CLUSTER_SCOPE): boolean =>
    revoked.index.isRevokedIn(scope, { issuer: "i", tokenId, subject: "user:a", issuedAt: 1 });
  const turn = (): boolean => {
    const work = waiting.shift();
    work?.();
    return work !== undefined;
  };
  return { node, revoked, told, clock, isRevoked, turn };
}

function store(node: RecordsNode, tokenId: string, scope = CLUSTER_SCOPE): string {
  const { id, data } = revocation(tokenId);
  node.put(scope, "revocation", id, data);
  return id;
}

test("what was revoked before the start is, in the cluster and in tenants", () => {
  const { isRevoked } = opened((node) => {
    store(node, "a");
    store(node, "b", tenant);
  });
  assert.deepEqual([isRevoked("a"), isRevoked("b"), isRevoked("b", tenant)], [true, false, true]);
});

test("a record is in force before anybody is told of it, and one taken away is not", () => {
  const { node, revoked, isRevoked, told } = opened();
  const seen: boolean[] = [];
  revoked.onRevoked(() => void seen.push(isRevoked("a")));
  const id = store(node, "a");
  node.tell(CLUSTER_SCOPE, "revocation", [id]);
  node.put(CLUSTER_SCOPE, "revocation", id, undefined);
  node.tell(CLUSTER_SCOPE, "revocation", [id]);
  assert.deepEqual(seen, [true, false]);
  assert.deepEqual(told, [CLUSTER_SCOPE, CLUSTER_SCOPE]);
  node.tell(CLUSTER_SCOPE, "policy", ["x"]);
  assert.equal(told.length, 2);
});

test("a state that was replaced is read in slices, and what was revoked stays so meanwhile", () => {
  const { node, isRevoked, turn, clock, told } = opened((first) => void store(first, "kept"));
  for (let i = 0; i < 950; i++) store(node, `t${i}`);
  store(node, "blue", tenant);
  clock.step = 1; // Each slice has time for a step or two.
  node.replaceState();
  assert.equal(isRevoked("t949"), false);
  let turns = 0;
  while (turn()) {
    turns++;
    assert.equal(isRevoked("kept"), true);
  }
  assert.ok(turns > 4, `${turns} turns`);
  assert.deepEqual(
    [isRevoked("t0"), isRevoked("t949"), isRevoked("blue", tenant)],
    [true, true, true],
  );
  assert.deepEqual(told, [CLUSTER_SCOPE, tenant]);
});

test("what changes while all is read again is not undone by the reading", () => {
  const { node, isRevoked, turn, clock } = opened();
  const first = store(node, "t0");
  for (let i = 1; i < 950; i++) store(node, `t${i}`);
  clock.step = 1;
  node.replaceState();
  turn();
  node.put(CLUSTER_SCOPE, "revocation", first, undefined);
  node.tell(CLUSTER_SCOPE, "revocation", [first]);
  const late = store(node, "late");
  node.tell(CLUSTER_SCOPE, "revocation", [late]);
  assert.equal(isRevoked("late"), true);
  while (turn()) assert.equal(isRevoked("late"), true);
  assert.deepEqual([isRevoked("t0"), isRevoked("t1"), isRevoked("late")], [false, true, true]);
});

test("a tenant that is gone from the new state has revoked nothing", () => {
  const { node, isRevoked, turn } = opened((first) => void store(first, "a", tenant));
  node.put(tenant, "revocation", revocation("a").id, undefined);
  node.replaceState();
  while (turn());
  assert.equal(isRevoked("a", tenant), false);
});

test("nothing is kept of the revocations of a tenant that was deleted", () => {
  const { node, revoked, isRevoked, turn, clock } = opened((first) => {
    store(first, "a");
    for (let i = 0; i < 950; i++) store(first, `t${i}`, tenant);
  });
  assert.deepEqual([...revoked.index.scopes], [CLUSTER_SCOPE, tenant]);
  // In the middle of reading them again.
  clock.step = 1;
  node.replaceState();
  turn();
  turn();
  node.deleteTenant(tenant);
  while (turn());
  assert.deepEqual([...revoked.index.scopes], [CLUSTER_SCOPE]);
  assert.deepEqual([isRevoked("a"), isRevoked("t1", tenant)], [true, false]);
});

test("who waits for the reading goes on when it is over, or the member closes", async () => {
  const { node, revoked, isRevoked, turn, clock } = opened();
  // Else the compiler holds it for what it was.
  const settlingOf = (): Promise<void> | undefined => revoked.settling;
  assert.equal(settlingOf(), undefined);
  for (let i = 0; i < 950; i++) store(node, `t${i}`);
  store(node, "blue", tenant);
  clock.step = 1;
  node.replaceState();
  turn();
  const seen: boolean[] = [];
  const settling = settlingOf();
  const waiting = settling?.then(
    () => void seen.push(isRevoked("t949"), isRevoked("blue", tenant)),
  );
  // Again, before the first reading is over.
  node.replaceState();
  assert.equal(settlingOf(), settling);
  while (turn()) assert.deepEqual(seen, []);
  await waiting;
  assert.deepEqual(seen, [true, true]);
  assert.equal(settlingOf(), undefined);
  node.replaceState();
  const closing = settlingOf() ?? assert.fail("Nothing is read");
  revoked.close();
  await closing;
});

test("closing ends the reading", () => {
  const { node, revoked, isRevoked, turn } = opened();
  store(node, "a");
  node.replaceState();
  revoked.close();
  while (turn());
  assert.equal(isRevoked("a"), false);
});
