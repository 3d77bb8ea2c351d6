import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Client, type policyApi, rpc } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { type Prng, createPrng } from "../../src/stdx/mod.ts";
import { type World, bytes, startWorld } from "./world.ts";

/** What a change of policy would do to recorded requests, told before it is made. */

let world: World;

before(async () => {
  world = await startWorld();
});

after(() => world[Symbol.asyncDispose]());

type Change = { readonly add?: string[][]; readonly remove?: string[][] };

async function tryChange({ add = [], remove = [] }: Change): Promise<policyApi.PolicyTryResponse> {
  const rows = (of: string[][]): { fields: string[] }[] => of.map((fields) => ({ fields }));
  return await world.admin.policyTry({ add: rows(add), remove: rows(remove), last: 100_000n });
}

/** `user:a range /x /y: allowed 3 times` for each change. */
function told({ changes }: policyApi.PolicyTryResponse): readonly string[] {
  return changes.map(({ subject, groups, action, key, rangeEnd, allowedNow, count }) => {
    const who = [subject, ...groups].join("+");
    const keys = [key, rangeEnd].map((one) => Buffer.from(one).toString("latin1")).join(" ");
    return `${who} ${action} ${keys.trim()}: ${allowedNow ? "allowed" : "refused"} ${count}`;
  });
}

async function answerOf(work: Promise<unknown>): Promise<"ok" | "refused" | "failed"> {
  try {
    await work;
    return "ok";
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    return error.code === "permission-denied" ? "refused" : "failed";
  }
}

test("tells who would gain and who would lose, how often and when last", async () => {
  const subject = "user:try";
  const client = await world.as(subject);
  const read = ["p", subject, "/t/*", "read", "allow"];
  const write = ["p", subject, "/t/\x7f", "write", "allow"];
  await world.grant(read);
  const started = Date.now();
  for (let n = 0; n < 3; n++) await client.range({ key: bytes("/t/a") });
  assert.equal(await answerOf(client.put({ key: bytes("/t/\x7f") })), "refused");
  assert.equal(
    await answerOf(client.range({ key: bytes("/t/"), rangeEnd: bytes("/t0") })),
    "refused",
  );
  const gain = await tryChange({ add: [write] });
  assert.deepEqual(told(gain), [`${subject} put /t/\x7f: refused 1`]);
  const seen = Number(gain.changes[0]?.lastSeen);
  assert.ok(seen >= started && seen <= Date.now());
  const loss = await tryChange({ add: [["p", subject, "/t/a", "*", "deny"]] });
  assert.deepEqual(told(loss), [`${subject} range /t/a: allowed 3`]);
  const list = ["p", subject, "/t/*", "list", "allow"];
  assert.deepEqual(told(await tryChange({ add: [list] })), [`${subject} range /t/ /t0: refused 1`]);
  assert.deepEqual(told(await tryChange({ add: [list], remove: [read] })), [
    `${subject} range /t/a: allowed 3`,
  ]);
  // Nothing of it was done.
  assert.equal(await answerOf(client.put({ key: bytes("/t/\x7f") })), "refused");
});

test("what is wrong with the change is told, all of it, and nothing is judged", async () => {
  const bad = await tryChange({
    add: [
      ["p", "user:x", "/a", "read", "Deny"],
      ["g", "user:x", "role:r"],
      ["p", "user:x", "/a*b", "read", "allow"],
    ],
  });
  assert.deepEqual([bad.problems.length, bad.records], [2, 0n]);
  assert.match(bad.problems.join(), /policy row 1 effect .*policy row 3 object/);
  const circle = await tryChange({ add: [["g", "role:c", "role:c"]] });
  assert.match(circle.problems[0] ?? "", /circle/);
  const missing = await tryChange({ remove: [["g", "user:x", "role:nobody"]] });
  assert.match(missing.problems[0] ?? "", /row 1 of those to remove/);
});

test("warns whoever would take the right to change policy from themselves", async () => {
  const own = await tryChange({ remove: [["g", "user:admin", "role:owner"]] });
  assert.equal(own.locksOut, true);
  assert.equal((await tryChange({ add: [["g", "user:z", "role:owner"]] })).locksOut, false);
});

test("operators' requests are not judged by a tenant's policy", async () => {
  await world.admin.tenantCreate({ name: "other", owner: "user:o" });
  const without = await tryChange({ remove: [["g", "user:admin", "role:owner"]] });
  assert.ok(told(without).some((line) => line.includes("policy-try")));
  assert.ok(!told(without).some((line) => line.includes("tenant-create")));
});

test("records that were cut to fit are counted and not judged", async () => {
  const client = await world.as("user:long");
  const { cut } = await tryChange({});
  assert.equal(await answerOf(client.range({ key: bytes("/long/".padEnd(2000, "x")) })), "refused");
  const success = Array.from({ length: 70 }, (_, n) => {
    return { request: { $case: "requestPut" as const, value: { key: bytes(`/many/${n}`) } } };
  });
  assert.equal(await answerOf(client.txn({ success })), "refused");
  assert.equal((await tryChange({})).cut, cut + 2n);
});

/** Keys that the rows and requests of the differential test meet at; those on leases are before all. */
const KEYS = ["/d/a", "/d/a/b", "/d/b", "/e", "/\x80"] as const;
const ACTIONS = ["read", "list", "watch", "write", "delete", "lease", "*"] as const;
const LEASES = [0x51n, 0x52n] as const;

const leased = (ID: bigint): Buffer => bytes(`!leased/${ID}`);

