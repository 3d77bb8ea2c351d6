import assert from "node:assert/strict";
import { test } from "node:test";
import { memberId } from "../../src/core/types/mod.ts";
import { type ForwardReply, decodeForward, encodeForward } from "../../src/wire/mod.ts";
import {
  type FakeCluster,
  type FakeMember,
  REQUEST_TIMEOUT_MS,
  startCluster,
  urlOf,
} from "./fake-cluster.ts";

/** What a member that comes without data is told of itself. */

const JOINER = "m9";
const EARLIER = memberId(0xfeed_0000_0000_0001n);
const LATER = memberId(0xfeed_0000_0000_0002n);

/** Joins the hub as a process that has nothing but a name. */
function stranger(cluster: FakeCluster): (of: FakeMember) => Promise<ForwardReply | undefined> {
  let told: ForwardReply | undefined;
  const peers = cluster.hub.connect(
    JOINER,
    (_, channel, bytes) => {
      const message = channel === "fwd" ? decodeForward(bytes) : undefined;
      if (message?.kind === "reply") told = message.body;
    },
    { isAlive: () => true },
  );
  cluster.hub.setPeers(
    JOINER,
    cluster.members.map(({ name }) => name),
  );
  return async (of) => {
    told = undefined;
    const body = { kind: "join", name: JOINER } as const;
    peers.send(of.name, "fwd", encodeForward({ kind: "request", id: 1, body }));
    await cluster.time.run(200);
    return told;
  };
}

function idOf(reply: ForwardReply | undefined): bigint | undefined {
  return reply?.kind === "member" ? reply.member?.id : undefined;
}

function add(id: typeof EARLIER, isLearner: boolean) {
  return { kind: "add", id, peerUrls: [urlOf(JOINER)], isLearner } as const;
}

test("a member that lags names nobody to one that has lost its data", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const ask = stranger(cluster);
  const [lagging] = cluster.followers;
  assert.ok(lagging !== undefined);
  assert.equal(await cluster.change(leader, add(EARLIER, true)), "done");
  await cluster.settle();
  assert.equal(idOf(await ask(lagging)), EARLIER);
  for (const other of cluster.members) {
    if (other !== lagging) cluster.hub.cut(lagging.name, other.name);
  }
  assert.equal(await cluster.change(leader, { kind: "remove", id: EARLIER }), "done");
  assert.equal(await cluster.change(leader, add(LATER, true)), "done");
  assert.equal(await ask(lagging), undefined, "it has told an id that was used before");
  assert.equal(idOf(await ask(leader)), LATER);
  cluster.hub.heal();
  // What it was asked before waits for its time to be over; until then one question is enough.
  await cluster.time.run(REQUEST_TIMEOUT_MS);
  assert.equal(idOf(await ask(lagging)), LATER);
});

test("the second of two voters is told who it is, though there is no majority yet", async (context) => {
  const cluster = startCluster(context, { members: 1 });
  const only = await cluster.prepare();
  const ask = stranger(cluster);
  void cluster.change(only, add(EARLIER, false));
  await cluster.time.until(() => only.node.state.members().some(({ id }) => id === EARLIER), 1000);
  assert.equal(idOf(await ask(only)), EARLIER);
  // Nor is there one for a change that was begun since, which would wait for it for ever.
  void cluster.change(only, { kind: "remove", id: EARLIER });
  await cluster.time.run(100);
  assert.equal(idOf(await ask(only)), EARLIER);
});
