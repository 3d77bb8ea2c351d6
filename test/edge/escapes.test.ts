import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect as connectHttp2 } from "node:http2";
import { once } from "node:events";
import { type World, bytes, failure, startWorld } from "./world.ts";
import { createWatch, watching } from "./streams.ts";
import { closed } from "../setup/closed.ts";

/** Ways around the gate that a review found, each closed. */

let world: World;

before(async () => {
  world = await startWorld();
});

after(() => world[Symbol.asyncDispose]());

test("refusal 46: neither a negative id nor one used again hides a watch from a change of policy", async () => {
  const subject = "user:hider";
  const row = ["p", subject, "/hide", "watch", "allow"];
  await world.grant(row);
  const client = await world.as(subject);
  await using negative = watching(client);
  negative.create({ key: bytes("/hide"), watchId: -1n });
  const answer = await negative.until(() => true);
  assert.ok(answer.created && answer.canceled, "a watch has the id that belongs to none");
  // The id is cancelled and used again before anybody reads the reply to the cancel.
  const { watch } = await createWatch(client, { key: bytes("/hide"), watchId: 5n });
  watch.cancel(5n);
  watch.create({ key: bytes("/hide"), watchId: 5n });
  watch.create({ key: bytes("/forbidden"), watchId: 6n });
  await watch.until(({ watchId, created }) => watchId === -1n && created);
  await world.revoke(row);
  await world.admin.put({ key: bytes("/hide"), value: bytes("after") });
  await watch.until(({ cancelReason }) => cancelReason.includes("permission denied"));
  watch.progress();
  await world.admin.put({ key: bytes("/hide"), value: bytes("after") });
  assert.equal(watch.responses.flatMap(({ events }) => events).length, 0);
  await watch[Symbol.asyncDispose]();
});

test("refusal 61: siblings of a transaction do not multiply its operations", async () => {
  const range = { request: { $case: "requestRange" as const, value: { key: bytes("/a") } } };
  const inner = { success: Array.from({ length: 60 }, () => range) };
  const nested = { request: { $case: "requestTxn" as const, value: inner } };
  await failure(
    world.admin.txn({ success: Array.from({ length: 60 }, () => nested) }),
    "too-many-ops",
  );
});

test("refusal 5: who asks about itself is not told the row that denies", async () => {
  const subject = "user:asker";
  await world.grant(
    ["p", subject, "/a/*", "read", "allow"],
    ["p", subject, "/a/hole", "read", "deny"],
  );
  const question = { action: "read", key: bytes("/a/"), rangeEnd: bytes("/a0") };
  const own = await (await world.as(subject)).policyAsk(question);
  assert.equal(own.allowed, false);
  assert.deepEqual(own.row?.fields ?? [], []);
  const told = await world.admin.policyAsk({ ...question, subject });
  assert.ok(told.row?.fields.includes("/a/hole"));
});

test("refusal 13: a probe of another tenant is recorded with who probed", async () => {
  const token = await world.token("user:prober");
  await failure(
    world.connect({ token, tenant: "nowhere" }).range({ key: bytes("/a") }),
    "permission-denied",
  );
  const record = world.audit().findLast(({ action }) => action === "range");
  assert.equal(record?.outcome, "refused");
  assert.equal(record.actor.subject, "user:prober");
});

test("refusal 15: the trail of one tenant does not name another", async () => {
  const client = await world.as("user:admin", { tenants: ["default", "system"] });
  await client.tenantCreate({ name: "other-corp", owner: "user:other" });
  const { lines } = await world.admin.auditSearch({ limit: 1000n });
  assert.ok(lines.length > 0);
  assert.equal(lines.filter((line) => line.includes("other-corp")).length, 0);
  assert.ok(world.audit().some(({ key, tenant }) => key === "other-corp" && tenant === "cluster"));
});

test("the right to issue tokens alone lets nobody speak as another", async () => {
  const subject = "user:clerk";
  await world.grant(["p", subject, "token/issue", "admin", "allow"]);
  const clerk = await world.as(subject);
  const order = { tenants: [], groups: [], ttlSeconds: 60n };
  await failure(clerk.tokenIssue({ ...order, subject: "user:admin" }), "permission-denied");
  await failure(clerk.tokenIssue({ ...order, subject, groups: ["admins"] }), "permission-denied");
  assert.notEqual((await clerk.tokenIssue({ ...order, subject })).token, "");
});

test("refusal 57: bodies of calls that nobody has looked at are bounded, all together", async () => {
  const session = connectHttp2(world.endpoint, { ca: world.authority.certificate });
  await once(session, "connect");
  const message = Buffer.alloc(5 + 1024 * 1024);
  message.writeUInt32BE(2 * 1024 * 1024 - 5, 1);
  const statuses: unknown[] = [];
  const refused = new Promise<void>((resolve) => {
    for (let n = 0; n < 80; n++) {
      const stream = session.request({
        ":method": "POST",
        ":path": "/etcdserverpb.KV/Put",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => undefined);
      stream.on("response", (headers) => {
        statuses.push(headers["grpc-message"]);
        resolve();
      });
      stream.write(message);
    }
  });
  await refused;
  assert.match(String(statuses[0]), /too many requests/);
  session.destroy();
  await closed(session);
  await world.admin.put({ key: bytes("/still"), value: bytes("v") });
});

test("operators that were taken away do not come back at the next start", async () => {
  const operator = await world.as("user:admin", { tenants: ["system", "default"] });
  const { rows } = await operator.policyList({});
  await operator.policyChange({ remove: rows });
  await world.restart();
  const again = await world.as("user:admin", { tenants: ["system", "default"] });
  await failure(again.policyList({}), "permission-denied");
});
