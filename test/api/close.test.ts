import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { connect } from "../../src/client/mod.ts";
import { ca, rawSession, startServer } from "./harness.ts";

test("a stop sends GOAWAY, ends streams, and lets open requests finish", async () => {
  const server = await startServer();
  const client = connect({ endpoints: [`https://127.0.0.1:${String(server.port)}`], ca: ca.pem });
  const watch = client.watch();
  watch.create({ key: Buffer.from("k") });
  const responses = watch.responses();
  await responses.next();

  let release = (): void => undefined;
  server.edge.hold = new Promise((resolve) => {
    release = resolve;
  });
  const came = new Promise<void>((resolve) => {
    server.edge.onPut = resolve;
  });
  const put = client.put({ key: Buffer.from("k"), value: Buffer.from("v") });
  await came;
  const raw = await rawSession(server.port);
  // A round trip: the server knows this connection.
  await new Promise((resolve) => raw.ping(resolve));
  const goaway = once(raw, "goaway");
  const closed = server.server.close();
  await goaway;
  await assert.rejects(responses.next(), { code: "stopped" });
  release();
  assert.notEqual((await put).header, undefined);
  await closed;
  await server.server.close();
  await assert.rejects(client.status(), { code: "unreachable" });
  await client.close();
});

test("a request that never ends is cut after the drain time", async () => {
  const server = await startServer({ limits: { drainMs: 50 } });
  const client = connect({ endpoints: [`https://127.0.0.1:${String(server.port)}`], ca: ca.pem });
  server.edge.hold = new Promise(() => undefined);
  const came = new Promise<void>((resolve) => {
    server.edge.onPut = resolve;
  });
  const put = assert.rejects(client.put({ key: Buffer.from("k") }), { code: "unreachable" });
  await came;
  await server.server.close();
  await put;
  await client.close();
});
