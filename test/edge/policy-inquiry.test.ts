import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type World, assertRefused, bytes, startWorld } from "./world.ts";

/** Who can, and why: questions about the policy for those who may read it. */

let world: World;

before(async () => {
  world = await startWorld();
});

after(() => world[Symbol.asyncDispose]());

const ROLE = ["p", "role:dev", "/app/*", "read", "allow"];

test("who-can names users, service accounts and groups with their row, by pages", async () => {
  await world.grant(
    ROLE,
    ["g", "user:alice", "role:dev"],
    ["g", "group:dev", "role:dev"],
    ["p", "sa:ns/job", "/app/url", "read", "allow"],
    ["p", "user:bob", "/app/*", "read", "allow"],
    ["p", "user:bob", "/app/secret", "*", "deny"],
  );
  const ask = async (name: string, limit = 0n): Promise<string[]> => {
    const found: string[] = [];
    for (let after = "", more = true; more;) {
      const question = { action: "read", key: bytes(name), after, limit };
      const page = await world.admin.policyWhoCan(question);
      for (const { subject, row } of page.holders) {
        found.push(`${subject}: ${row?.fields.slice(1, 3).join(" ")}`);
      }
      ({ more, next: after } = page);
    }
    return found.filter((line) => !line.includes(":admin: role:owner"));
  };
  const all = [
    "group:dev: role:dev /app/*",
    "sa:ns/job: sa:ns/job /app/url",
    "user:alice: role:dev /app/*",
    "user:bob: user:bob /app/*",
  ];
  assert.deepEqual(await ask("/app/url"), all);
  assert.deepEqual(await ask("/app/url", 1n), all);
  assert.deepEqual(await ask("/app/secret"), [all[0], all[2]]);
  const owner = await world.admin.policyWhoCan({ action: "admin", key: bytes("policy/change") });
  assert.deepEqual(
    owner.holders.map(({ subject }) => subject),
    ["cert:admin", "user:admin"],
  );
});

test("who-can over 4,000 subjects holds no turn of the event loop for long", async () => {
  const rows = Array.from({ length: 4000 }, (_, n) => {
    return { fields: ["p", `user:crowd-${n}`, `/crowd/${n}/*`, "read", "allow"] };
  });
  await world.admin.policyChange({ add: rows });
  const key = bytes("/crowd/");
  let turns = 0;
  let going = true;
  const count = (): void => {
    turns++;
    if (going) setImmediate(count);
  };
  setImmediate(count);
  const before = turns;
  const { holders, more } = await world.admin.policyWhoCan({
    action: "read",
    key,
    rangeEnd: bytes("/crowd0"),
  });
  going = false;
  assert.deepEqual(
    [holders.map(({ subject }) => subject), more],
    [["cert:admin", "user:admin"], false],
  );
  // One turn would take it all without slices: 4,000 subjects are over 40 ms of work.
  assert.ok(turns - before > 10, `${turns - before} turns`);
  await world.admin.policyChange({ remove: rows });
});

test("explain tells the rows and the chain, and what is missing", async () => {
  const asked = { subject: "user:carol", groups: ["dev"], action: "read" };
  const yes = await world.admin.policyExplain({ ...asked, key: bytes("/app/x") });
  assert.deepEqual([yes.allowed, yes.reason], [true, "row-allows"]);
  assert.deepEqual(yes.grounds, [
    { row: { fields: ROLE }, via: ["user:carol", "group:dev", "role:dev"] },
  ]);
  const all = { key: bytes("/app/"), rangeEnd: bytes("/app1") };
  const part = await world.admin.policyExplain({ ...asked, ...all });
  assert.deepEqual([part.allowed, part.reason], [false, "no-row-allows"]);
  assert.deepEqual([part.missingKey, part.missingRangeEnd], [bytes("/app0"), bytes("/app1")]);
  const secret = { key: bytes("/app/secret") };
  const denied = await world.admin.policyExplain({ ...asked, subject: "user:bob", ...secret });
  assert.equal(denied.reason, "row-denies");
  assert.deepEqual(
    denied.grounds.map(({ row }) => row?.fields[4]),
    ["deny"],
  );
  const own = await world.admin.policyExplain({ action: "write", key: bytes("/any") });
  assert.deepEqual([own.subject, own.allowed], ["user:admin", true]);
  const role = { ...asked, subject: "role:dev", groups: [], key: bytes("/app/x") };
  assert.equal((await world.admin.policyExplain(role)).reason, "malformed-question");
});

test("they take policy/read, and try takes audit/read too", async () => {
  const subject = "user:nosy";
  const key = bytes("/app/x");
  const client = await world.as(subject);
  const question = { action: "read", key };
  const refused = (action: string, work: () => Promise<unknown>): Promise<unknown> =>
    assertRefused(world, { subject, action }, work);
  await refused("policy-explain", () => client.policyExplain(question));
  await refused("policy-who-can", () => client.policyWhoCan(question));
  await refused("policy-try", () => client.policyTry({}));
  await world.grant(["p", subject, "policy/read", "admin", "allow"]);
  assert.equal((await client.policyExplain(question)).allowed, false);
  assert.ok((await client.policyWhoCan(question)).holders.length > 0);
  await refused("policy-try", () => client.policyTry({}));
  await world.grant(["p", subject, "audit/read", "admin", "allow"]);
  assert.deepEqual((await client.policyTry({})).changes, []);
  // To ask as oneself with groups that one has not is to ask about another.
  const other = await world.as("user:other");
  await world.grant(["p", "user:other", "/x", "read", "allow"]);
  await assertRefused(world, { subject: "user:other", action: "policy-ask" }, () =>
    other.policyAsk({ ...question, groups: ["dev"] }),
  );
});
