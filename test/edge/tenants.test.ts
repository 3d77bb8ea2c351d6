import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { CofferError, errorRow } from "../../src/errors.ts";
import { createWatch, watching } from "./streams.ts";
import { type World, assertRefused, bytes, failure, startWorld } from "./world.ts";

/** Refusals 14 to 19: the borders between tenants, and between them and the cluster. */

let world: World;
/** An operator who asks in the system scope. */
let operator: Client;

before(async () => {
  world = await startWorld();
  operator = await world.as("user:admin", { tenants: ["system"] });
});

after(() => world[Symbol.asyncDispose]());

/** Makes a tenant, and a client of its owner. */
async function newTenant(name: string): Promise<Client> {
  const owner = `user:${name}-owner`;
  await operator.tenantCreate({ name, owner });
  return await world.as(owner, { tenants: [name] });
}

async function names(): Promise<readonly string[]> {
  return (await operator.tenantList()).tenants.map(({ name }) => name);
}

/** The text that a request ends with. */
async function answer(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "ok",
    (error: unknown) => {
      if (error instanceof CofferError) return error.message;
      throw error;
    },
  );
}

/** What one may ask of a tenant's keys, with the action of the record. */
const OF_KEYS: readonly (readonly [string, (c: Client) => Promise<unknown>])[] = [
  ["range", (c) => c.range({ key: bytes("/k") })],
  ["range", (c) => c.range({ key: bytes("/k"), serializable: true })],
  ["put", (c) => c.put({ key: bytes("/k"), value: bytes("v") })],
  ["delete-range", (c) => c.deleteRange({ key: bytes("/k") })],
  ["txn", (c) => c.txn({ compare: [{ key: bytes("/k") }] })],
  ["txn", (c) => c.txn({})],
  ["compact", (c) => c.compact({ revision: 1n })],
  ["lease-grant", (c) => c.leaseGrant({ TTL: 60n })],
  ["lease-list", (c) => c.leaseLeases()],
  ["history", (c) => c.history({ key: bytes("/k") })],
  ["hash-kv", (c) => c.hashKv()],
  ["policy-list", (c) => c.policyList()],
  ["audit-search", (c) => c.auditSearch({})],
  ["whoami", (c) => c.whoAmI()],
  ["watch-open", (c) => watchOnce(c)],
];

/** A stream that is refused as it is opened. */
async function watchOnce(client: Client): Promise<void> {
  await using watch = watching(client);
  watch.create({ key: bytes("/k") });
  const error = await watch.ended;
  if (error !== undefined) throw error;
}

test("refusal 13: a token of one tenant that names another, or none that exists", async () => {
  await newTenant("near");
  const far = await newTenant("far");
  await far.put({ key: bytes("/k"), value: bytes("v") });
  const subject = "user:near-owner";
  // What the other tenant has granted to a subject of that name is of no use to the token.
  await far.policyChange({ add: [{ fields: ["g", subject, "role:owner"] }] });
  const { tenant } = await operator.tenantShow({ name: "far" });
  const { header } = await far.range({ key: bytes("/k") });
  const token = await world.token(subject, { tenants: ["near"] });
  const told = new Set<string>();
  for (const name of ["far", "nowhere", "default", "FAR", "far/../near", "*", "system"]) {
    const client = world.connect({ token, tenant: name });
    const isPlain = name === "far" || name === "nowhere";
    for (const [action, request] of isPlain ? OF_KEYS : OF_KEYS.slice(0, 3)) {
      const record = await assertRefused(world, { subject, action }, () => request(client));
      assert.equal(record.tenant, "");
      told.add(record.reason);
    }
  }
  assert.equal(told.size, 1, [...told].join("\n"));
  const { kvs, header: now } = await far.range({ key: bytes("/k") });
  assert.deepEqual([now?.revision, kvs.length], [header?.revision, 1]);
  const { lines } = await far.auditSearch({ limit: 1000n });
  assert.ok(lines.length > 0 && !lines.some((line) => line.includes(`"subject":"${subject}"`)));
  assert.equal((await operator.tenantShow({ name: "far" })).tenant?.id, tenant?.id);
});