function pick<T>(prng: Prng, from: readonly T[]): T {
  return from[prng.below(from.length)] as T;
}

function randomRow(prng: Prng, subjects: readonly string[]): string[] {
  const objects = [...KEYS.slice(0, 4), "/d/*", "/*", "*", "/e*", "!*", "!*"];
  const role = `role:${subjects[0]}`;
  if (prng.below(8) === 0) return ["g", pick(prng, subjects), role];
  const effect = prng.below(6) === 0 ? "deny" : "allow";
  return ["p", pick(prng, [...subjects, role]), pick(prng, objects), pick(prng, ACTIONS), effect];
}

/** A request of any kind that asks the policy something, and that can be repeated. */
function randomRequest(prng: Prng, client: Client): () => Promise<unknown> {
  const key = bytes(pick(prng, KEYS));
  const rangeEnd = bytes(pick(prng, ["", "", "/d/c", "/d0", "\0", "/"]));
  const flag = (): boolean => prng.below(4) === 0;
  const { VALUE, KEY } = rpc.RangeRequest_SortTarget;
  const sortTarget = flag() ? VALUE : KEY;
  const ID = pick(prng, LEASES);
  const put = flag() ? { key: leased(ID), lease: ID } : { key, prevKv: flag() };
  const range = { key, rangeEnd, keysOnly: flag(), countOnly: flag(), sortTarget };
  const erase = { key, rangeEnd, prevKv: flag() };
  const op = (): rpc.RequestOp => {
    const kind = prng.below(3);
    if (kind === 0) return { request: { $case: "requestPut", value: createPut(put) } };
    if (kind === 1) return { request: { $case: "requestRange", value: createRange(range) } };
    return { request: { $case: "requestDeleteRange", value: createErase(erase) } };
  };
  const [first, second] = [op(), op()];
  const compare = flag() ? [{ key, rangeEnd }] : [];
  const values = flag();
  const subject = flag() ? "user:admin" : "";
  return pick<() => Promise<unknown>>(prng, [
    () => client.put(put),
    () => client.range(range),
    () => client.range({ ...range, serializable: true }),
    () => client.deleteRange(erase),
    () => client.txn({ compare, success: [first] }),
    () => client.txn({ compare, success: [first], failure: [second] }),
    () => client.txn({}),
    () => client.history({ key, values }),
    () => client.leaseTimeToLive({ ID, keys: values }),
    () => client.leaseLeases(),
    () => client.hashKv(),
    () => client.status(),
    () => client.policyAsk({ action: "read", key, subject }),
    () => client.policyList(),
    () => client.whoAmI(),
  ]);
}

const createPut = rpc.PutRequest.fromPartial;
const createRange = rpc.RangeRequest.fromPartial;
const createErase = rpc.DeleteRangeRequest.fromPartial;

test("differential: every recorded outcome is foretold, and every change of one", async () => {
  const prng = createPrng(20_261_122);
  for (const ID of LEASES) {
    await world.admin.leaseGrant({ ID, TTL: 6000n });
    await world.admin.put({ key: leased(ID), lease: ID });
  }
  const met = { ok: 0, refused: 0, failed: 0, flipped: 0 };
  for (let round = 0; round < 12; round++) {
    // Subjects of the round alone, whose records can be told from all others.
    const subjects = ["p", "q"].map((name) => `user:${name}${round}`);
    const clients = await Promise.all(subjects.map((subject) => world.as(subject)));
    const draw = (): string[] => randomRow(prng, subjects);
    const rows = [
      ...new Map(Array.from({ length: 8 }, draw).map((row) => [row.join(), row])).values(),
    ];
    const [kept, given] = [rows.slice(0, 5), rows.slice(5)];
    // Leases take the right to all of them: without it none of their keys would be asked for.
    const lease = ["p", subjects[0] ?? "", "*", "lease", "allow"];
    if (!rows.some((row) => row.join() === lease.join())) kept.push(lease);
    await world.grant(...kept);
    const requests = Array.from({ length: 50 }, () => randomRequest(prng, pick(prng, clients)));
    const before = await tryChange({});
    const first: string[] = [];
    for (const request of requests) first.push(await answerOf(request()));
    const now = await tryChange({ add: given });
    assert.ok(now.judged - before.judged >= 50n, `round ${round}: ${now.judged - before.judged}`);
    assert.equal(now.moved, before.moved, `round ${round}: ${JSON.stringify(kept)}`);

    // What it says of the change is what happens when the change is made and all is asked again.
    await world.grant(...given);
    const second: string[] = [];
    for (const request of requests) second.push(await answerOf(request()));
    const flipped = (from: string): number =>
      requests.filter(
        (_, at) =>
          (first[at] === "refused") !== (second[at] === "refused") &&
          (first[at] === "refused") === (from === "refused"),
      ).length;
    const foretold = (isAllowed: boolean): number =>
      now.changes
        .filter(({ subject, allowedNow }) => subjects.includes(subject) && allowedNow === isAllowed)
        .reduce((sum, { count }) => sum + Number(count), 0);
    assert.deepEqual(
      [foretold(false), foretold(true)],
      [flipped("refused"), flipped("allowed")],
      `round ${round}: ${JSON.stringify(rows)}`,
    );
    for (const answer of first) met[answer as "ok"]++;
    met.flipped += flipped("refused") + flipped("allowed");
    await world.revoke(...kept, ...given);
  }
  assert.ok(met.ok > 100 && met.refused > 100 && met.flipped > 20, JSON.stringify(met));
});
