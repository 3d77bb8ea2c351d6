import assert from "node:assert/strict";
import { test } from "node:test";
import { health as healthPage } from "../../src/api/http/health.ts";
import type { EdgeDeps } from "../../src/edge/gate.ts";
import { health } from "../../src/edge/status.ts";
import { addressesOf } from "../../src/server/network.ts";

/** What probes say of a member that has lost its way to the others. */

test("a member without leader says that it is not connected to NATS, and not where that is", async () => {
  let missing: readonly string[] | undefined = ["10.0.0.1:4222"];
  const deps = {
    node: { leader: 0n },
    alarms: () => [],
    natsMissing: () => missing,
  } as unknown as EdgeDeps;
  const failure = async (): Promise<string | undefined> =>
    (await health(deps, ["linearizable-read"]))[0]?.failure;
  assert.equal(await failure(), "etcdserver: no leader (not connected to NATS)");
  // etcd's clients know this page by its text.
  const edge = { health: health.bind(undefined, deps) };
  const page = await healthPage(edge, new URLSearchParams());
  assert.equal(page.body, '{"health":"false","reason":"RAFT NO LEADER"}');
  missing = undefined;
  assert.equal(await failure(), "etcdserver: no leader");
});

test("of a NATS URL only host and port are told", () => {
  assert.deepEqual(addressesOf(["tls://user:secret@nats.example:4222", "nats://[::1]:4223"]), [
    "nats.example:4222",
    "[::1]:4223",
  ]);
});
