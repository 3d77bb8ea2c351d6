import assert from "node:assert/strict";
import { test } from "node:test";
import { CLUSTER_SCOPE, memberId, systemActor } from "../../src/core/types/mod.ts";
import { parseIssuerRecord } from "../../src/identity/mod.ts";
import {
  BUILTIN_ISSUER,
  firstIssuerKey,
  openIssuerKey,
  planKeyRotation,
  replaceOldKey,
  rotateByAge,
} from "../../src/server/issuer-keys.ts";
import { createLogger } from "../../src/telemetry/mod.ts";
import { RecordsNode } from "./records-node.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;

/** Seals nothing: what is sealed, and that it is, others test. */
const keyring = {
  sealSecret: (_: string, bytes: Uint8Array) => Uint8Array.from(bytes),
  openSecret: (_: string, bytes: Uint8Array) => Uint8Array.from(bytes),
};

async function world() {
  const records = new RecordsNode();
  const clock = { ms: 1_795_348_800_000, now: () => clock.ms };
  const apply = async (changes: Awaited<ReturnType<typeof firstIssuerKey>>) =>
    await records.propose({
      tenant: CLUSTER_SCOPE,
      policyRevision: undefined,
      actor: systemActor("test"),
      command: { kind: "records", changes },
    });
  await apply(await firstIssuerKey({ keyring, clock }));
  const log = createLogger({ level: "error", destination: { write: () => undefined } });
  const deps = { node: records.node, keyring, clock, log };
  const keys = (): number => {
    const data = records.state.record(CLUSTER_SCOPE, "issuer", BUILTIN_ISSUER);
    const record = parseIssuerRecord(data ?? new Uint8Array());
    return record.keys.kind === "inline" ? record.keys.keys.length : 0;
  };
  return { records, deps, clock, apply, keys };
}

test("of two rotations at once one happens", async () => {
  const { deps, apply, keys } = await world();
  const plans = await Promise.all([planKeyRotation(deps, false), planKeyRotation(deps, false)]);
  const [first, second] = plans;
  assert.equal((await apply(first?.changes ?? [])).kind, "done");
  assert.deepEqual(await apply(second?.changes ?? []), { kind: "error", code: "not-found" });
  assert.equal((await openIssuerKey(deps)).keyId, first?.keyId);
  assert.equal(keys(), 2);
});

test("the leader replaces the key of age, and forgets the former one when its tokens have ended", async () => {
  const { records, deps, clock, keys } = await world();
  const first = (await openIssuerKey(deps)).keyId;
  const made = records.proposals.length;
  clock.ms += 30 * DAY - 1;
  await replaceOldKey(deps);
  assert.equal(records.proposals.length, made, "before its time");
  clock.ms += 1;
  await replaceOldKey(deps);
  const second = (await openIssuerKey(deps)).keyId;
  assert.notEqual(second, first);
  assert.equal(keys(), 2);
  assert.equal(records.proposals.at(-1)?.actor.subject, "system:rotate-key");
  clock.ms += 29 * DAY;
  await replaceOldKey(deps);
  assert.deepEqual([(await openIssuerKey(deps)).keyId, keys()], [second, 2]);
  // The second is of age now, while tokens of the first have ended.
  clock.ms += DAY + HOUR;
  await replaceOldKey(deps);
  const third = (await openIssuerKey(deps)).keyId;
  assert.deepEqual([third === second, keys()], [false, 2]);
  clock.ms += 29 * DAY;
  await replaceOldKey(deps);
  assert.equal(keys(), 2);
});

test("former keys go by themselves once their last token has ended", async () => {
  const { deps, clock, apply, keys } = await world();
  clock.ms += 10 * DAY;
  await apply((await planKeyRotation(deps, false)).changes);
  clock.ms += 29 * DAY;
  await replaceOldKey(deps);
  assert.equal(keys(), 2);
  // It is of age a little before the last token of the former key has ended.
  clock.ms += DAY;
  await replaceOldKey(deps);
  const { keyId } = await openIssuerKey(deps);
  assert.equal(keys(), 3);
  clock.ms += HOUR;
  await replaceOldKey(deps);
  assert.deepEqual([(await openIssuerKey(deps)).keyId, keys()], [keyId, 2]);
});

test("a follower leaves it to the leader, and looks when it begins to lead and each hour", async () => {
  const { records, deps, clock } = await world();
  records.leader = memberId(7n);
  clock.ms += 31 * DAY;
  const made = records.proposals.length;
  await replaceOldKey(deps);
  assert.equal(records.proposals.length, made);
  const hourly: (() => void)[] = [];
  const never = (): never => assert.fail("Nothing else is scheduled");
  const every = (ms: number, work: () => void): (() => void) => {
    assert.equal(ms, HOUR);
    hourly.push(work);
    return () => void hourly.splice(0);
  };
  const end = rotateByAge({ ...deps, scheduler: { soon: never, after: never, every } });
  const led = records.nextProposal();
  records.lead(1n);
  await led;
  const first = (await openIssuerKey(deps)).keyId;
  clock.ms += 31 * DAY;
  const later = records.nextProposal();
  hourly[0]?.();
  await later;
  assert.notEqual((await openIssuerKey(deps)).keyId, first);
  end();
  assert.deepEqual(hourly, []);
});
