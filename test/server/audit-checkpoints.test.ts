import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { decodeCheckpoint, openAudit } from "../../src/audit/mod.ts";
import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type Proposal,
  type StateReader,
  type TenantId,
} from "../../src/core/types/mod.ts";
import { keepCheckpoints, placeOfTenant } from "../../src/server/audit-checkpoints.ts";
import { memberEvent } from "../../src/server/member-event.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";

/** Which chains a member signs. */

const TENANT = "0c1e3897-a6c1-4139-abee-93c1e94475e4";

test("the records that reached no tenant get no checkpoint that could be taken for the member's", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "coffer-checkpoints-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const clock = { now: () => 0 };
  const audit = await openAudit({ folder, memberId: "7", clock, log: silentLogger });
  context.after(() => audit.close());
  // Refusals of who is unknown, an operator's work, and a tenant's.
  for (const tenant of ["", "", CLUSTER_SCOPE, TENANT, TENANT]) {
    await audit.append(memberEvent({ action: "x", tenant }));
  }
  const sealed = new Map<string, Uint8Array>();
  const proposed: Proposal[] = [];
  const state = {
    // Whatever is asked for is there.
    tenant: (id: string) => ({ id }),
    records: () => [],
    record: (_scope: string, _table: string, id: string) => sealed.get(id),
  } as unknown as StateReader;
  const propose = async (proposal: Proposal): Promise<ApplyResult> => {
    proposed.push(proposal);
    assert.ok(proposal.command.kind === "records");
    for (const { id, data = new Uint8Array() } of proposal.command.changes) sealed.set(id, data);
    return { kind: "done", policyRevision: 0 };
  };
  const checkpoints = keepCheckpoints({
    audit,
    cluster: "c1",
    member: "a1",
    marksWritten: () => 0,
    clock,
    scheduler: { every: () => () => undefined, after: () => () => undefined, soon: setImmediate },
    log: silentLogger,
    node: { state, propose, readIndex: () => undefined },
    keyring: {
      sealSecret: (_, secret) => Uint8Array.from(secret),
      openSecret: (_, secret) => Uint8Array.from(secret),
    },
  });
  await checkpoints.stop();
  const signed = proposed.flatMap(({ tenant, command }) => {
    assert.ok(command.kind === "records");
    return command.changes
      .filter(({ table }) => table === "checkpoint")
      .map(({ data }) => decodeCheckpoint(Buffer.from(data ?? []).toString("latin1")))
      .map((checkpoint) => [tenant, checkpoint?.tenant, checkpoint?.seq]);
  });
  assert.deepEqual(signed, [
    [CLUSTER_SCOPE, "", 5],
    [TENANT, TENANT, 2],
  ]);
  const head = { seq: 1, hash: "" };
  assert.equal(placeOfTenant(state, "", head), undefined);
  assert.equal(placeOfTenant(state, CLUSTER_SCOPE, head), undefined);
  assert.deepEqual(placeOfTenant(state, TENANT, head), { tenant: TENANT as TenantId, head });
});
