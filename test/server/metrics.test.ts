import assert from "node:assert/strict";
import * as https from "node:https";
import { test } from "node:test";
import { openAudit } from "../../src/audit/mod.ts";
import { nodeFiles } from "../../src/audit/file-port.ts";
import { rpc } from "../../src/client/mod.ts";
import { createWatch } from "../edge/streams.ts";
import { type World, bytes, failure, startWorld } from "../edge/world.ts";

/** Every series of a real member against what was done with it. */

type Scrape = ReadonlyMap<string, number>;

async function scrape({ port, authority }: World): Promise<Scrape> {
  const options = { host: "127.0.0.1", port, path: "/metrics", ca: authority.certificate };
  const text = await new Promise<string>((resolve, reject) => {
    https
      .get({ ...options, agent: false }, (reply) => {
        let read = "";
        reply.setEncoding("utf8").on("data", (chunk: string) => (read += chunk));
        reply.on("end", () => resolve(read));
      })
      .on("error", reject);
  });
  const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    samples.map((line) => [seriesOf(line), Number(line.slice(seriesOf(line).length))]),
  );
}

function seriesOf(line: string): string {
  return line.slice(0, line.lastIndexOf(" "));
}

/** By how much each of these series grew while `work` ran. */
async function grown<Series extends string>(
  world: World,
  series: readonly Series[],
  work: () => Promise<void>,
): Promise<Record<Series, number>> {
  const before = await scrape(world);
  await work();
  const after = await scrape(world);
  const growth = series.map((name) => {
    const value = after.get(name);
    assert.ok(value !== undefined, `/metrics has no ${name}`);
    return [name, value - (before.get(name) ?? 0)] as const;
  });
  return Object.fromEntries(growth) as Record<Series, number>;
}

const put = (key: string, value = "v"): rpc.RequestOp => ({
  request: {
    $case: "requestPut",
    value: rpc.PutRequest.fromPartial({ key: bytes(key), value: bytes(value) }),
  },
});
const range = (key: string): rpc.RequestOp => ({
  request: { $case: "requestRange", value: rpc.RangeRequest.fromPartial({ key: bytes(key) }) },
});

test("puts, deletes, ranges and transactions are counted by what they do", async () => {
  await using world = await startWorld();
  const { admin } = world;
  const series = [
    "etcd_mvcc_put_total",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_range_total",
    "etcd_mvcc_txn_total",
  ] as const;
  const growth = await grown(world, series, async () => {
    await admin.put({ key: bytes("/a"), value: bytes("1") });
    await admin.put({ key: bytes("/b"), value: bytes("1") });
    await admin.deleteRange({ key: bytes("/b") });
    await admin.range({ key: bytes("/a") });
    await admin.range({ key: bytes("/a"), serializable: true });
    await admin.txn({ success: [put("/c"), range("/c")] });
    await admin.txn({ success: [range("/a"), range("/c")] });
    // Of one operation: no transaction, as etcd counts them.
    await admin.txn({ success: [put("/d")] });
    await failure(admin.put({ key: bytes("/e"), lease: 5n }), "lease-not-found");
  });
  assert.deepEqual(growth, {
    etcd_mvcc_put_total: 4,
    etcd_mvcc_delete_total: 1,
    etcd_mvcc_range_total: 5,
    etcd_mvcc_txn_total: 2,
  });
});

test("leases and the events of watches are counted", async () => {
  await using world = await startWorld({ config: () => ({ electionMs: 500 }) });
  const { admin } = world;
  const series = [
    "etcd_debugging_lease_granted_total",
    "etcd_debugging_lease_renewed_total",
    "etcd_debugging_lease_revoked_total",
    "etcd_debugging_server_lease_expired_total",
    "etcd_debugging_mvcc_events_total",
  ] as const;
  const growth = await grown(world, series, async () => {
    const { watch } = await createWatch(admin, { key: bytes("/leased") });
    await using _ = watch;
    const { ID: revoked } = await admin.leaseGrant({ TTL: 600n });
    const { ID: expiring } = await admin.leaseGrant({ TTL: 1n });
    await admin.put({ key: bytes("/leased"), lease: expiring });
    await using renewals = admin.keepAlive();
    const replies = renewals.replies();
    for (const id of [revoked, revoked, 77n]) {
      renewals.renew(id);
      assert.ok((await replies.next()).done !== true);
    }
    await admin.leaseRevoke({ ID: revoked });
    // The put, and the deletion when the lease expires.
    await watch.until(() => watch.responses.flatMap(({ events }) => events).length === 2);
  });
  assert.deepEqual(growth, {
    etcd_debugging_lease_granted_total: 2,
    etcd_debugging_lease_renewed_total: 2,
    etcd_debugging_lease_revoked_total: 2,
    etcd_debugging_server_lease_expired_total: 1,
    etcd_debugging_mvcc_events_total: 2,
  });
});

