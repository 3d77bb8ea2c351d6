import assert from "node:assert/strict";
import type { ClientHttp2Session } from "node:http2";
import { after, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Client } from "../../src/client/mod.ts";
import { rpc } from "../../src/proto/mod.ts";
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
  const slowed = new Promise<void>((resolve) => {
    session.on("remoteSettings", ({ maxConcurrentStreams }) => {
      if (maxConcurrentStreams === 4) resolve();
    });
  });
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
  assert.equal(served + refused.length, asked);
  assert.ok(served >= quota && served <= quota * (2 + seconds), `${served} in ${seconds} s`);
  const records = world.audit().filter(({ seq, actor, outcome }) => {
    return seq > seen && actor.subject === "user:noisy" && outcome === "refused";
  });
  // The first, and one for each second.
  assert.ok(records.length >= 1 && records.length <= 2 + seconds, `${records.length} records`);
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

test("refusal 59: requests for tenants that nobody has leave nothing behind", async () => {
  const bound = ["*", "default"] as const;
  const session = await rawSession(world.endpoint, world.authority.certificate);
  let asked = 0;
  /** Each name is new, and so long that keeping a thousand of them would show. */
  const ask = async (count: number): Promise<void> => {
    for (const tenant of bound) {
      const authorization = `Bearer ${await world.token("user:prober", { tenants: [tenant] })}`;
      for (let sent = 0; sent < count; sent += 50) {
        const replies = await Promise.all(
          Array.from({ length: 50 }, () => {
            const name = `${"x".repeat(6000)}-${asked++}`;
            const metadata = { authorization, "coffer-tenant": name };
            return rawCall(session, "/etcdserverpb.KV/Put", message("/k"), metadata);
          }),
        );
        for (const { message: text } of replies) {
          assert.equal(text, "etcdserver: permission denied");
        }
      }
    }
  };
  await ask(500);
  const before = liveBytes();
  await ask(5000);
  const kept = liveBytes() - before;
  // 10,000 names of 6,000 bytes.
  assert.ok(kept < 10 * 2 ** 20, `${kept} bytes more are alive`);
  session.destroy();
  await closed(session);
});
