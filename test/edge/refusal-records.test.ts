import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { AuditEvent } from "../../src/edge/mod.ts";
import { RefusalRecords } from "../../src/edge/refusal-records.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";

/** Refusals by the thousand in the audit: the first, and then how many, once a second. */

interface Stand {
  readonly records: RefusalRecords;
  readonly written: AuditEvent[];
}

function stand(): Stand {
  const written: AuditEvent[] = [];
  const audit = {
    append: (event: AuditEvent) => {
      written.push(event);
      return Promise.resolve();
    },
  };
  const records = new RefusalRecords({ audit, log: silentLogger });
  return { records, written };
}

test("without credentials an address has some records a second, and the rest is counted", async (t) => {
  mock.timers.enable({ apis: ["setInterval"] });
  t.after(() => mock.timers.reset());
  const at = stand();
  const from = (peerAddress: string): AuditEvent => ({ ...refusal(""), tenant: "", peerAddress });
  for (let port = 1; port <= 1000; port++) await at.records.add(from(`10.0.0.1:${port}`));
  assert.equal(at.written.length, 100);
  await at.records.add(from("[::1]:1"));
  assert.equal(at.written.at(-1)?.peerAddress, "[::1]:1");
  mock.timers.tick(1000);
  assert.match(at.written.at(-1)?.reason ?? "", /: 900 more since the record before$/);
  assert.equal(at.written.at(-1)?.peerAddress, "10.0.0.1:1000");
  at.records.close();
});

function refusal(subject: string, key = "/k"): AuditEvent {
  return {
    tenant: "t1",
    revision: 0,
    policyRevision: 0,
    requestId: "r",
    actor: { issuer: "i", subject, groups: [] },
    certThumbprint: "",
    peerAddress: "p",
    action: "put",
    key,
    rangeEnd: "",
    rights: [],
    outcome: "refused",
    reason: "too-many-requests: over 1 requests per second",
  };
}

const lines = ({ written }: Stand): readonly string[] =>
  written.map(({ actor: { subject }, action, key, reason }) =>
    [subject, action, key, reason].join(" "),
  );

test("the first at once, those behind it once a second, until there are none", async (t) => {
  mock.timers.enable({ apis: ["setInterval"] });
  t.after(() => mock.timers.reset());
  const at = stand();
  for (let n = 0; n < 1000; n++) await at.records.add(refusal("user:a"));
  await at.records.add(refusal("user:b"));
  const reason = "too-many-requests: over 1 requests per second";
  const first = [`user:a put /k ${reason}`, `user:b put /k ${reason}`];
  assert.deepEqual(lines(at), first);
  mock.timers.tick(1000);
  const told = `user:a requests-refused  ${reason}: 999 more since the record before`;
  assert.deepEqual(lines(at), [...first, told]);
  // b's second passed without any, so its next one is recorded as a first one again.
  await at.records.add(refusal("user:b"));
  await at.records.add(refusal("user:a"));
  assert.equal(at.written.length, 4);
  at.records.close();
  assert.match(lines(at).at(-1) ?? "", /^user:a requests-refused .* 1 more/);
});

test("thousands of subjects share one record of their tenant", async () => {
  const at = stand();
  for (let n = 0; n < 5000; n++) await at.records.add(refusal(`user:${n}`));
  assert.equal(at.written.length, 1001);
  at.records.close();
  assert.equal(at.written.length, 1002);
  assert.match(at.written.at(-1)?.reason ?? "", /: 3999 more/);
});
