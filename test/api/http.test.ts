import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";

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
