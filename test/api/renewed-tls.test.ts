import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import tls from "node:tls";

import { type Client, connect } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { createRevocationList, createAuthority, issueCertificate } from "../../src/pki/mod.ts";
import { inspectCertificate } from "../../src/pki/mod.ts";
import { createCa } from "./certificates.ts";
import { ca, serverCertificate, startServer } from "./harness.ts";
import { closed } from "../setup/closed.ts";

/** New authorities, revocation lists and certificates while connections are open. */

const clientTls = { ...serverCertificate, clientCa: ca.pem };
const alice = ca.issue({ name: "alice", use: "clientAuth" });
const bob = ca.issue({ name: "bob", use: "clientAuth" });

function clientOf(port: number, certificate: { cert?: string; key?: string } = {}): Client {
  return connect({ endpoints: [`https://127.0.0.1:${String(port)}`], ca: ca.pem, ...certificate });
}

/** A watch that has begun, and the error that ends it. */
async function watching(
  client: Client,
): Promise<{ readonly ended: Promise<unknown>; readonly close: () => void }> {
  const watch = client.watch();
  watch.create({ key: Buffer.from("k") });
  const stream = watch.responses();
  assert.equal((await stream.next()).value?.created, true);
  const ended = stream.next().then(
    () => undefined,
    (error: unknown) => error,
  );
  return { ended, close: () => watch.close() };
}

const isAlice = ({ raw }: { readonly raw: Uint8Array }): string | undefined =>
  inspectCertificate(raw).commonName === "alice" ? "alice left" : undefined;

test("a connection whose certificate is no longer good ends, its streams too; others live on", async () => {
  await using server = await startServer();
  await using gone = clientOf(server.port, alice);
  await using stays = clientOf(server.port, bob);
  await using bare = clientOf(server.port);
  const watch = await watching(gone);
  const other = await watching(stays);
  await bare.status();
  let release = (): void => undefined;
  server.edge.hold = new Promise((resolve) => (release = resolve));
  const came = new Promise<void>((resolve) => (server.edge.onPut = resolve));
  const put = gone.put({ key: Buffer.from("a"), value: Buffer.from("1") });
  await came;
  await server.server.setSecureContext(clientTls, isAlice);
  const error = await watch.ended;
  assert.ok(error instanceof CofferError);
  assert.equal(error.code, "invalid-token");
  assert.equal(server.ended.length, 1);
  assert.match(
    server.ended[0] ?? "",
    /^client certificate of CN=alice \(.*Z to .*Z\) is no longer good: alice left$/,
  );
  // What was under way is answered.
  release();
  await put;
  server.edge.hold = undefined;
  await stays.put({ key: Buffer.from("a"), value: Buffer.from("2") });
  await bare.status();
  // Connections to come are TLS's to judge, and it has nothing against alice.
  await gone.status();
  assert.equal(server.ended.length, 1);
  other.close();
  assert.equal(await other.ended, undefined);
});

test("a handshake that began under the former authorities is judged by the new ones", async () => {
  await using server = await startServer();
  const early = net.connect(server.port, "127.0.0.1");
  await once(early, "connect");
  // Accepted after the other one, so that one is by now.
  await using probe = clientOf(server.port);
  await probe.status();
  await server.server.setSecureContext(clientTls, isAlice);
  const socket = tls.connect({ socket: early, host: "127.0.0.1", ca: ca.pem, ...alice });
  socket.on("error", () => undefined);
  await closed(socket);
  assert.match(server.refused[0] ?? "", /CN=alice .* refused: alice left/);
});

test("a context that is none changes nothing", async () => {
  await using server = await startServer();
  const { key } = createCa("other").issue({ name: "x", use: "serverAuth" });
  const bad = { cert: serverCertificate.cert, key, clientCa: ca.pem };
  await using watcher = clientOf(server.port, alice);
  const watch = await watching(watcher);
  await assert.rejects(server.server.setSecureContext(bad, isAlice), /key values mismatch/);
  await using client = clientOf(server.port, alice);
  await client.status();
  assert.deepEqual(server.ended, []);
  watch.close();
});

test("refusal 38: revoked after the connection, with a list for each of two authorities", async () => {
  const hour = 3_600_000;
  const [first, second] = ["first", "second"].map((name) => createAuthority({ commonName: name }));
  assert.ok(first && second);
  const listOf = (authority: typeof first, serials: readonly string[]): string =>
    createRevocationList(authority, {
      revoked: serials.map((serial) => ({ serial, revokedAt: Date.now() - hour })),
      number: 1,
      thisUpdate: Date.now() - hour,
      nextUpdate: Date.now() + hour,
    });
  const leafOf = (authority: typeof first): { cert: string; key: string; serial: string } => {
    const leaf = issueCertificate(authority, { commonName: "x", usages: ["client"] });
    const { serial } = inspectCertificate(leaf.certificate);
    return { cert: leaf.certificate, key: leaf.privateKey, serial };
  };
  const leaves = [leafOf(first), leafOf(second)] as const;
  const clientCa = first.certificate + second.certificate;
  const options = { ...serverCertificate, clientCa };
  await using server = await startServer({
    tls: { ...options, crl: [listOf(first, []), listOf(second, [])] },
  });
  // Node takes one list of each text: with both in one, the second authority's clients are refused.
  for (const leaf of leaves) {
    await using client = clientOf(server.port, leaf);
    await client.status();
  }
  const crl = [listOf(first, []), listOf(second, [leaves[1].serial])];
  await server.server.setSecureContext({ ...options, crl }, () => undefined);
  await using good = clientOf(server.port, leaves[0]);
  await good.status();
  await using bad = clientOf(server.port, leaves[1]);
  await assert.rejects(bad.status(), { code: "unreachable" });
  assert.match(server.refused[0] ?? "", /^client certificate of CN=x .* refused: CERT_REVOKED$/);
});
