import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CLUSTER_SCOPE,
  type Command,
  NO_COMPACTION,
  NO_LEASE,
  type Proposal,
  leaseId,
} from "../../src/core/types/mod.ts";
import type { Edge } from "../../src/edge/requests.ts";
import { CofferError, type ErrorCode } from "../../src/errors.ts";
import { TENANT, bytes, del, proposal, put } from "../fsm/fixtures.ts";
import { CALLER, LaggingMember, revocationOf } from "./lagging.ts";

/** Writes of callers who are let in no more by the time that their entry is applied. */

const LEASE = leaseId(7n);
const PUT = put("k", "v");
const putOp = { kind: "put", request: PUT } as const;
const noTxn = { compare: [], success: [putOp], failure: [] };
const POLICY = { add: [["g", "user:b", "role:reader"]], remove: [] };
const named = { name: "acme", newName: undefined, suspended: undefined };
const target = { kind: "token", issuer: "i", tokenId: "t" } as const;

/** Each request that writes to the log of proposals; true: as an operator, in the cluster's scope. */
const WRITES: Readonly<Record<string, readonly [(edge: Edge) => Promise<unknown>, boolean]>> = {
  put: [(edge) => edge.put(CALLER, PUT), false],
  "put with a lease": [(edge) => edge.put(CALLER, put("k", "v", { lease: LEASE })), false],
  "delete-range": [(edge) => edge.deleteRange(CALLER, del("k")), false],
  txn: [(edge) => edge.txn(CALLER, noTxn), false],
  compact: [(edge) => edge.compact(CALLER, { revision: 1, physical: false }), false],
  "lease grant": [(edge) => edge.leaseGrant(CALLER, { id: NO_LEASE, ttl: 60 }), false],
  "lease revoke": [(edge) => edge.leaseRevoke(CALLER, LEASE), false],
  "lease keep-alive": [(edge) => edge.leaseKeepAlive(CALLER, LEASE), false],
  "policy change": [(edge) => edge.policyChange(CALLER, POLICY), false],
  "token revoke": [(edge) => edge.tokenRevoke(CALLER, { target, certificateEnds: 0 }), true],
  "tenant create": [
    (edge) =>
      edge.tenantCreate(CALLER, { name: "new", owner: "", limits: {}, compaction: NO_COMPACTION }),
    true,
  ],
  "tenant update": [
    (edge) => edge.tenantUpdate(CALLER, { ...named, limits: { keysMax: 9 } }),
    true,
  ],
  "tenant delete": [(edge) => edge.tenantDelete(CALLER, "acme"), true],
  "issuer add": [(edge) => edge.issuerAdd(CALLER, { record: bytes("{}"), replace: true }), true],
  "rule add": [
    (edge) =>
      edge.certificateRuleAdd(CALLER, { record: bytes("{}"), authority: "", replace: true }),
    true,
  ],
  "token rotate-key": [(edge) => edge.tokenRotateKey(CALLER, { dropFormer: false }), true],
};

function member(context: { after(work: () => void): void }): LaggingMember {
  const one = new LaggingMember();
  context.after(() => one.edge.close());
  one.commit(proposal({ kind: "lease-grant", id: LEASE, ttl: 600 }));
  one.catchUp();
  return one;
}

async function refusalOf(work: Promise<unknown>): Promise<ErrorCode> {
  const error = await work.then(
    () => assert.fail("It was answered"),
    (failure: unknown) => failure,
  );
  assert.ok(error instanceof CofferError, String(error));
  return error.code;
}

for (const [name, [write, isOperator]] of Object.entries(WRITES)) {
  test(`refusal 33: ${name} does not take effect behind the revocation of its token`, async (context) => {
    const one = member(context);
    one.overtakenBy.push(revocationOf("stolen", CLUSTER_SCOPE));
    assert.equal(await refusalOf(write(one.edge)), "invalid-token");
    assert.deepEqual(
      one.results.map(({ kind }) => kind),
      ["stale-credentials"],
    );
    const { outcome, reason } = one.audited.at(-1) ?? assert.fail("No record");
    assert.deepEqual([outcome, reason.split(":")[0]], ["refused", "invalid-token"]);
    assert.deepEqual(one.logged, []);
  });

  test(`${name} goes on where the credentials that moved were another's`, async (context) => {
    const one = member(context);
    const scope = isOperator ? CLUSTER_SCOPE : TENANT;
    one.overtakenBy.push(revocationOf("others", scope), revocationOf("more", CLUSTER_SCOPE));
    await write(one.edge);
    const [first, second, ...rest] = one.results.map(({ kind }) => kind);
    assert.equal(first, "stale-credentials");
    assert.ok(second !== undefined && second !== "stale-credentials", second);
    assert.deepEqual(rest, []);
    assert.equal(one.retries.get("credentialRetries"), 1);
  });
}

