import assert from "node:assert/strict";
import { type ClientHttp2Session, constants } from "node:http2";
import { after, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Client } from "../../src/client/mod.ts";
import { issueCertificate } from "../../src/pki/mod.ts";
import { frameOf, rpc } from "../../src/proto/mod.ts";
import { startConnection } from "../bench/load-connection.ts";
import { type RawReply, rawCall, rawSession } from "./raw.ts";
import { type World, bytes, startWorld } from "./world.ts";
import { closed } from "../setup/closed.ts";

/** Refusals 58 and 59: more requests than anybody should send. `npm run bench -- --flood` has the figures. */

let world: World;
let operator: Client;

before(async () => {
  world = await startWorld();
  operator = await world.as("user:admin", { tenants: ["system"] });
});

after(() => world[Symbol.asyncDispose]());

const message = (key: string): Uint8Array =>
  rpc.PutRequest.encode(rpc.PutRequest.fromPartial({ key: bytes(key) })).finish();

/** Each request by a stream of its own, all at once. */
async function flood(
  session: ClientHttp2Session,
  metadata: object,
  count: number,
): Promise<readonly RawReply[]> {
  return await Promise.all(
    Array.from({ length: count }, () =>
      rawCall(session, "/etcdserverpb.KV/Put", message("/k"), { ...metadata }),
    ),
  );
}

/** Resolves when the server allows this many streams. */
function toldStreams(session: ClientHttp2Session, streams: number): Promise<void> {
  return new Promise((resolve) => {
    session.on("remoteSettings", ({ maxConcurrentStreams }) => {
      if (maxConcurrentStreams === streams) resolve();
    });
  });
}

/** A tenant with a quota, and what a request of its owner carries. */
async function tenantOf(name: string, requestsPerSecond: number): Promise<object> {
  const limits = { requestsPerSecond };
  await operator.tenantCreate({ name, owner: `user:${name}`, limits });
  return { authorization: `Bearer ${await world.token(`user:${name}`, { tenants: [name] })}` };
}

test("refusal 58: a tenant at 100 times its quota is served its quota, and the others whatever they ask", async () => {
  const quota = 5;
  const asked = 100 * quota;
  const noisy = await tenantOf("noisy", quota);
  const quiet = await world.as("user:admin");
  const session = await rawSession(world.endpoint, world.authority.certificate);
  const slowed = toldStreams(session, 1);
  const seen = world.audit().at(-1)?.seq ?? 0;
  const began = performance.now();
  const flooding = flood(session, noisy, asked);
  // The protocol tells the client to ask less at once, while its refusals are held back.
  await slowed;
  for (let n = 0; n < 50; n++) await quiet.put({ key: bytes(`/quiet/${n}`), value: bytes("v") });
  const replies = await flooding;
  const seconds = (performance.now() - began) / 1000;
  const served = replies.filter(({ status }) => status === "0").length;
  const refused = replies.filter(({ message: text }) => text === "etcdserver: too many requests");
  // What is on its way as the client is told to ask less is not taken, and may be sent again.
  const untaken = replies.filter(({ reset }) => reset === constants.NGHTTP2_REFUSED_STREAM);
  assert.ok(refused.length > 0);
  assert.equal(served + refused.length + untaken.length, asked);
  assert.ok(served >= quota && served <= quota * (2 + seconds), `${served} in ${seconds} s`);
  const records = world.audit().filter(({ seq, actor, outcome }) => {
    return seq > seen && actor.subject === "user:noisy" && outcome === "refused";
  });
  // The first, and one for each second.
  assert.ok(records.length >= 1 && records.length <= 2 + seconds, `${records.length} records`);
  // The one stream that it has left is not for a watch to take.
  const room = toldStreams(session, 2);
  const watch = session.request({
    ":method": "POST",
    ":path": "/etcdserverpb.Watch/Watch",
    "content-type": "application/grpc",
    te: "trailers",
    ...noisy,
  });
  watch.on("error", () => undefined);
  const value = rpc.WatchCreateRequest.fromPartial({ key: bytes("/k") });
  watch.write(
    frameOf(rpc.WatchRequest.encode({ requestUnion: { $case: "createRequest", value } }).finish()),
  );
  await room;
  session.destroy();
  await closed(session);
});

test("refusal 58: a connection that others share is not slowed down for one of them", async () => {
  const noisy = await tenantOf("noisy-shared", 2);
  const calm = { authorization: `Bearer ${await world.token("user:admin")}` };
  const session = await rawSession(world.endpoint, world.authority.certificate);
  const [first] = await flood(session, calm, 1);
  assert.equal(first?.status, "0");
  const flooding = flood(session, noisy, 200);
  const replies = await flood(session, calm, 50);
  assert.ok(replies.every(({ status }) => status === "0"));
  await flooding;
  assert.equal(session.remoteSettings.maxConcurrentStreams, 2048);
  session.destroy();
  await closed(session);
});

/** Bytes that live after a collection. */
function liveBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}

/** As long as a tenant's name may be: a longer one is refused for its length. */
const NAME_CHARS = 63;

test("refusal 59: requests for tenants that nobody has leave nothing behind", async () => {
  // Its subject asks where no token is shown.
  const { certificate, privateKey } = issueCertificate(world.authority, {
    commonName: "prober",
    usages: ["client"],
  });
  const { authority, port } = world;
  const target = {
    host: "127.0.0.1",
    port,
    ca: authority.certificate,
    cert: certificate,
    key: privateKey,
  };
  const tokens = [
    await world.token("user:prober", { tenants: ["*"] }),
    await world.token("user:prober", { tenants: ["default"] }),
    // None: it is the certificate that asks.
    "",
  ];
  let asked = 0;
  const nextField = (): readonly [string, string] => [
    "coffer-tenant",
    String(asked++).padStart(NAME_CHARS, "x"),
  ];
  const put = Buffer.from(message("/k"));
  const ask = async (count: number): Promise<void> => {
    for (const token of tokens) {
      let left = count;
      let refused = 0;
      const nextMessage = (): Buffer | undefined => (left-- > 0 ? put : undefined);
      const onAnswer = (_: number, ok: boolean): void => void (refused += ok ? 0 : 1);
      const plan = { path: "/etcdserverpb.KV/Put", streams: 200, nextField, nextMessage, onAnswer };
      const load = startConnection({ ...target, token }, plan);
      await load.connected;
      await load.run();
      assert.equal(refused, count);
    }
  };
  const session = await rawSession(world.endpoint, authority.certificate);
  for (const token of tokens.slice(0, 2)) {
    const metadata = { authorization: `Bearer ${token}`, "coffer-tenant": `nobody-${asked++}` };
    const [reply] = await flood(session, metadata, 1);
    assert.deepEqual([reply?.status, reply?.message], ["7", "etcdserver: permission denied"]);
  }
  session.destroy();
  await closed(session);
  await ask(2000);
  const before = liveBytes();
  await ask(32_000);
  const kept = liveBytes() - before;
  // A third of their names alone would be more.
  assert.ok(kept < (96_000 * NAME_CHARS) / 3, `${kept} bytes more are alive`);
  // Each is recorded, by itself or in the number of those of its second, which the end tells too.
  await world.stop();
  const records = world.audit().filter(({ actor }) => actor.subject.endsWith(":prober"));
  assert.ok(records.every(({ outcome, tenant }) => outcome === "refused" && tenant === ""));
  const counted = records.map(({ reason }) => / (\d+) more since/.exec(reason)?.[1] ?? "1");
  assert.equal(
    counted.reduce((sum, count) => sum + Number(count), 0),
    asked,
  );
});
