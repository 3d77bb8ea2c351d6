import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http2";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import type { Edge } from "../../src/edge/mod.ts";
import { CofferError, type ErrorCode, errorRow } from "../../src/errors.ts";
import { repositoryRoot } from "../tidy/sources.ts";
import { rawCall, rawSession } from "./raw.ts";
import { createWatch, watching } from "./streams.ts";
import { type World, bytes, startWorld, stateOf } from "./world.ts";

/**
 * Refusal 20: every request of the one gate, asked by those who may not. The table has a row for each
 * method of `Edge` or does not compile.
 */

type Answer = "ok" | ErrorCode;

interface Row {
  /** The request over the wire. */
  readonly call: (client: Client) => Promise<unknown>;
  /** The audit record's action; undefined: none is written, since anyone may ask. */
  readonly action: string | undefined;
  /** A valid token whose subject no policy row names. */
  readonly stranger: Answer;
  /** A subject with role:reader. */
  readonly reader: Answer;
}

const DENIED = "permission-denied";
const key = bytes("/k");
const ID = 0x7001n;
const revokeEve = {
  target: { target: { $case: "token" as const, value: { issuer: "", tokenId: "eve" } } },
};
const row = { fields: ["p", "user:eve", "*", "*", "allow"] };

/** One reply of a stream, or its failure. */
async function firstOf<T>(replies: AsyncGenerator<T>): Promise<T | undefined> {
  for await (const reply of replies) return reply;
  return undefined;
}

/** A watch that is refused ends alone and not its stream; it fails here like any other request. */
async function watchOnce(client: Client): Promise<void> {
  await using watch = watching(client);
  watch.create({ key });
  const created = await watch.until((response) => response.created);
  if (created.canceled) throw new CofferError(DENIED);
}

/**
 * All but what answers no request, since it only waits for one that has been answered, and what is asked
 * over HTTP alone (tenant-metrics.test.ts).
 */
type Request = Exclude<keyof Edge, "whileLeader" | "tenantMetrics">;