test("refusal 16: a role of one tenant gives nothing in another", async () => {
  const [one, two] = [await newTenant("role-one"), await newTenant("role-two")];
  const subject = "user:crossing";
  const right = { fields: ["p", "role:all", "*", "*", "allow"] };
  await one.policyChange({ add: [right, { fields: ["g", subject, "role:all"] }] });
  // The role is there too, and so are others that the subject has, all but who has it.
  await two.policyChange({ add: [right, { fields: ["g", "user:other", "role:all"] }] });
  const token = await world.token(subject, { tenants: ["role-one", "role-two"] });
  await world.connect({ token, tenant: "role-one" }).put({ key: bytes("/k") });
  const client = world.connect({ token, tenant: "role-two" });
  for (const [action, request] of OF_KEYS.filter(([name]) => name !== "watch-open")) {
    await assertRefused(world, { subject, action }, () => request(client));
  }
  const { created, watch } = await createWatch(client, { key: bytes("/k") });
  assert.ok(created.canceled);
  await watch[Symbol.asyncDispose]();
  const { header } = await two.range({ key: bytes("/k") });
  assert.equal(header?.revision, 1n);
});

const RESERVED = ["root", "sys", "system", "auth", "cluster"];
const ODD = [
  "",
  ".",
  "..",
  "*",
  "a/b",
  "Blue",
  "BLUE",
  " blue",
  "blue ",
  "-blue",
  "blue-",
  "b_lue",
];
const ODDER = ["b.lue", "blü", "blue\n", "blue\0", "a,b", "%62lue", "${x}", "../default"];
const BAD_NAMES = [...RESERVED, ...ODD, ...ODDER, "b".repeat(64)];

test("refusal 14: names that are reserved, empty or hold odd characters", async () => {
  await newTenant("named");
  const known = await names();
  const seen = world.audit().at(-1)?.seq ?? 0;
  for (const name of BAD_NAMES) {
    const made = await failure(
      operator.tenantCreate({ name, owner: "user:a" }),
      "invalid-argument",
    );
    assert.match(made.message, /tenant name/);
    const renamed = operator.tenantUpdate({ name: "named", newName: name });
    await failure(renamed, "invalid-argument");
  }
  const records = world
    .audit()
    .filter(({ seq, action }) => seq > seen && action.startsWith("tenant-"))
    .map(({ action, outcome, reason }) => `${action} ${outcome} ${reason}`);
  const both = ["tenant-create", "tenant-update"].map((one) => `${one} failed invalid-argument`);
  assert.deepEqual(
    records,
    BAD_NAMES.flatMap(() => both),
  );
  assert.deepEqual(await names(), known);
  await operator.tenantCreate({ name: "b".repeat(63), owner: "user:a" });
  await operator.tenantCreate({ name: "0-9", owner: "user:a" });
});

test("refusal 15: a name that begins another's opens and tells nothing of it", async () => {
  const acme = await newTenant("acme");
  const corp = await newTenant("acme-corp");
  await corp.put({ key: bytes("/k"), value: bytes("corp") });
  assert.equal((await acme.range({ key: bytes("/k") })).kvs.length, 0);
  const token = await world.token("user:acme-owner", { tenants: ["acme"] });
  const asked = async (tenant: string): Promise<string> =>
    await answer(world.connect({ token, tenant }).range({ key: bytes("/k") }));
  const denied = errorRow("permission-denied").text;
  for (const tenant of ["acme-corp", "acme-cor", "acm", "acme-", "nobody"]) {
    assert.equal(await asked(tenant), denied, tenant);
  }
  assert.deepEqual(
    (await acme.tenantList()).tenants.map(({ name }) => name),
    ["acme"],
  );
  const shown = await Promise.all(
    ["acme-corp", "acme-cor"].map((name) => answer(acme.tenantShow({ name }))),
  );
  assert.deepEqual(shown, [denied, denied]);
});