test("calls, their messages and bytes, tokens, decisions and audit records are counted", async () => {
  await using world = await startWorld();
  const stranger = await world.as("user:stranger");
  const labels = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"';
  const handled = (code: string): string =>
    `grpc_server_handled_total{${labels},grpc_code="${code}"}`;
  const series = [
    'coffer_tokens_total{outcome="accepted"}',
    'coffer_tokens_total{outcome="refused"}',
    'coffer_access_decisions_total{outcome="allowed"}',
    'coffer_access_decisions_total{outcome="denied"}',
    "coffer_audit_records_total",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    `grpc_server_started_total{${labels}}`,
    `grpc_server_msg_received_total{${labels}}`,
    `grpc_server_msg_sent_total{${labels}}`,
    `grpc_server_handling_seconds_count{${labels}}`,
    handled("OK"),
    handled("PermissionDenied"),
    handled("Unauthenticated"),
  ];
  const request = { key: bytes("/k"), value: bytes("x".repeat(1000)) };
  const bytesOf = rpc.PutRequest.encode(rpc.PutRequest.fromPartial(request)).finish().length;
  let answered = 0;
  const growth = await grown(world, series, async () => {
    answered = rpc.PutResponse.encode(await world.admin.put(request)).finish().length;
    await failure(stranger.put(request), "permission-denied");
    await failure(world.connect({ token: "no.such.token" }).put(request), "invalid-token");
  });
  const recorded = growth["coffer_audit_records_total"] ?? 0;
  assert.ok(recorded >= 3, "each has its record, and the member may write marks of its own");
  assert.deepEqual(Object.values({ ...growth, coffer_audit_records_total: 3 }), [
    2,
    1,
    // Before it refuses, the edge asks the newest policy too.
    1,
    2,
    3,
    3 * bytesOf,
    answered,
    3,
    3,
    1,
    3,
    1,
    1,
    1,
  ]);
});

test("a write that policy, credentials or a guard overtakes is counted as evaluated again", async () => {
  await using world = await startWorld();
  const { admin } = world;
  const key = bytes("/guarded");
  const series = [
    'coffer_write_retries_total{cause="guard-failed"}',
    'coffer_write_retries_total{cause="stale-policy"}',
    'coffer_write_retries_total{cause="stale-credentials"}',
  ];
  const growth = await grown(world, series, async () => {
    await admin.put({ key, value: bytes("0") });
    const compare = [
      {
        key,
        target: rpc.Compare_CompareTarget.VALUE,
        targetUnion: { $case: "value", value: bytes("0") } as const,
      },
    ];
    // What arrives together is evaluated at one state, and applied one after another.
    const many = Array.from({ length: 3 }, (_, i) => [
      admin.put({ key, value: bytes(String(i)) }),
      admin.txn({ compare, success: [put("/guarded", "t")] }),
      world.grant(["p", `user:${i}`, "/", "read", "allow"]),
      admin.tokenRevoke({
        target: {
          target: { $case: "token", value: { issuer: "coffer", tokenId: `t${i}` } },
        },
      }),
    ]);
    await Promise.all(many.flat());
  });
  for (const name of series) assert.ok((growth[name] ?? 0) > 0, `${name} has not moved`);
});

test("records that cannot be written are counted", async () => {
  let isFull = false;
  const files = {
    ...nodeFiles,
    write: (fd: number, written: Uint8Array) => {
      if (isFull) throw new Error("no space left");
      nodeFiles.write(fd, written);
    },
  };
  await using world = await startWorld({ openAudit: (given) => openAudit({ ...given, files }) });
  const growth = await grown(world, ["coffer_audit_failures_total"], async () => {
    isFull = true;
    await failure(world.admin.range({ key: bytes("/k") }), "audit-blocked");
    isFull = false;
  });
  assert.ok(growth.coffer_audit_failures_total > 0);
});

test("a member that serves has timed its disk, and has a sample of each gauge", async () => {
  await using world = await startWorld();
  await world.admin.put({ key: bytes("/k") });
  const samples = await scrape(world);
  for (const name of [
    "etcd_disk_wal_fsync_duration_seconds_count",
    "etcd_disk_backend_commit_duration_seconds_count",
    "coffer_batch_proposals_count",
    "coffer_token_cache_entries",
    "coffer_client_connections",
    "etcd_server_leader_changes_seen_total",
  ]) {
    assert.ok((samples.get(name) ?? 0) > 0, name);
  }
  for (const name of [
    "etcd_mvcc_db_open_read_transactions",
    "coffer_sealed",
    "coffer_jwks_failures",
    "etcd_server_slow_apply_total",
    "etcd_server_read_indexes_failed_total",
  ]) {
    assert.equal(samples.get(name), 0, name);
  }
});
