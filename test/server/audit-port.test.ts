import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { nodeFiles } from "../../src/audit/file-port.ts";
import { openAudit, readLine, verifyFolder } from "../../src/audit/mod.ts";
import { auditPort } from "../../src/server/audit-port.ts";
import { memberEvent } from "../../src/server/member-event.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";

test("refusal 62: a request that was under way as the log failed is recorded once it can be", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "coffer-audit-port-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  let isFull = false;
  const files = {
    ...nodeFiles,
    write: (fd: number, bytes: Uint8Array): void => {
      if (isFull) throw new Error("no space left");
      nodeFiles.write(fd, bytes);
    },
  };
  const clock = { now: () => 0 };
  const audit = await openAudit({ folder, memberId: "7", clock, log: silentLogger, files });
  const port = auditPort(audit, silentLogger);
  const given = { requestId: "r", tenant: "t", action: "put", revision: 5 };
  const ok = { rights: [["write"]], outcome: "ok" } as const;
  const eventOf = (name: string) => ({ ...memberEvent(given), ...ok, key: name });
  const put = (name: string) => port.append(eventOf(name));
  await put("/before");
  isFull = true;
  const underWay = [put("/a"), put("/b")];
  // Its entry may be committed all the same.
  const timedOut = { ...eventOf("/c"), outcome: "failed", reason: "timeout" } as const;
  underWay.push(port.append(timedOut));
  const refused = { ...eventOf("/d"), outcome: "refused", reason: "permission-denied" } as const;
  underWay.push(port.append(refused));
  for (const one of underWay) await assert.rejects(one, { code: "audit-blocked" });
  // As the next request does, which is refused before any work.
  const probe = { ...eventOf("/probe"), outcome: "failed", reason: "audit-blocked" } as const;
  await assert.rejects(port.append(probe), { code: "audit-blocked" });
  isFull = false;
  // Whatever is written first, such as a mark.
  await audit.append(memberEvent({ action: "log-mark" }));
  await audit.sync();
  const told: string[] = [];
  for await (const line of audit.newest()) {
    const reading = readLine(line);
    assert.ok(reading.ok);
    const { action, key, outcome, revision, reason } = reading.record;
    told.unshift([action, key, outcome, revision, String(reason).split(":")[0]].join(" ").trim());
  }
  assert.deepEqual(told, [
    "put /before ok 5",
    "log-mark  ok 0",
    "put /a unknown 5 recorded late",
    "put /b unknown 5 recorded late",
    "put /c unknown 5 recorded late",
  ]);
  await audit.close();
  assert.equal((await verifyFolder(folder)).ok, true);
});