const METHODS: { readonly [method in Request]: Row } = {
  range: { call: (c) => c.range({ key }), action: "range", stranger: DENIED, reader: "ok" },
  put: { call: (c) => c.put({ key }), action: "put", stranger: DENIED, reader: DENIED },
  deleteRange: {
    call: (c) => c.deleteRange({ key }),
    action: "delete-range",
    stranger: DENIED,
    reader: DENIED,
  },
  txn: {
    call: (c) => c.txn({ success: [{ request: { $case: "requestPut", value: { key } } }] }),
    action: "txn",
    stranger: DENIED,
    reader: DENIED,
  },
  compact: {
    call: (c) => c.compact({ revision: 1n }),
    action: "compact",
    stranger: DENIED,
    reader: DENIED,
  },
  watch: { call: watchOnce, action: "watch", stranger: DENIED, reader: "ok" },
  leaseGrant: {
    call: (c) => c.leaseGrant({ TTL: 600n }),
    action: "lease-grant",
    stranger: DENIED,
    reader: DENIED,
  },
  leaseRevoke: {
    call: (c) => c.leaseRevoke({ ID }),
    action: "lease-revoke",
    stranger: DENIED,
    reader: DENIED,
  },
  leaseKeepAlive: {
    call: async (c) => {
      await using stream = c.keepAlive();
      stream.renew(ID);
      await firstOf(stream.replies());
    },
    action: "lease-keep-alive",
    stranger: DENIED,
    reader: DENIED,
  },
  leaseTimeToLive: {
    call: (c) => c.leaseTimeToLive({ ID }),
    action: "lease-time-to-live",
    stranger: DENIED,
    reader: DENIED,
  },
  leaseLeases: {
    call: (c) => c.leaseLeases(),
    action: "lease-list",
    stranger: DENIED,
    reader: DENIED,
  },
  status: { call: (c) => c.status(), action: "status", stranger: DENIED, reader: "ok" },
  memberList: {
    call: (c) => c.memberList(),
    action: "member-list",
    stranger: DENIED,
    reader: "ok",
  },
  clusterStatus: {
    call: (c) => c.clusterStatus(),
    action: "cluster-status",
    stranger: DENIED,
    reader: "ok",
  },
  memberAdd: {
    call: (c) => c.memberAdd({ peerURLs: ["https://m9:2380"], isLearner: true }),
    action: "member-add",
    stranger: DENIED,
    reader: DENIED,
  },
  memberRemove: {
    call: (c) => c.memberRemove({ ID }),
    action: "member-remove",
    stranger: DENIED,
    reader: DENIED,
  },
  memberUpdate: {
    call: (c) => c.memberUpdate({ ID, peerURLs: ["https://m9:2380"] }),
    action: "member-update",
    stranger: DENIED,
    reader: DENIED,
  },
  memberPromote: {
    call: (c) => c.memberPromote({ ID }),
    action: "member-promote",
    stranger: DENIED,
    reader: DENIED,
  },
  moveLeader: {
    call: (c) => c.moveLeader({ targetID: ID }),
    action: "move-leader",
    stranger: DENIED,
    reader: DENIED,
  },
  hashKv: { call: (c) => c.hashKv(), action: "hash-kv", stranger: DENIED, reader: "ok" },
  alarms: { call: (c) => c.alarm(), action: "alarm-list", stranger: DENIED, reader: "ok" },
  health: { call: (c) => c.healthCheck(), action: undefined, stranger: "ok", reader: "ok" },
  tenantCreate: {
    call: (c) => c.tenantCreate({ name: "eve", owner: "user:eve" }),
    action: "tenant-create",
    stranger: DENIED,
    reader: DENIED,
  },
  tenantList: {
    call: (c) => c.tenantList(),
    action: "tenant-list",
    stranger: DENIED,
    reader: "ok",
  },
  tenantShow: {
    call: (c) => c.tenantShow({ name: "default" }),
    action: "tenant-show",
    stranger: DENIED,
    reader: "ok",
  },
  tenantUpdate: {
    call: (c) => c.tenantUpdate({ name: "default", suspended: true }),
    action: "tenant-update",
    stranger: DENIED,
    reader: DENIED,
  },
  tenantDelete: {
    call: (c) => c.tenantDelete({ name: "default" }),
    action: "tenant-delete",
    stranger: DENIED,
    reader: DENIED,
  },
  policyList: {
    call: (c) => c.policyList(),
    action: "policy-list",
    stranger: DENIED,
    reader: DENIED,
  },
  policyChange: {
    call: (c) => c.policyChange({ add: [row] }),
    action: "policy-change",
    stranger: DENIED,
    reader: DENIED,
  },
  policyAsk: {
    call: (c) => c.policyAsk({ subject: "user:admin", action: "read", key }),
    action: "policy-ask",
    stranger: DENIED,
    reader: DENIED,
  },
  policyWhoCan: {
    call: (c) => c.policyWhoCan({ action: "read", key }),
    action: "policy-who-can",
    stranger: DENIED,
    reader: DENIED,
  },
  policyExplain: {
    call: (c) => c.policyExplain({ action: "read", key }),
    action: "policy-explain",
    stranger: DENIED,
    reader: DENIED,
  },
  policyTry: {
    call: (c) => c.policyTry({ add: [row] }),
    action: "policy-try",
    stranger: DENIED,
    reader: DENIED,
  },
  tokenIssue: {
    call: (c) => c.tokenIssue({ subject: "user:eve", ttlSeconds: 60n }),
    action: "token-issue",
    stranger: DENIED,
    reader: DENIED,
  },
  tokenRotateKey: {
    call: (c) => c.tokenRotateKey(),
    action: "token-rotate-key",
    stranger: DENIED,
    reader: DENIED,
  },
  tokenRevoke: {
    call: (c) => c.tokenRevoke(revokeEve),
    action: "token-revoke",
    stranger: DENIED,
    reader: DENIED,
  },
  tokenRevocations: {
    call: (c) => c.tokenRevocations(),
    action: "token-revocations",
    stranger: DENIED,
    reader: DENIED,
  },
  tokenUnrevoke: {
    call: (c) => c.tokenUnrevoke({ id: "0" }),
    action: "token-unrevoke",
    stranger: DENIED,
    reader: DENIED,
  },
  certificateRuleAdd: {
    call: (c) => c.certificateRuleAdd({ record: bytes("{}") }),
    action: "certificate-rule-add",
    stranger: DENIED,
    reader: DENIED,
  },
  certificateRuleList: {
    call: (c) => c.certificateRuleList(),
    action: "certificate-rule-list",
    stranger: DENIED,
    reader: DENIED,
  },
  certificateRuleRemove: {
    call: (c) => c.certificateRuleRemove({ name: "default" }),
    action: "certificate-rule-remove",
    stranger: DENIED,
    reader: DENIED,
  },
  certificateTest: {
    call: (c) => c.certificateTest({ certificate: bytes("x") }),
    action: "certificate-test",
    stranger: DENIED,
    reader: DENIED,
  },
  issuerAdd: {
    call: (c) => c.issuerAdd({ record: bytes("{}") }),
    action: "issuer-add",
    stranger: DENIED,
    reader: DENIED,
  },
  issuerList: {
    call: (c) => c.issuerList(),
    action: "issuer-list",
    stranger: DENIED,
    reader: DENIED,
  },
  issuerShow: {
    call: (c) => c.issuerShow({ issuer: "coffer" }),
    action: "issuer-show",
    stranger: DENIED,
    reader: DENIED,
  },
  issuerRemove: {
    call: (c) => c.issuerRemove({ issuer: "coffer" }),
    action: "issuer-remove",
    stranger: DENIED,
    reader: DENIED,
  },
  whoAmI: { call: (c) => c.whoAmI(), action: "whoami", stranger: DENIED, reader: "ok" },
  history: { call: (c) => c.history({ key }), action: "history", stranger: DENIED, reader: "ok" },
  auditSearch: {
    call: (c) => c.auditSearch({ limit: 5n }),
    action: "audit-search",
    stranger: DENIED,
    reader: DENIED,
  },
  auditCheckpoints: {
    call: (c) => c.auditCheckpoints(),
    action: "audit-checkpoints",
    stranger: DENIED,
    reader: DENIED,
  },
};

