import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Peer, startCoffer, startEtcd } from "../bench/peers.ts";
import { session } from "./etcdctl-commands.ts";
import { Etcdctl } from "./etcdctl.ts";

/** The same session of Debian's etcdctl against Coffer and against Debian's etcd: equal answers. */

let coffer: Awaited<ReturnType<typeof startCoffer>>;
let etcd: Peer;

before(async () => {
  coffer = await startCoffer();
  etcd = await startEtcd(coffer);
});

after(async () => {
  await etcd.stop();
  await coffer.stop();
});

test(`etcdctl: ${session.length} commands answer alike on coffer and etcd`, async () => {
  assert.ok(session.length > 100, "The session is shorter than it should be");
  using ours = new Etcdctl(coffer);
  using theirs = new Etcdctl(etcd);
  const different: string[] = [];
  for (const [i, step] of session.entries()) {
    const [actual, expected] = await Promise.all([ours.run(step), theirs.run(step)]);
    try {
      assert.deepEqual(actual, expected);
    } catch {
      const shown = (answer: unknown): string => JSON.stringify(answer);
      different.push(
        `${i}: etcdctl ${step.args.join(" ")} ${JSON.stringify(step.stdin ?? "")}\n` +
          `  coffer: ${shown(actual)}\n  etcd:   ${shown(expected)}`,
      );
    }
  }
  assert.equal(different.join("\n"), "");
});
