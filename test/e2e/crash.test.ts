import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { verifyFolder } from "../../src/audit/mod.ts";
import type { Client } from "../../src/client/mod.ts";
import { createChain } from "../../src/core/mvcc/mod.ts";
import { CLUSTER_SCOPE } from "../../src/core/types/mod.ts";
import { type Prng, createPrng } from "../../src/stdx/mod.ts";
import { openStateStore } from "../../src/storage/mod.ts";
import { MemberFolder, type MemberProcess } from "./member-process.ts";
import { type KeyChange, type Write, WriteLedger } from "./write-ledger.ts";
import { macsOfMember } from "../setup/member-macs.ts";

/**
 * kill -9 at random moments under writers at full speed: whatever was acknowledged is there after the
 * restart, at the revision that was told. COFFER_CRASHES sets how often, COFFER_SEED repeats a run.
 */

const CRASHES = Number(process.env["COFFER_CRASHES"] ?? 50);
const CLIENTS = 4;
const LANES = 8;
/** Each lane writes its own few keys, one request after the other. */
const KEYS_PER_LANE = 4;
const ACKS_MAX = 600;
/** A small number makes snapshots and the compaction of the log part of what is killed. */
const SNAPSHOT_ENTRIES = 40;

interface Round {
  readonly ledger: WriteLedger;
  readonly prng: Prng;
  /** Set when the kill is on its way: failures are expected from then on. */
  dying: boolean;
  /** Called with each acknowledgement. */
  onAck: () => void;
}

test(`no acknowledged write is lost in ${CRASHES} kills`, async (context) => {
  const seed = Number(process.env["COFFER_SEED"] ?? Date.now() % 2 ** 31);
  try {
    using folder = await MemberFolder.make(["--snapshot-entries", String(SNAPSHOT_ENTRIES)]);
    const acknowledged = await crashOften(folder, createPrng(seed));
    context.diagnostic(`${acknowledged} acknowledged writes survived, seed ${seed}`);
  } catch (error) {
    context.diagnostic(`Failed; repeat it with COFFER_SEED=${seed}`);
    throw error;
  }
});

async function crashOften(folder: MemberFolder, prng: Prng): Promise<number> {
  const ledger = new WriteLedger();
  let crashes = 0;
  while (crashes < CRASHES) {
    // Now and then it dies while it starts, at any step of it.
    if (prng.below(5) === 0) {
      await using member = folder.spawn();
      await Promise.race([delay(prng.below(600)), member.ready]);
      await member.kill();
      crashes++;
      continue;
    }
    await using member = await folder.start();
    await checkedRound(folder, member, { ledger, prng });
    crashes++;
  }
  await checkAudit(folder, ledger, "a partial last line may be there");
  await using member = await folder.start();
  await using client = folder.client();
  await ledger.check(client);
  await ledger.checkAll(client);
  assert.equal(await member.stop(), 0);
  await checkAudit(folder, ledger, "whole");
  await checkChain(folder);
  assert.ok(ledger.acknowledged.size > CRASHES * 20, "Too few writes for a test");
  return ledger.acknowledged.size;
}

async function checkedRound(
  folder: MemberFolder,
  member: MemberProcess,
  { ledger, prng }: { readonly ledger: WriteLedger; readonly prng: Prng },
): Promise<void> {
  const clients = Array.from({ length: CLIENTS }, () => folder.client());
  const [first] = clients;
  assert.ok(first !== undefined);
  await ledger.check(first);
  const killAfter = 1 + prng.below(ACKS_MAX);
  let acks = 0;
  const round: Round = {
    ledger,
    prng,
    dying: false,
    onAck: () => undefined,
  };
  const enough = new Promise<void>((resolve) => {
    round.onAck = () => {
      if (++acks === killAfter) resolve();
    };
  });
  const lanes = clients.flatMap((client, c) =>
    Array.from({ length: LANES }, (_, l) => runLane(client, `${c}.${l}`, round)),
  );
  await Promise.race([enough, ...lanes]);
  // Right after an answer, or somewhere in the batches that follow.
  await delay(prng.below(12));
  round.dying = true;
  await member.kill();
  await Promise.all(lanes);
  await Promise.all(clients.map((client) => client.close()));
}

