import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type MemberInfo, clusterId, memberId } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { joinCluster, refuseLostData } from "../../src/server/introduction.ts";
import type { Network, Receiver } from "../../src/server/network.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { type ForwardReply, decodeForward, encodeForward } from "../../src/wire/mod.ts";

/** Who a member without data is told to be, and when it is refused. */

const CLUSTER = clusterId(0xc1n);
const OWN = memberId(0xa1n);

const member = (id: bigint, name: string): MemberInfo => ({
  id: memberId(id),
  name,
  peerUrls: ["https://m1:2380"],
  clientUrls: [],
  isLearner: false,
});

type Answer = Extract<ForwardReply, { kind: "member" }>;

const answer = (of: MemberInfo | undefined, started: boolean): Answer => ({
  kind: "member",
  member: of,
  clusterId: CLUSTER,
  started,
  members: [member(0xb2n, "m2")],
});

/** A running member that does not know the one that asks. */
const stranger: Answer = answer(undefined, false);
/** One that begins itself. */
const fresh: Answer = { ...stranger, members: [] };

/** A network on which each name gives its answers in turn, and its last one again and again. */
function network(answers: { readonly [name: string]: readonly Answer[] }): {
  readonly network: Network;
  readonly peers: () => readonly string[];
  /** What this member has answered others. */
  readonly told: ForwardReply[];
  receive(from: string, payload: Uint8Array): void;
} {
  let receiver: Receiver | undefined;
  let peers: readonly string[] = [];
  const asked = new Map<string, number>();
  const told: ForwardReply[] = [];
  const send = (to: string, _channel: string, payload: Uint8Array): boolean => {
    const message = decodeForward(payload);
    if (message.kind === "reply") told.push(message.body);
    if (message.kind !== "request") return true;
    const all = answers[to] ?? [];
    const turn = asked.get(to) ?? 0;
    asked.set(to, turn + 1);
    const body = all[Math.min(turn, all.length - 1)];
    if (body !== undefined) {
      const reply = encodeForward({ kind: "reply", id: message.id, body });
      setImmediate(() => receiver?.receive(to, "fwd", reply));
    }
    return true;
  };
  const transport = {
    send,
    setPeers: (names: readonly string[]) => {
      peers = names;
    },
  };
  return {
    network: {
      transport: transport as unknown as Network["transport"],
      missing: () => undefined,
      deliverTo: (next) => {
        receiver = next;
      },
      observeWith: () => undefined,
      stop: () => Promise.resolve(),
    },
    peers: () => peers,
    told,
    receive: (from, payload) => receiver?.receive(from, "fwd", payload),
  };
}

function deps(
  stand: { readonly network: Network },
  signal: AbortSignal = new AbortController().signal,
): Parameters<typeof joinCluster>[0] {
  const others = ["m2", "m3"];
  return {
    name: "m1",
    clusterId: CLUSTER,
    others,
    network: stand.network,
    log: silentLogger,
    signal,
  };
}

async function refusal(work: Promise<unknown>): Promise<CofferError> {
  const error: unknown = await work.then(
    () => assert.fail("it was let through"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof CofferError);
  return error;
}

describe("a member that joins", () => {
  test("is who a member that knows it says, and knows the others from then on", async () => {
    const stand = network({ m3: [answer(member(0xa9n, ""), false)] });
    const told = await joinCluster(deps(stand));
    assert.equal(told.member.id, 0xa9n);
    assert.deepEqual(told.members, [member(0xb2n, "m2")]);
    assert.deepEqual(stand.peers(), ["m2", "m3"]);
  });

  test("waits for one that has heard of its adding", async () => {
    const late = answer(member(0xa9n, ""), false);
    const stand = network({ m2: [fresh], m3: [fresh, fresh, late] });
    assert.equal((await joinCluster(deps(stand))).member.id, 0xa9n);
  });

  test("is not the member that had its name before, whom one that lags still knows", async () => {
    const old = answer(member(0xa1n, "m1"), true);
    const stand = network({ m2: [old], m3: [old, answer(member(0xa9n, ""), false)] });
    assert.equal((await joinCluster(deps(stand))).member.id, 0xa9n);
  });

  test("is refused by the others' word that they do not know it", async () => {
    const error = await refusal(joinCluster(deps(network({ m2: [stranger], m3: [stranger] }))));
    assert.equal(error.code, "invalid-argument");
    assert.match(error.message, /'m1' is not a member of the cluster .*etcdctl member add m1/);
  });

  test("is not told by a member of another cluster, nor by an answer to another question", async () => {
    const other = { ...answer(member(0xa9n, ""), false), clusterId: clusterId(0xc2n) };
    const stand = network({ m2: [other] });
    const stop = new AbortController();
    const joining = refusal(joinCluster(deps(stand, stop.signal)));
    const body = answer(member(0xa9n, ""), false);
    stand.receive("m3", encodeForward({ kind: "reply", id: 7, body }));
    stand.receive("m3", Uint8Array.of(0xff, 1, 2));
    setTimeout(() => stop.abort(), 600);
    assert.equal((await joining).code, "stopped");
  });
});

describe("a member that begins a cluster without data", () => {
  test("is let through by a majority that begins too, and tells others the same", async () => {
    const stand = network({ m2: [fresh], m3: [fresh] });
    const begun = refuseLostData(deps(stand), OWN);
    const body = { kind: "who-am-i", name: "m2" } as const;
    stand.receive("m2", encodeForward({ kind: "request", id: 9, body }));
    await begun;
    assert.deepEqual(stand.told, [fresh]);
  });

  test("waits for a majority", async () => {
    const stop = new AbortController();
    const begun = refusal(refuseLostData(deps(network({}), stop.signal), OWN));
    setTimeout(() => stop.abort(), 600);
    assert.equal((await begun).code, "stopped");
  });

  test("is refused if one of them has heard of it", async () => {
    const known = answer(member(OWN, "m1"), true);
    const error = await refusal(refuseLostData(deps(network({ m2: [fresh], m3: [known] })), OWN));
    assert.match(error.message, /'m1' has been a member .* and its data is lost: remove it/);
  });

  test("is refused if its name was added anew", async () => {
    const anew = answer(member(0xa9n, ""), false);
    const error = await refusal(refuseLostData(deps(network({ m2: [anew] })), OWN));
    assert.match(error.message, /added to the running cluster anew: .*existing/);
  });
});
