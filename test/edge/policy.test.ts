import assert from "node:assert/strict";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { openRaftLog } from "../../src/storage/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { decodeBatch } from "../../src/wire/mod.ts";
import { createWatch, watching } from "./streams.ts";
import { type World, assertRefused, bytes, failure, startWorld } from "./world.ts";
import { macsOfMember } from "../setup/member-macs.ts";

/** Refusals 44 and 46 to 48, and what policy does to work that is under way. */

let world: World;

before(async () => {
  world = await startWorld();
});

after(() => world[Symbol.asyncDispose]());

const key = bytes("/k");

test("refusal 44: rows that casbin would misread are refused when written", async () => {
  const bad = [
    ["p", "user:eve", "*", "*", "Allow"],
    ["p", "user:eve", "*", "*", ""],
    ["p", "user:eve", "*", "*"],
    ["p", "user:eve", "/a*b", "read", "allow"],
    ["p", "", "*", "*", "allow"],
    ["p", "role:x\np, user:eve", "*", "*", "allow"],
    ["g", "role:owner", "user:eve"],
    ["p2", "user:eve", "*", "*", "allow"],
  ];
  const { policyRevision } = await world.admin.policyList();
  for (const fields of bad) {
    await failure(world.admin.policyChange({ add: [{ fields }] }), "invalid-argument");
  }
  assert.equal((await world.admin.policyList()).policyRevision, policyRevision);
  const subject = "user:eve";
  const client = await world.as(subject);
  await assertRefused(world, { subject, action: "range" }, () => client.range({ key }));
});

test("refusal 46: policy removed while a watch runs cancels that watch, and its stream goes on", async () => {
  const subject = "user:watcher";
  const rows = ["/k", "/other"].map((object) => ["p", subject, object, "watch", "allow"]);
  await world.grant(...rows);
  const client = await world.as(subject);
  const { watch } = await createWatch(client, { key, watchId: 7n });
  watch.create({ key: bytes("/other"), watchId: 8n });
  await watch.until((response) => response.created && response.watchId === 8n);
  await world.admin.put({ key, value: bytes("seen") });
  await watch.until((response) => response.events.length > 0);
  await world.revoke(["p", subject, "/k", "watch", "allow"]);
  const canceled = await watch.until((response) => response.canceled);
  assert.equal(canceled.watchId, 7n);
  assert.match(canceled.cancelReason, /etcdserver: permission denied/);
  await world.admin.put({ key, value: bytes("not seen") });
  await world.admin.put({ key: bytes("/other"), value: bytes("seen") });
  await watch.until((response) => response.watchId === 8n && response.events.length > 0);
  const values = watch.responses
    .flatMap((response) => response.events)
    .map((event) => Buffer.from(event.kv?.value ?? []).toString());
  assert.deepEqual(values, ["seen", "seen"]);
  await watch[Symbol.asyncDispose]();
  const record = world.audit().findLast(({ action }) => action === "watch-recheck");
  assert.deepEqual([record?.outcome, record?.actor.subject], ["refused", subject]);
});

test("refusal 46: a write that follows the removal in the same turn is not shown", async () => {
  const subject = "user:racer";
  const row = ["p", subject, "/race", "watch", "allow"];
  for (let round = 0; round < 5; round++) {
    await world.grant(row);
    const client = await world.as(subject);
    const { watch } = await createWatch(client, { key: bytes("/race") });
    // Sent together on one connection, so they are mostly proposed in one batch.
    const removal = world.revoke(row);
    const after = [1, 2, 3].map((n) =>
      world.admin.put({ key: bytes("/race"), value: bytes(`${round}.${n}`) }),
    );
    await Promise.all([removal, ...after]);
    await watch.until((response) => response.canceled);
    const shown = watch.responses.flatMap(({ events }) => events);
    await watch[Symbol.asyncDispose]();
    assert.deepEqual(shown, [], `round ${round}`);
  }
});

test("refusal 46: the end of a token ends its watch stream", async () => {
  const subject = "user:brief";
  await world.grant(["p", subject, "/k", "watch", "allow"]);
  const client = await world.as(subject, { ttlSeconds: 2 });
  const watch = watching(client);
  watch.create({ key });
  await watch.until((response) => response.created);
  assert.equal((await watch.ended)?.code, "invalid-token");
});