let world: World;
let clients: { readonly [who in "nobody" | "stranger" | "reader"]: Client };

before(async () => {
  world = await startWorld();
  await world.admin.put({ key, value: bytes("v") });
  await world.admin.leaseGrant({ TTL: 6000n, ID });
  await world.grant(["g", "user:reader", "role:reader"]);
  clients = {
    nobody: world.connect(),
    stranger: await world.as("user:stranger"),
    reader: await world.as("user:reader"),
  };
});

after(() => world[Symbol.asyncDispose]());

async function answerOf(work: Promise<unknown>): Promise<Answer> {
  try {
    await work;
    return "ok";
  } catch (error) {
    if (error instanceof CofferError) return error.code;
    throw error;
  }
}

for (const who of ["nobody", "stranger", "reader"] as const) {
  describe(`refusal 20: every request is authorised: ${who}`, () => {
    for (const [method, wanted] of Object.entries(METHODS)) {
      test(method, async () => {
        const state = await stateOf(world);
        const seen = world.audit().at(-1)?.seq ?? 0;
        const open = wanted.action === undefined ? "ok" : "no-identity";
        const expected = who === "nobody" ? open : wanted[who];
        assert.equal(await answerOf(wanted.call(clients[who])), expected);
        const subject = who === "nobody" ? "" : `user:${who}`;
        const outcomes = world
          .audit()
          .filter((record) => record.seq > seen && record.actor.subject === subject)
          .map(({ action, outcome }) => `${action} ${outcome}`);
        assert.deepEqual(outcomes, recordsOf(method, wanted.action, expected));
        assert.deepEqual(await stateOf(world), state);
      });
    }
  });
}

/** The records that a request leaves. A watch stream has one for its opening. */
function recordsOf(method: string, action: string | undefined, answer: Answer): readonly string[] {
  if (action === undefined) return [];
  const outcome = answer === "ok" ? "ok" : "refused";
  if (method !== "watch") return [`${action} ${outcome}`];
  if (answer === "no-identity") return ["watch-open refused"];
  return ["watch-open ok", `${action} ${outcome}`];
}

