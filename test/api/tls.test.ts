import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { test } from "node:test";
import tls from "node:tls";

import { connect } from "../../src/client/mod.ts";
import { createServer } from "../../src/api/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import type { Authority } from "../../src/pki/mod.ts";
import { encodeName } from "../../src/pki/name.ts";
import { forge, intermediate, openRoot } from "../pki/forged.ts";
import { createCa } from "./certificates.ts";
import { FakeEdge } from "./fake-edge.ts";
import { ca, callMetrics, serverCertificate, startServer } from "./harness.ts";
import { closed } from "../setup/closed.ts";

const clientLeaf = ca.issue({ name: "alice", use: "clientAuth" });

function clientOf(
  port: number,
  certificate: { readonly cert?: string; readonly key?: string } = {},
): ReturnType<typeof connect> {
  return connect({ endpoints: [`https://127.0.0.1:${String(port)}`], ca: ca.pem, ...certificate });
}

test("a verified client certificate reaches the edge with its thumbprint", async () => {
  await using server = await startServer();
  await using client = clientOf(server.port, clientLeaf);
  await client.status();
  const raw = new X509Certificate(clientLeaf.cert).raw;
  const certificate = server.edge.caller?.certificate;
  assert.deepEqual(Buffer.from(certificate?.raw ?? []), raw);
  assert.equal(certificate?.thumbprint, createHash("sha256").update(raw).digest("base64url"));
});

test("without a certificate a client is let in, unless certificates are required", async () => {
  await using open = await startServer();
  await using client = clientOf(open.port);
  await client.status();
  assert.equal(open.edge.caller?.certificate, undefined);

  const tlsOptions = { ...serverCertificate, clientCa: ca.pem, clientCertAuth: true };
  await using strict = await startServer({ tls: tlsOptions });
  await using bare = clientOf(strict.port);
  await assert.rejects(bare.status(), { code: "unreachable" });
  assert.match(strict.refused[0] ?? "", /no client certificate/);
  await using known = clientOf(strict.port, clientLeaf);
  await known.status();
});

test("refusals 37, 38, 39: certificates of another CA, expired, not yet valid, or for servers", async () => {
  await using server = await startServer();
  const cases = [
    // The same names and serial numbers as the real ones, from another key.
    [createCa("coffer test CA").issue({ name: "alice", use: "clientAuth" }), /SIGNATURE/],
    [createCa("another CA").issue({ name: "alice", use: "clientAuth" }), /UNABLE_TO_/],
    [ca.issue({ name: "alice", use: "clientAuth", from: -3, to: -1 }), /CERT_HAS_EXPIRED/],
    [ca.issue({ name: "alice", use: "clientAuth", from: 1, to: 3 }), /CERT_NOT_YET_VALID/],
    [ca.issue({ name: "alice", use: "serverAuth" }), /INVALID_PURPOSE|unsuitable/],
  ] as const;
  for (const [leaf, reason] of cases) {
    server.refused.length = 0;
    await using client = clientOf(server.port, leaf);
    await assert.rejects(client.status(), { code: "unreachable" });
    assert.match(server.refused[0] ?? "", reason);
  }
  assert.deepEqual(server.edge.calls, []);
});

test("refusal 40: below an intermediate without basicConstraints, and below a client", async () => {
  const root = openRoot("root");
  const chainOf = (middle: Authority): { readonly cert: string; readonly key: string } => {
    const leaf = forge(middle, "alice");
    return { cert: leaf.certificate + middle.certificate, key: leaf.privateKey };
  };
  await using server = await startServer({
    tls: { ...serverCertificate, clientCa: root.certificate },
  });
  await using good = clientOf(server.port, chainOf(intermediate(root, "middle", "with")));
  await good.status();
  await using without = clientOf(server.port, chainOf(intermediate(root, "none", "without")));
  await assert.rejects(without.status(), { code: "unreachable" });
  assert.match(server.refused[0] ?? "", /CN=alice .* refused: INVALID_CA$/);
  server.refused.length = 0;
  const bob = forge(root, "bob");
  const subjectName = encodeName({ commonName: "bob" });
  const signer = { ...root, certificate: bob.certificate, privateKey: bob.key, subjectName };
  await using below = clientOf(server.port, chainOf({ ...signer, keyId: undefined }));
  await assert.rejects(below.status(), { code: "unreachable" });
  // Its key may sign no certificates, which OpenSSL finds first and node has no name for.
  assert.match(server.refused[0] ?? "", /CN=alice .* refused: (INVALID_CA|UNSPECIFIED)$/);
});