test("a member of a tenant sees its limits and usage, and no other's", async () => {
  const owner = await newTenant("seen");
  await operator.tenantUpdate({ name: "seen", limits: { keys: 5n } });
  await owner.put({ key: bytes("/a"), value: bytes("v") });
  const { tenant } = await owner.tenantShow({ name: "seen" });
  assert.deepEqual([tenant?.limits?.keys, tenant?.usage?.keys], [5n, 1n]);
  // Bound to the tenant, but no right in it.
  const stranger = await world.as("user:stranger", { tenants: ["seen"] });
  await failure(stranger.tenantShow({ name: "seen" }), "permission-denied");
  await failure(stranger.tenantList(), "permission-denied");
});

test("the list comes in pages, by name", async () => {
  const all = await names();
  assert.deepEqual(all, all.toSorted());
  const paged: string[] = [];
  for (let more = true; more;) {
    const page = await operator.tenantList({ after: paged.at(-1) ?? "", limit: 2n });
    assert.ok(page.tenants.length <= 2);
    paged.push(...page.tenants.map(({ name }) => name));
    more = page.more;
  }
  assert.deepEqual(paged, all);
});

test("refusal 17: what a deleted tenant left is dead when its name is given again", async () => {
  const old = await newTenant("phoenix");
  await old.put({ key: bytes("/k"), value: bytes("before") });
  await old.leaseGrant({ ID: 77n, TTL: 6000n });
  const { watch } = await createWatch(old, { key: bytes("/k") });
  await using alive = old.keepAlive();
  alive.renew(77n);
  const renewals = alive.replies();
  assert.equal((await renewals.next()).value?.TTL, 6000n);
  const before = await operator.tenantShow({ name: "phoenix" });
  await operator.tenantDelete({ name: "phoenix" });
  assert.equal((await watch.ended)?.code, "permission-denied");
  alive.renew(77n);
  await failure(renewals.next(), "permission-denied");
  await failure(old.range({ key: bytes("/k") }), "permission-denied");
  await operator.tenantCreate({ name: "phoenix", owner: "user:phoenix-owner" });
  // The same subject of the same name, which even owns the new one: but the token is of the old one.
  const expected = { subject: "user:phoenix-owner", action: "range" };
  await assertRefused(world, expected, () => old.range({ key: bytes("/k") }));
  await failure(old.put({ key: bytes("/k"), value: bytes("v") }), "permission-denied");
  const stream = watching(old);
  stream.create({ key: bytes("/k") });
  assert.equal((await stream.ended)?.code, "permission-denied");
  const fresh = await world.as("user:phoenix-owner", { tenants: ["phoenix"] });
  const { kvs, header } = await fresh.range({ key: bytes("/k") });
  assert.deepEqual([kvs.length, header?.revision], [0, 1n]);
  assert.equal((await fresh.leaseTimeToLive({ ID: 77n })).TTL, -1n);
  assert.equal((await fresh.history({ key: bytes("/k") })).items.length, 0);
  const now = await operator.tenantShow({ name: "phoenix" });
  assert.notEqual(now.tenant?.id, before.tenant?.id);
  assert.deepEqual([now.tenant?.usage?.keys, now.tenant?.usage?.leases], [0n, 0n]);
});