const records = (table: "issuer" | "policy", data: Uint8Array): Command => ({
  kind: "records",
  changes: [{ table, id: "https://issuer.test", data, expect: "any" }],
});
const inCluster = { tenant: CLUSTER_SCOPE };
const update = (change: object): Proposal =>
  proposal({ kind: "tenant-update", id: TENANT, ...change }, inCluster);

const OVERTAKEN: readonly (readonly [string, Proposal, ErrorCode])[] = [
  ["the tenant's own revocation", revocationOf("stolen", TENANT), "invalid-token"],
  ["another issuer record", proposal(records("issuer", bytes("")), inCluster), "invalid-token"],
  ["the tenant's suspension", update({ suspended: true }), "tenant-suspended"],
  ["another name of the tenant", update({ name: "b" }), "permission-denied"],
  ["its deletion", proposal({ kind: "tenant-delete", id: TENANT }, inCluster), "not-found"],
];
for (const [name, overtaking, code] of OVERTAKEN) {
  test(`a write that is overtaken by ${name} is refused`, async (context) => {
    const one = member(context);
    one.overtakenBy.push(overtaking);
    assert.equal(await refusalOf(one.edge.policyChange(CALLER, POLICY)), code);
    assert.equal(one.leaderState.records(TENANT, "policy").length, 0);
  });
}

test("refusal 33: while revocations are read anew, no write is let in by the former ones", async (context) => {
  const one = member(context);
  let settled = (): void => undefined;
  one.settling = new Promise((resolve) => (settled = resolve));
  one.commit(revocationOf("stolen", CLUSTER_SCOPE));
  one.catchUp();
  const writing = refusalOf(one.edge.put(CALLER, PUT));
  while (one.results.length === 0) await new Promise((resolve) => setImmediate(resolve));
  one.settle();
  settled();
  assert.equal(await writing, "invalid-token");
  assert.deepEqual(
    one.results.map(({ kind }) => kind),
    ["stale-credentials"],
  );
});

test("refusal 33: a linearizable read waits for them", async (context) => {
  const one = member(context);
  let settled = (): void => undefined;
  one.settling = new Promise((resolve) => (settled = resolve));
  one.commit(revocationOf("stolen", CLUSTER_SCOPE));
  const reading = refusalOf(one.edge.leaseLeases(CALLER));
  await new Promise((resolve) => setImmediate(resolve));
  one.settle();
  settled();
  assert.equal(await reading, "invalid-token");
});

for (const kind of ["stale-policy", "stale-credentials"] as const) {
  test(`a write that is always ${kind} ends, an operator's as well`, async (context) => {
    for (const name of ["put", "tenant create", "issuer add"]) {
      const one = member(context);
      one.answer =
        kind === "stale-policy" ? { kind, policyRevision: 9 } : { kind, credentialRevision: 9 };
      const [write] = WRITES[name] ?? assert.fail(name);
      assert.equal(await refusalOf(write(one.edge)), "timeout");
      assert.equal(one.proposals.length, 64);
    }
  });
}

test("every proposal of a caller says at which credentials it was checked", async (context) => {
  for (const [write] of Object.values(WRITES)) {
    const one = member(context);
    await write(one.edge);
    for (const { tenant, credentialRevision } of one.proposals) {
      assert.ok((credentialRevision ?? 0) > 0, tenant);
    }
    assert.equal(one.proposals.length, 1);
  }
});

test("changes of credentials go one after another, and others' writes in between", async (context) => {
  const one = member(context);
  const revoke = (i: number) =>
    one.edge.tokenRevoke(CALLER, {
      target: { kind: "token", issuer: "i", tokenId: `t${i}` },
      certificateEnds: 0,
    });
  const changes = Array.from({ length: 20 }, (_, i) => revoke(i));
  await Promise.all([...changes, one.edge.put(CALLER, PUT)]);
  // Side by side, all but one of those that are left would be asked again in each round.
  assert.ok((one.retries.get("credentialRetries") ?? 0) <= 20, String(one.retries.size));
  assert.equal(one.results.filter(({ kind }) => kind === "put").length, 1);
});