test("refusal 42: plaintext to the TLS port gets nothing", async () => {
  await using server = await startServer();
  const socket = net.connect(server.port, "127.0.0.1");
  let received = "";
  socket.on("data", (chunk) => {
    received += chunk.toString("latin1");
  });
  socket.on("error", () => undefined);
  socket.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
  await closed(socket);
  assert.equal(received.includes("HTTP/1.1 200"), false);
  assert.match(server.refused[0] ?? "", /TLS handshake failed/);
});

test("TLS 1.1 is refused", async () => {
  await using server = await startServer();
  const socket = tls.connect({
    port: server.port,
    host: "127.0.0.1",
    ca: ca.pem,
    minVersion: "TLSv1.1",
    maxVersion: "TLSv1.1",
    ciphers: "DEFAULT@SECLEVEL=0",
  });
  await once(socket, "error");
});

test("refusal 57: connections that never finish their handshake or first request are cut", async () => {
  await using server = await startServer({ limits: { handshakeMs: 100, firstRequestMs: 100 } });
  const silent = net.connect(server.port, "127.0.0.1");
  silent.on("error", () => undefined);
  const slowTls = tls.connect({
    port: server.port,
    host: "127.0.0.1",
    ca: ca.pem,
    ALPNProtocols: ["http/1.1"],
  });
  slowTls.on("error", () => undefined);
  slowTls.write("GET /health HTTP/1.1\r\nx-slow: ");
  const noPreface = tls.connect({
    port: server.port,
    host: "127.0.0.1",
    ca: ca.pem,
    ALPNProtocols: ["h2"],
  });
  noPreface.on("error", () => undefined);
  const plain = net.connect(server.plainPort, "127.0.0.1");
  plain.on("error", () => undefined);
  plain.write("PRI * HT");
  await Promise.all(
    [silent, slowTls, noPreface, plain].map((socket) => {
      socket.resume();
      return closed(socket);
    }),
  );
});

test("refusal 57: an HTTP/2 connection that nobody uses is closed, one with an open stream is not", async () => {
  await using server = await startServer({ limits: { idleMs: 100 } });
  const open = (): http2.ClientHttp2Session =>
    http2.connect(`https://127.0.0.1:${String(server.port)}`, { ca: ca.pem });
  const used = open();
  const stream = used.request({
    ":method": "POST",
    ":path": "/etcdserverpb.Watch/Watch",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  await once(stream, "response");
  const idle = open();
  await closed(idle);
  assert.equal(used.closed, false);
  used.destroy();
});

test("connections over the limit are dropped and told of", async () => {
  await using server = await startServer({ limits: { connectionsMax: 1 } });
  await using first = clientOf(server.port);
  await first.status();
  await using second = clientOf(server.port);
  await assert.rejects(second.status(), { code: "unreachable" });
  assert.ok(server.refused.includes("too many connections"));
  await first.status();
});

test("new certificates serve the connections to come", async () => {
  await using server = await startServer();
  const otherCa = createCa("next CA");
  const { server: api } = server;
  const next = ca.issue({ name: "renewed", use: "serverAuth" });
  await api.setSecureContext({ ...next, clientCa: otherCa.pem }, () => undefined);
  const socket = tls.connect({ port: server.port, host: "127.0.0.1", ca: ca.pem });
  await once(socket, "secureConnect");
  assert.equal(socket.getPeerCertificate().subject.CN, "renewed");
  socket.destroy();
  await using client = clientOf(server.port, clientLeaf);
  await assert.rejects(client.status(), { code: "unreachable" });
});

test("http listeners exist on loopback only, and ports in use are told", async () => {
  const options = {
    edge: new FakeEdge(),
    log: silentLogger,
    metrics: callMetrics(),
    versions: { etcd: "3.6.14", cluster: "3.6.0", coffer: "0.1.0" },
    metricsText: () => "",
  };
  const open = createServer({ ...options, listen: [{ scheme: "http", host: "0.0.0.0", port: 0 }] });
  await assert.rejects(open.listen(), /loopback only/);
  await using server = await startServer();
  const listen = [{ scheme: "http", host: "127.0.0.1", port: server.plainPort }] as const;
  await assert.rejects(createServer({ ...options, listen }).listen(), /EADDRINUSE; stop/);
});