/** Writes one request after the other until the member dies. */
async function runLane(client: Client, lane: string, round: Round): Promise<void> {
  let last = 0;
  for (;;) {
    const write = nextWrite(lane, round.prng);
    round.ledger.sent(write);
    try {
      const header = await send(client, write, round);
      round.ledger.answered(write, header);
      const at = round.ledger.noted(header);
      assert.ok(at > last, `The lane was answered ${at} after ${last}`);
      last = at;
      round.onAck();
    } catch (error) {
      if (round.dying && (error as { code?: unknown }).code === "unreachable") return;
      throw error;
    }
  }
}

let written = 0;

function nextWrite(lane: string, prng: Prng): Write {
  const key = (): string => `lane ${lane} key ${prng.below(KEYS_PER_LANE)}`;
  const value = (): string => `${++written} ${"x".repeat(prng.below(8) === 0 ? 2000 : 40)}`;
  if (prng.below(4) > 0) return [{ key: key(), value: value() }];
  const changes = new Map<string, KeyChange>();
  for (const name of [key(), key()].sort()) changes.set(name, { key: name, value: value() });
  return [...changes.values()];
}

type Header = { readonly revision: bigint } | undefined;

async function send(client: Client, write: Write, { ledger, prng }: Round): Promise<Header> {
  const [only, ...others] = write;
  const options = { timeoutMs: 20_000 };
  const lease = BigInt(++written);
  const attach = prng.below(50) === 0;
  if (attach) {
    await client.leaseGrant({ ID: lease, TTL: 3600n }, options);
    ledger.leaseGranted(lease);
  }
  const put = ({ key, value = "" }: KeyChange) => ({
    key: Buffer.from(key),
    value: Buffer.from(value),
    lease: attach ? lease : 0n,
  });
  if (only !== undefined && others.length === 0) {
    return (await client.put(put(only), options)).header;
  }
  const success = write.map((change) => ({
    request: { $case: "requestPut" as const, value: put(change) },
  }));
  return (await client.txn({ success }, options)).header;
}

/** Every acknowledged write has its record, and the chain of records holds. */
async function checkAudit(
  folder: MemberFolder,
  ledger: WriteLedger,
  end: "whole" | "a partial last line may be there",
): Promise<void> {
  const path = join(folder.data, "audit");
  const { ok, firstBad, records } = await verifyFolder(path);
  const files = readdirSync(path)
    .filter((name) => name.endsWith(".jsonl"))
    .sort();
  const text = files.map((name) => readFileSync(join(path, name), "utf8")).join("");
  if (!ok) {
    assert.equal(end, "a partial last line may be there", JSON.stringify(firstBad));
    assert.match(firstBad?.reason ?? "", /partial line/);
    assert.equal(basename(firstBad?.file ?? ""), files.at(-1));
    assert.ok(!text.endsWith("\n"));
  }
  const lines = text.split("\n").slice(0, -1);
  assert.equal(records, lines.length);
  const recorded = new Set<number>();
  for (const line of lines) {
    const record = JSON.parse(line) as { action: string; outcome: string; revision: number };
    const isWrite = record.action === "put" || record.action === "txn";
    if (isWrite && record.outcome === "ok") recorded.add(record.revision);
  }
  for (const at of ledger.answeredRevisions) {
    assert.ok(recorded.has(at), `The write at revision ${at} was acknowledged without a record`);
  }
}

/** Links the history anew and compares it with the chain that the member kept. */
async function checkChain(folder: MemberFolder): Promise<void> {
  const { state: mac } = await macsOfMember(folder.data, folder.rootKeyFile);
  const store = openStateStore({ mac, path: join(folder.data, "state.db") });
  try {
    const chain = createChain((bytes) => createHash("sha256").update(bytes).digest());
    for (const scope of store.scopes()) {
      if (scope.id === CLUSTER_SCOPE) continue;
      let previous = chain.first(scope.id);
      for (let at = 2; at <= scope.revision; at++) {
        const rows = store.changes(scope.slot, { from: at, to: at, bytesMax: 2 ** 30 });
        const [row] = rows;
        assert.ok(row !== undefined, `History has no revision ${at}`);
        const { actor, time } = row;
        previous = chain.next({ previous, revision: at, actor, time, events: rows });
        assert.deepEqual(Buffer.from(row.hash ?? []), Buffer.from(previous), `Chain at ${at}`);
      }
      assert.deepEqual(Buffer.from(scope.hash), Buffer.from(previous));
    }
  } finally {
    store.close();
  }
}
