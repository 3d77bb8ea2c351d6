import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Audit, type AuditEvent, openAudit, readLine } from "../../src/audit/mod.ts";
import {
  type Command,
  type HistoryItem,
  type StateReader,
  type TenantId,
  NO_LEASE,
  key,
  memberId,
  revision,
} from "../../src/core/types/mod.ts";
import { recoverRecords } from "../../src/server/audit-recovery.ts";
import { memberEvent } from "../../src/server/member-event.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { encodeProposals } from "../../src/wire/mod.ts";

/** Which records a start makes again, for the entries of a log and what the audit log has of them. */

const SELF = memberId(7n);
const TENANT = "0c1e3897-a6c1-4139-abee-93c1e94475e4" as TenantId;

const putOf = (name: string): Command => ({
  kind: "put",
  request: {
    key: key(name),
    value: new Uint8Array(),
    lease: NO_LEASE,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
  },
});

const opOf = (name: string) => {
  const command = putOf(name);
  assert.ok(command.kind === "put");
  return command;
};

interface Entry {
  readonly requestId: string;
  readonly command: Command;
  readonly origin?: bigint;
}

/** An audit log with a mark of index 0, then `events`; and a log of `entries` from index 1 on. */
async function recovered(
  context: TestContext,
  entries: readonly Entry[],
  events: readonly Partial<AuditEvent>[],
  history: readonly (readonly [name: string, revision: number, requestId: string])[] = [],
): Promise<{ readonly records: readonly Record<string, unknown>[]; again: () => Promise<number> }> {
  const folder = mkdtempSync(join(tmpdir(), "coffer-recovery-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const clock = { now: () => 0 };
  const log = silentLogger;
  const audit = await openAudit({ folder, memberId: "7", clock, log });
  context.after(() => audit.close());
  await audit.append(memberEvent({ action: "log-mark", key: "index:0" }));
  const given = { action: "put", tenant: TENANT, rights: [["write"]] };
  for (const event of events) await audit.append(memberEvent({ ...given, ...event }));
  const raftLog = {
    firstIndex: 1,
    entries: (lo: number, hi: number) =>
      entries
        .map((entry, i) => ({ index: i + 1, kind: "normal" as const, data: dataOf(entry, i + 1) }))
        .filter(({ index }) => index >= lo && index < hi),
  };
  const state = { history: (_: TenantId, name: string) => historyOf(name, history) };
  const deps = { audit, log, raftLog, state: state as unknown as StateReader, memberId: SELF };
  const before = audit.head.seq;
  await recoverRecords(deps, entries.length);
  const records = await recordsAfter(audit, before);
  const again = async (): Promise<number> => {
    const { seq } = audit.head;
    await recoverRecords(deps, entries.length);
    return audit.head.seq - seq;
  };
  return { records, again };
}

function dataOf({ requestId, command, origin = 7n }: Entry, number: number): Uint8Array {
  const header = { origin: memberId(origin), life: 1, seq: number, time: 0, leaseTime: 0 };
  const actor = { issuer: "i", subject: "user:a", requestId };
  return encodeProposals(header, [{ tenant: TENANT, policyRevision: 1, actor, command }]);
}

const historyOf = (
  name: string,
  rows: readonly (readonly [string, number, string])[],
): readonly (Pick<HistoryItem, "type" | "actor"> & { readonly kv: object })[] =>
  rows
    .filter(([of]) => of === name)
    .map(([, at, requestId]) => ({
      type: "put",
      kv: { modRevision: revision(at) },
      actor: { issuer: "i", subject: "user:a", requestId },
    }));

async function recordsAfter(
  audit: Audit,
  seq: number,
): Promise<readonly Record<string, unknown>[]> {
  const lines: Record<string, unknown>[] = [];
  for await (const line of audit.newest()) {
    const reading = readLine(line);
    assert.ok(reading.ok);
    if ((reading.member?.seq ?? 0) > seq) lines.unshift(reading.record);
  }
  return lines;
}

const told = (records: readonly Record<string, unknown>[]) =>
  records.map(({ requestId, action, key: name, revision: at, outcome }) =>
    [requestId, action, name, at, outcome].join(" "),
  );

test("a write that has its record gets no other; one that has none gets one, and once", async (context) => {
  const entries = [
    { requestId: "a~1", command: putOf("/a") },
    { requestId: "a~2", command: putOf("/b") },
    { requestId: "other", command: putOf("/c"), origin: 8n },
  ];
  const { records, again } = await recovered(
    context,
    entries,
    [{ requestId: "a~1", revision: 2 }],
    [
      ["/a", 2, "a~1"],
      ["/b", 3, "a~2"],
    ],
  );
  assert.deepEqual(told(records), ["a~2 put /b 3 ok"]);
  assert.equal(await again(), 0);
});

test("records of a transaction's parts do not stand for that of the transaction", async (context) => {
  const write = opOf("/a");
  const other = opOf("/b");
  const nested = { compare: [], success: [opOf("/c")], failure: [] };
  const request = {
    compare: [],
    success: [other],
    failure: [write, { kind: "txn", request: nested }],
  };
  const command = { kind: "txn", request, guards: [] } as unknown as Command;
  const part = { requestId: "r", rights: [] };
  const { records, again } = await recovered(
    context,
    [{ requestId: "r", command }],
    [
      { ...part, action: "txn.compare" },
      { ...part, action: "txn.put", key: "/a" },
    ],
    [
      ["/a", 5, "r"],
      ["/b", 4, "earlier"],
      ["/c", 5, "r"],
    ],
  );
  assert.deepEqual(told(records), ["r txn.put /a 5 ok", "r txn.put /c 5 ok", "r txn /a 5 ok"]);
  assert.equal(await again(), 0);
});

test("a command that leaves no revision is told of, as of unknown outcome", async (context) => {
  const command: Command = {
    kind: "tenant-delete",
    id: "ef348d86-a302-41e8-bc2e-9a5b611548c6" as TenantId,
  };
  const recordsOf: Command = { kind: "records", changes: [] };
  const { records } = await recovered(
    context,
    [
      { requestId: "r1", command },
      { requestId: "r2", command: recordsOf },
      // Proposed again, as the policy had moved.
      { requestId: "r2", command: recordsOf },
      { requestId: "", command: recordsOf },
    ],
    [{ requestId: "r2", action: "policy-add", rights: [] }],
  );
  assert.deepEqual(told(records), ["r1 tenant-delete  0 unknown", "r2 records  0 unknown"]);
});