test("refusal 17: a token for a name that was taken away does not follow it to another tenant", async () => {
  const old = await newTenant("first-owner");
  await old.put({ key: bytes("/k"), value: bytes("v") });
  await operator.tenantUpdate({ name: "first-owner", newName: "moved" });
  await failure(old.range({ key: bytes("/k") }), "permission-denied");
  // Who has the name now grants the subject everything, and the old token still opens nothing of it.
  const other = await newTenant("second");
  await operator.tenantUpdate({ name: "second", newName: "first-owner" });
  await failure(other.range({ key: bytes("/k") }), "permission-denied");
  const owner = await world.as("user:second-owner", { tenants: ["first-owner"] });
  const row = { fields: ["g", "user:first-owner-owner", "role:owner"] };
  await owner.policyChange({ add: [row] });
  await failure(old.range({ key: bytes("/k") }), "permission-denied");
});

test("a renamed tenant keeps its keys and its running watches, but makes none by the old name", async () => {
  const old = await newTenant("before-it");
  const { watch } = await createWatch(old, { key: bytes("/k") });
  await operator.tenantUpdate({ name: "before-it", newName: "after-it" });
  const renamed = await world.as("user:before-it-owner", { tenants: ["after-it"] });
  await renamed.put({ key: bytes("/k"), value: bytes("v") });
  const { events } = await watch.until((response) => response.events.length > 0);
  assert.equal(Buffer.from(events[0]?.kv?.value ?? []).toString(), "v");
  watch.create({ key: bytes("/other") });
  const refused = await watch.until(({ created, canceled }) => created && canceled);
  assert.match(refused.cancelReason, /permission denied/);
  await watch[Symbol.asyncDispose]();
});

test("a stream of a renamed tenant takes no watch by the rights that its name has with another", async () => {
  const reader = { fields: ["g", "user:star", "role:reader"] };
  const first = await newTenant("two-lives");
  await first.policyChange({ add: [reader] });
  // Bound to all, so that it may use whichever tenant has the name.
  const token = await world.token("user:star", { tenants: ["*"] });
  const star = world.connect({ token, tenant: "two-lives" });
  const { watch } = await createWatch(star, { key: bytes("/k") });
  await operator.tenantUpdate({ name: "two-lives", newName: "former-life" });
  const second = await newTenant("two-lives");
  await second.policyChange({ add: [reader] });
  await star.range({ key: bytes("/k") });
  watch.create({ key: bytes("/secret") });
  const isAnswer = ({ created }: { readonly created: boolean }): boolean => created;
  await watch.until(() => watch.responses.filter(isAnswer).length === 2);
  const refused = watch.responses.findLast(isAnswer);
  assert.ok(refused?.canceled);
  assert.match(refused.cancelReason, /permission denied/);
  await watch[Symbol.asyncDispose]();
});

test("refusal 18: leases and watches of another tenant are as unknown ones", async () => {
  const blue = await newTenant("lease-blue");
  const red = await newTenant("lease-red");
  const [theirs, unknown] = [0x51n, 0x52n];
  await blue.leaseGrant({ ID: theirs, TTL: 6000n });
  await blue.put({ key: bytes("/k"), lease: theirs });
  const { watch } = await createWatch(blue, { key: bytes("/k"), watchId: 9n });
  const answers = async (ID: bigint): Promise<unknown> => {
    const { TTL, grantedTTL, keys } = await red.leaseTimeToLive({ ID, keys: true });
    await using stream = red.keepAlive();
    stream.renew(ID);
    const { value: renewed } = await stream.replies().next();
    return {
      revoke: await answer(red.leaseRevoke({ ID })),
      put: await answer(red.put({ key: bytes("/k"), lease: ID })),
      TTL,
      grantedTTL,
      keys,
      renewed: renewed?.TTL,
    };
  };
  assert.deepEqual(await answers(theirs), await answers(unknown));
  assert.deepEqual((await red.leaseLeases()).leases, []);
  // The id is free here, as each tenant counts its own.
  assert.equal((await red.leaseGrant({ ID: theirs, TTL: 6000n })).ID, theirs);
  // Cancelling what is not of the stream has no answer, whoever has it.
  const { watch: own } = await createWatch(red, { key: bytes("/k"), watchId: 1n });
  own.cancel(9n);
  own.cancel(10n);
  own.cancel(1n);
  const first = await own.until(({ canceled }) => canceled);
  assert.equal(first.watchId, 1n);
  // Red's revocation of its own lease of that id leaves blue's.
  await red.leaseRevoke({ ID: theirs });
  assert.equal((await blue.range({ key: bytes("/k") })).kvs.length, 1);
  await blue.put({ key: bytes("/k"), value: bytes("seen") });
  await watch.until(({ events }) => events.length > 0);
  await Promise.all([watch, own].map((stream) => stream[Symbol.asyncDispose]()));
});