test("refusal 20: a watch stream ends when it is refused", async () => {
  const { watch, created } = await createWatch(clients.reader, { key });
  assert.equal(created.canceled, false);
  await watch[Symbol.asyncDispose]();
  const stream = watching(clients.nobody);
  stream.create({ key });
  assert.equal((await stream.ended)?.code, "no-identity");
});

/** Every method that an interface file declares, as the path of its calls. */
function declaredMethods(): readonly string[] {
  const folder = join(repositoryRoot, "src", "proto", "def");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return files
    .filter((name) => name.endsWith(".proto"))
    .flatMap((name) => {
      const text = readFileSync(join(folder, name), "utf8");
      const scope = /^package ([a-z0-9_.]+);/m.exec(text)?.[1] ?? assert.fail(name);
      return [...text.matchAll(/^service (\w+) \{\n([^}]*)\}/gm)].flatMap(
        ([, service, body = ""]) =>
          [...body.matchAll(/^ {2}rpc (\w+)\(/gm)].map(([, rpc]) => `/${scope}.${service}/${rpc}`),
      );
    });
}

/** Health tells nothing of any tenant. */
const OPEN = /^\/grpc\.health\.v1\.Health\//;
/** What etcd offers and Coffer does not answers so to everybody. */
const UNSERVED = /^\/etcdserverpb\.(?:Auth\/|Maintenance\/(?:Defragment|Hash|Snapshot|Downgrade)$)/;

const EMPTY = /^etcdserver: key is not provided$|^coffer: invalid argument: unknown action ''/;

test("refusal 20: every method that an interface file declares, called without and with a token", async () => {
  const methods = declaredMethods().filter((path) => !OPEN.test(path));
  assert.ok(methods.length > 60, methods.join(" "));
  const served = methods.filter((path) => !UNSERVED.test(path));
  assert.ok(served.length >= Object.keys(METHODS).length - 1);
  const state = await stateOf(world);
  const session = await rawSession(world.endpoint, world.authority.certificate);
  const authorization = `Bearer ${await world.token("user:stranger")}`;
  for (const [metadata, code, subject] of [
    [{}, "no-identity", ""],
    [{ authorization }, DENIED, "user:stranger"],
  ] as const) {
    const { grpc, text } = errorRow(code);
    for (const path of methods) {
      // Its stream opens, and what is asked on it is refused for itself: see `watch` of the table.
      if (path === "/etcdserverpb.Watch/Watch" && subject !== "") continue;
      const seen = world.audit().at(-1)?.seq ?? 0;
      const { status, message } = await rawCall(session, path, new Uint8Array(), metadata);
      if (UNSERVED.test(path)) {
        assert.equal(status, "12", path);
        continue;
      }
      // What asks for nothing is refused before rights are, once it is known who asks.
      if (subject !== "" && EMPTY.test(message)) continue;
      assert.deepEqual([status, message], [String(grpc), text], path);
      const records = world
        .audit()
        .filter(({ seq, actor }) => seq > seen && actor.subject === subject);
      assert.deepEqual(
        records.map(({ outcome }) => outcome),
        ["refused"],
        path,
      );
    }
  }
  session.destroy();
  assert.deepEqual(await stateOf(world), state);
});

test("refusal 20: no page is served but those that tell nothing of any tenant", async () => {
  const session = await rawSession(world.endpoint, world.authority.certificate);
  const get = async (path: string): Promise<number> => {
    const stream = session.request({ ":path": path });
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    stream.close();
    return Number(headers[":status"]);
  };
  for (const path of ["/health", "/version", "/metrics", "/livez", "/readyz"]) {
    assert.equal(await get(path), 200, path);
  }
  const others = [
    "/",
    "/v3/kv/range",
    "/v3/maintenance/status",
    "/v2/keys",
    "/debug/pprof",
    "/config",
  ];
  for (const path of [...others, "/members", "/metrics/", "/health/..%2fmetrics", "/console"]) {
    assert.equal(await get(path), 404, path);
  }
  session.destroy();
});
