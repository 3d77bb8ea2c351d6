import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";

import { CofferError } from "../../src/errors.ts";
import { type TestServer, rawSession, startServer } from "./harness.ts";

let server: TestServer;

before(async () => {
  server = await startServer();
});
after(async () => {
  await server[Symbol.asyncDispose]();
});

interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

function request(path: string, method = "GET", headers: object = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = http.request(
      { port: server.plainPort, host: "127.0.0.1", path, method, headers: { ...headers } },
      (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on("end", () =>
          resolve({ status: response.statusCode, headers: response.headers, body }),
        );
      },
    );
    sent.on("error", reject);
    sent.end();
  });
}

test("healthy: /health, /livez, /readyz", async () => {
  assert.equal((await request("/health")).body, '{"health":"true","reason":""}');
  assert.equal((await request("/livez")).body, "ok\n");
  assert.equal((await request("/readyz/linearizable_read")).body, "ok\n");
  const verbose = await request("/readyz?verbose&exclude=audit");
  assert.equal(
    verbose.body,
    "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n" +
      "[+]non_learner ok\n[+]audit excluded: ok\nok\n",
  );
});

test("unhealthy: 503 with the reason", async () => {
  server.edge.failure = "etcdserver: no leader";
  try {
    const health = await request("/health?exclude=CORRUPT&exclude=NOSPACE");
    assert.equal(health.status, 503);
    assert.equal(health.body, '{"health":"false","reason":"RAFT NO LEADER"}');
    assert.equal((await request("/health")).body, '{"health":"false","reason":"ALARM NOSPACE"}');
    const corrupt = await request("/health?exclude=NOSPACE");
    assert.equal(corrupt.body, '{"health":"false","reason":"ALARM CORRUPT"}');
    const probe = await request("/livez");
    assert.equal(probe.status, 503);
    assert.equal(
      probe.body,
      "[-]serializable_read failed: etcdserver: no leader\nlivez check failed\n",
    );
    assert.equal((await request("/livez?exclude=serializable_read")).status, 200);
  } finally {
    server.edge.failure = undefined;
  }
});

test("answers to /health are counted, those of probes are not", async () => {
  server.health.length = 0;
  await request("/health");
  await request("/health?serializable=true");
  server.edge.failure = "etcdserver: no leader";
  try {
    await request("/health");
    await request("/readyz");
  } finally {
    server.edge.failure = undefined;
  }
  await request("/livez");
  await request("/health", "POST");
  assert.deepEqual(server.health, [true, true, false]);
});

test("/version and /metrics", async () => {
  const version = await request("/version");
  assert.deepEqual(JSON.parse(version.body), {
    etcdserver: "3.6.14",
    etcdcluster: "3.6.0",
    storage: "3.6.0",
    coffer: "0.1.0",
  });
  const metrics = await request("/metrics");
  assert.equal(metrics.body, "# HELP up 1\nup 1\n");
  assert.match(metrics.headers["content-type"] ?? "", /^text\/plain; version=0\.0\.4/);
});

const sample = {
  name: "blue",
  suspended: false,
  usage: { keys: 3, leases: 0, bytes: 30, liveBytes: 30 },
  limits: {},
  watches: 0,
  refused: new Map<string, number>(),
};
const TOKEN = { authorization: "Bearer t" };

test("/metrics: tenants are for operators; without credentials nobody is asked who it is", async (t) => {
  server.edge.tenantSamples = [sample];
  t.after(() => (server.edge.tenantSamples = undefined));
  server.edge.calls.length = 0;
  assert.equal((await request("/metrics")).body, "# HELP up 1\nup 1\n");
  assert.deepEqual(server.edge.calls, []);
  const told = await request("/metrics", "GET", TOKEN);
  assert.equal(server.edge.caller?.authorization, TOKEN.authorization);
  assert.match(told.body, /^# HELP up 1\nup 1\n\n# HELP coffer_tenant_keys /);
  assert.match(told.body, /^coffer_tenant_keys\{coffer_tenant="blue"\} 3$/m);
  const head = await request("/metrics", "HEAD", TOKEN);
  assert.deepEqual([head.status, head.body], [200, ""]);
  server.edge.tenantSamples = undefined;
  assert.equal((await request("/metrics", "GET", TOKEN)).body, "# HELP up 1\nup 1\n");
});

test("/metrics: a token that does not count is told of, other failures leave the tenants out", async () => {
  server.edge.nextError = new CofferError("invalid-token");
  const bad = await request("/metrics", "GET", TOKEN);
  assert.deepEqual([bad.status, bad.body], [401, "etcdserver: invalid auth token\n"]);
  server.edge.nextError = new CofferError("permission-denied");
  const denied = await request("/metrics", "GET", TOKEN);
  assert.equal(denied.status, 200);
  assert.equal(
    denied.body,
    "# HELP up 1\nup 1\n# Series of tenants are left out: etcdserver: permission denied\n",
  );
});

test("/metrics: thousands of tenants come whole, over HTTP/2 too", async (t) => {
  const samples = Array.from({ length: 5000 }, (_, n) => ({ ...sample, name: `tenant-${n}` }));
  server.edge.tenantSamples = samples;
  t.after(() => (server.edge.tenantSamples = undefined));
  const count = (body: string): number => body.match(/^coffer_tenant_bytes\{/gm)?.length ?? 0;
  assert.equal(count((await request("/metrics", "GET", TOKEN)).body), 5000);
  const session = await rawSession(server.port);
  const stream = session.request({ ":path": "/metrics", ...TOKEN });
  let body = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream as AsyncIterable<string>) body += chunk;
  assert.equal(count(body), 5000);
  // A client that goes away in the middle leaves the server as it was.
  const gone = session.request({ ":path": "/metrics", ...TOKEN });
  gone.once("data", () => gone.close());
  await new Promise((resolve) => gone.once("close", resolve));
  assert.equal(count((await request("/metrics", "GET", TOKEN)).body), 5000);
  session.close();
});

test("nothing else is served, and other methods are refused", async () => {
  for (const path of [
    "/",
    "/v2/keys",
    "/readyz/nothing",
    "/healthz",
    "/debug/pprof",
    "//x/health",
  ]) {
    const answer = await request(path);
    assert.equal(answer.status, 404, path);
    assert.match(answer.body, /no such page/);
  }
  const post = await request("/health", "POST");
  assert.equal(post.status, 405);
  assert.equal(post.headers.allow, "GET, HEAD");
  const head = await request("/health", "HEAD");
  assert.equal(head.status, 200);
  assert.equal(head.body, "");
  assert.equal(head.headers["content-length"], "29");
  assert.equal((await request(`/${"x".repeat(4000)}`)).status, 414);
});

test("headers over the limit are refused", async () => {
  const answer = await request("/health", "GET", { "x-big": "y".repeat(20_000) });
  assert.equal(answer.status, 431);
});

test("the same endpoints answer over HTTP/2 and TLS", async () => {
  const session = await rawSession(server.port);
  const stream = session.request({ ":path": "/version" });
  let body = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream as AsyncIterable<string>) body += chunk;
  assert.match(body, /"etcdserver":"3\.6\.14"/);
  session.close();
});