const CLUSTER_REQUESTS: readonly (readonly [string, (c: Client) => Promise<unknown>])[] = [
  ["member-add", (c) => c.memberAdd({ peerURLs: ["https://m9:2380"] })],
  ["member-remove", (c) => c.memberRemove({ ID: 1n })],
  ["member-update", (c) => c.memberUpdate({ ID: 1n, peerURLs: ["https://m9:2380"] })],
  ["member-promote", (c) => c.memberPromote({ ID: 1n })],
  ["move-leader", (c) => c.moveLeader({ targetID: 1n })],
  ["tenant-create", (c) => c.tenantCreate({ name: "mine", owner: "user:eve" })],
  ["tenant-update", (c) => c.tenantUpdate({ name: "eves", limits: { keys: -1n } })],
  ["tenant-update", (c) => c.tenantUpdate({ name: "eves", newName: "eve" })],
  ["tenant-update", (c) => c.tenantUpdate({ name: "default", suspended: true })],
  ["tenant-delete", (c) => c.tenantDelete({ name: "default" })],
  ["tenant-delete", (c) => c.tenantDelete({ name: "eves" })],
  ["tenant-show", (c) => c.tenantShow({ name: "default" })],
  ["tenant-show", (c) => c.tenantShow({ name: "nowhere" })],
  ["issuer-add", (c) => c.issuerAdd({ record: bytes("{}") })],
  ["issuer-list", (c) => c.issuerList()],
  ["issuer-show", (c) => c.issuerShow({ issuer: "coffer" })],
  ["issuer-remove", (c) => c.issuerRemove({ issuer: "coffer" })],
  ["certificate-rule-add", (c) => c.certificateRuleAdd({ record: bytes("{}") })],
  ["certificate-rule-list", (c) => c.certificateRuleList()],
  ["certificate-rule-remove", (c) => c.certificateRuleRemove({ name: "default" })],
  ["certificate-test", (c) => c.certificateTest({ certificate: bytes("x") })],
  ["token-rotate-key", (c) => c.tokenRotateKey()],
  ["token-rotate-key", (c) => c.tokenRotateKey({ dropFormer: true })],
  ["token-issue", (c) => c.tokenIssue({ subject: "user:e", tenants: ["*"], ttlSeconds: 9n })],
  ["token-issue", (c) => c.tokenIssue({ subject: "user:e", tenants: ["system"], ttlSeconds: 9n })],
  ["token-issue", (c) => c.tokenIssue({ subject: "user:e", tenants: ["default"], ttlSeconds: 9n })],
];

test("refusal 19: a tenant's administrator has no say over the cluster, nor over its own limits", async () => {
  const subject = "user:eve";
  await operator.tenantCreate({ name: "eves", owner: subject, limits: { keys: 3n } });
  // Even with rows of its own that grant these matters: they count in the tenant alone.
  const eve = await world.as(subject, { tenants: ["eves"] });
  await eve.policyChange({ add: [{ fields: ["p", subject, "*", "admin", "allow"] }] });
  for (const [action, request] of CLUSTER_REQUESTS) {
    await assertRefused(world, { subject, action }, () => request(eve));
  }
  const token = await world.token(subject, { tenants: ["eves"] });
  await failure(world.connect({ token, tenant: "system" }).tenantList(), "permission-denied");
});