test("refusal 48: without any policy all is refused, to the owner too", async () => {
  const subject = "user:owner";
  const tenants = ["bare"];
  await world.admin.tenantCreate({ name: "bare", owner: subject });
  const client = await world.as(subject, { tenants });
  await client.put({ key, value: bytes("kept") });
  const { rows } = await client.policyList();
  await client.policyChange({ remove: rows });
  const seen = world.audit().at(-1)?.seq ?? 0;
  const calls: readonly ((c: Client) => Promise<unknown>)[] = [
    (c) => c.range({ key }),
    (c) => c.put({ key }),
    (c) => c.deleteRange({ key }),
    (c) => c.leaseGrant({ TTL: 60n }),
    (c) => c.policyList(),
    (c) => c.policyChange({ add: rows }),
    (c) => c.status(),
    (c) => c.whoAmI(),
    (c) => c.history({ key }),
  ];
  for (const call of calls) await failure(call(client), "permission-denied");
  const { watch, created } = await createWatch(client, { key });
  assert.equal(created.canceled, true);
  await watch[Symbol.asyncDispose]();
  const records = world.audit().filter(({ seq, action }) => seq > seen && action !== "watch-open");
  assert.deepEqual([...new Set(records.map(({ outcome }) => outcome))], ["refused"]);
  assert.equal(records.length, calls.length + 1);
  // Even an operator, who is bound to every tenant, has no right there.
  const operator = await world.as("user:admin", { tenants: ["bare", "system"] });
  await failure(operator.range({ key }), "permission-denied");
});

/** Puts one after the other until told to stop; how many were refused. */
async function writeOn(client: Client, name: string, stop: () => boolean): Promise<number> {
  let refused = 0;
  for (let n = name.length; !stop(); n++) {
    // Pauses that differ, so that writers and the operator do not fall into one rhythm.
    for (let turn = 0; turn < (n * 7) % 5; turn++) await setImmediate();
    try {
      await client.put({ key: bytes(`/p/${name}`) });
    } catch (error) {
      if (!(error instanceof CofferError) || error.code !== "permission-denied") throw error;
      refused++;
    }
  }
  return refused;
}

const WRITERS: readonly string[] = Array.from({ length: 16 }, (_, n) => `w${n}`);

test("refusal 47: no write is applied that the policy at its place in the log forbids", async () => {
  const subject = "user:writer";
  const row = ["p", subject, "/p/*", "write", "allow"];
  let done = false;
  // Each on a connection of its own, so that some are read after the operator's in one turn.
  const clients = await Promise.all(WRITERS.map(() => world.as(subject)));
  const writers = WRITERS.map((name, at) => writeOn(clients[at] ?? world.admin, name, () => done));
  for (let round = 0; round < 30; round++) {
    await world.grant(row);
    // The removal comes at another moment of the writers' turns each time.
    for (let turn = 0; turn < round % 9; turn++) await setImmediate();
    await world.revoke(row);
  }
  done = true;
  const refused = (await Promise.all(writers)).reduce((sum, one) => sum + one, 0);
  const records = world.audit().filter((record) => record.actor.subject === subject);
  const outcomes = records.filter(({ action }) => action === "put").map(({ outcome }) => outcome);
  assert.equal(outcomes.filter((outcome) => outcome === "refused").length, refused);
  assert.equal(outcomes.filter((outcome) => outcome === "failed").length, 0);
  const applied = await appliedRequests();
  assert.ok(applied.size > 0 && refused > 0, `${applied.size} applied, ${refused} refused`);
  await world.stop();

  const log = openRaftLog({
    mac: (await macsOfMember(world.dataDir, world.rootKeyFile)).raftLog,
    path: join(world.dataDir, "raft.db"),
    log: silentLogger,
  });
  const entries = log.entries(log.firstIndex, log.lastIndex + 1, Number.POSITIVE_INFINITY);
  log.close();
  let granted = false;
  let overtaken = 0;
  const allowed = new Set<string>();
  for (const { data } of entries.filter((entry) => entry.data.length > 0)) {
    for (const { actor, command } of decodeBatch(data).proposals) {
      if (command.kind === "records") {
        const change = command.changes.find(({ id }) => id.includes(subject));
        if (change !== undefined) granted = change.data !== undefined;
      } else if (actor.subject === subject && granted) {
        allowed.add(actor.requestId);
      } else if (actor.subject === subject) {
        overtaken++;
      }
    }
  }
  // Some writes were proposed under a policy that had gone when their place in the log came.
  assert.ok(overtaken > 0, "no write was overtaken: the test has tested nothing");
  for (const requestId of applied) assert.ok(allowed.has(requestId), requestId);
});

/** The requests of the writers that changed a key. */
async function appliedRequests(): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const name of WRITERS) {
    const { items } = await world.admin.history({ key: bytes(`/p/${name}`), limit: 1000n });
    for (const { actor } of items) found.add(actor?.requestId ?? "");
  }
  return found;
}
