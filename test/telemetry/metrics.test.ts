import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics, type Metrics } from "../../src/telemetry/mod.ts";

function metricsOf(): Metrics {
  return createMetrics({
    etcdVersion: "3.6.14",
    cofferVersion: "0.1.0",
    memberId: "8e9e05c52164694d",
    processMetrics: false,
  });
}

function sample(text: string, series: string): number | undefined {
  const line = text.split("\n").find((l) => l.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

test("counters start at zero and count", async () => {
  const metrics = metricsOf();
  assert.equal(sample(await metrics.text(), "etcd_mvcc_put_total"), 0);
  metrics.puts.inc();
  metrics.puts.inc(4);
  assert.equal(sample(await metrics.text(), "etcd_mvcc_put_total"), 5);
  assert.equal(sample(await metrics.text(), "etcd_mvcc_put_total"), 5);
});

test("gRPC methods carry go-grpc-prometheus labels and code names", async () => {
  const metrics = metricsOf();
  const put = metrics.rpc("unary", "etcdserverpb.KV", "Put");
  const first = await metrics.text();
  assert.match(first, /grpc_code="OK"\} 0\n/);
  put.started();
  put.started();
  put.handled(0, 0.0003);
  put.handled(14, 0.2);
  put.handled(99, 1);
  put.sent(2);
  put.received(1);
  const text = await metrics.text();
  const labels = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"';
  assert.equal(sample(text, `grpc_server_started_total{${labels}}`), 2);
  for (const code of ["OK", "Unavailable", "Unknown"]) {
    assert.equal(sample(text, `grpc_server_handled_total{${labels},grpc_code="${code}"}`), 1);
  }
  assert.equal(
    sample(text, `grpc_server_handled_total{${labels},grpc_code="DataLoss"}`),
    undefined,
  );
  assert.equal(sample(text, `grpc_server_msg_sent_total{${labels}}`), 2);
  assert.equal(sample(text, `grpc_server_msg_received_total{${labels}}`), 1);
  assert.equal(sample(text, `grpc_server_handling_seconds_count{${labels}}`), 3);
});

test("histograms are cumulative, bounds inclusive, with sum and count", async () => {
  const metrics = metricsOf();
  for (const seconds of [0.0005, 0.001, 0.0011, 100]) metrics.walFsync.observe(seconds);
  const text = await metrics.text();
  const name = "etcd_disk_wal_fsync_duration_seconds";
  assert.match(text, new RegExp(`# TYPE ${name} histogram`));
  assert.equal(sample(text, `${name}_bucket{le="0.001"}`), 2);
  assert.equal(sample(text, `${name}_bucket{le="0.002"}`), 3);
  assert.equal(sample(text, `${name}_bucket{le="8.192"}`), 3);
  assert.equal(sample(text, `${name}_bucket{le="+Inf"}`), 4);
  assert.equal(sample(text, `${name}_count`), 4);
  assert.ok(Math.abs((sample(text, `${name}_sum`) ?? 0) - 100.0026) < 1e-9);
});

test("gauges ask their source at the scrape; one without a source has no sample", async () => {
  const metrics = metricsOf();
  let pending = 3;
  metrics.observe({ hasLeader: () => true, proposalsPending: () => pending });
  metrics.observe({ sealed: () => false });
  const first = await metrics.text();
  assert.equal(sample(first, "etcd_server_has_leader"), 1);
  assert.equal(sample(first, "etcd_server_proposals_pending"), 3);
  assert.equal(sample(first, "coffer_sealed"), 0);
  assert.equal(sample(first, "coffer_tenants"), undefined);
  pending = 0;
  assert.equal(sample(await metrics.text(), "etcd_server_proposals_pending"), 0);
});

test("versions and ids are labels of constant gauges", async () => {
  const text = await metricsOf().text();
  assert.equal(sample(text, 'etcd_server_version{server_version="3.6.14"}'), 1);
  assert.equal(sample(text, 'etcd_cluster_version{cluster_version="3.6"}'), 1);
  assert.equal(sample(text, 'etcd_server_id{server_id="8e9e05c52164694d"}'), 1);
  assert.equal(sample(text, 'coffer_build_info{version="0.1.0"}'), 1);
});

test("the names that etcd's users alert on are there", async () => {
  const metrics = metricsOf();
  metrics.observe({
    hasLeader: () => true,
    proposalsCommitted: () => 1,
    proposalsApplied: () => 1,
    proposalsPending: () => 0,
    quotaBytes: () => 1,
    dbBytes: () => 1,
    dbBytesInUse: () => 1,
  });
  const text = await metrics.text();
  const names = [
    "etcd_server_has_leader",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_pending",
    "etcd_server_proposals_failed_total",
    "etcd_disk_wal_fsync_duration_seconds_count",
    "etcd_disk_backend_commit_duration_seconds_count",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_mvcc_put_total",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_txn_total",
    "etcd_mvcc_range_total",
    "etcd_server_quota_backend_bytes",
  ];
  for (const name of names) assert.notEqual(sample(text, name), undefined, name);
});

test("what goes between members is counted by the other's id, each once", async () => {
  const metrics = metricsOf();
  metrics.peer("ab").sent(10);
  metrics.peer("ab").sent(5);
  metrics.peer("ab").received(7);
  metrics.peer("ab").roundTrip(0.003);
  metrics.peer("cd").sent(1);
  metrics.peer("cd").snapshotSent(true);
  metrics.peer("cd").snapshotSent(false);
  metrics.framesRefused("counter").inc();
  metrics.framesRefused("counter").inc();
  metrics.heartbeatFailures.inc();
  const text = await metrics.text();
  const expected: readonly (readonly [string, number])[] = [
    ['etcd_network_peer_sent_bytes_total{To="ab"}', 15],
    ['etcd_network_peer_sent_bytes_total{To="cd"}', 1],
    ['etcd_network_peer_received_bytes_total{From="ab"}', 7],
    ['etcd_network_peer_round_trip_time_seconds_count{To="ab"}', 1],
    ['etcd_network_peer_round_trip_time_seconds_bucket{le="0.0032",To="ab"}', 1],
    ['etcd_network_snapshot_send_success{To="cd"}', 1],
    ['etcd_network_snapshot_send_failures{To="cd"}', 1],
    ['coffer_transport_frames_refused_total{reason="counter"}', 2],
    ["etcd_server_heartbeat_send_failures_total", 1],
  ];
  const lines = text.split("\n");
  for (const [name, value] of expected) assert.ok(lines.includes(`${name} ${value}`), name);
});

test("two registries do not meet, and process figures come by default", async () => {
  const a = metricsOf();
  const b = createMetrics({ etcdVersion: "3.6.14", cofferVersion: "1", memberId: "1" });
  a.puts.inc();
  const text = await b.text();
  assert.equal(sample(text, "etcd_mvcc_put_total"), 0);
  assert.notEqual(sample(text, "process_resident_memory_bytes"), undefined);
  assert.match(b.contentType, /^text\/plain; version=0\.0\.4/);
});

test("a scrape gives way to other work between families", async () => {
  const metrics = metricsOf();
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const text = await metrics.text();
  isDone = true;
  const families = text.split("# TYPE ").length - 1;
  assert.ok(families > 20 && turns >= families - 1, `${turns} turns, ${families} families`);
});
