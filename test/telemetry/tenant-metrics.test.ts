import assert from "node:assert/strict";
import { test } from "node:test";
import { type TenantSample, tenantMetricsText } from "../../src/telemetry/mod.ts";

/** Series of tenants: the text, and that it comes in small pieces. */

const usage = { keys: 3, leases: 1, bytes: 300, liveBytes: 200 };
const blue: TenantSample = {
  name: "blue",
  suspended: false,
  usage,
  limits: { keysMax: 10, requestsPerSecond: 50 },
  watches: 2,
  refused: new Map([
    ["rate", 7],
    ["quota", 1],
  ]),
};

async function textOf(samples: readonly TenantSample[]): Promise<readonly string[]> {
  const pieces: string[] = [];
  for await (const piece of tenantMetricsText(samples)) pieces.push(piece);
  return pieces;
}

test("each family once, with a sample for each tenant that has one", async () => {
  const red = { ...blue, name: "red", suspended: true, limits: {}, refused: new Map() };
  const text = (await textOf([blue, red])).join("");
  const expected = `
# HELP coffer_tenant_keys Keys of the tenant.
# TYPE coffer_tenant_keys gauge
coffer_tenant_keys{coffer_tenant="blue"} 3
coffer_tenant_keys{coffer_tenant="red"} 3

# HELP coffer_tenant_keys_limit Keys that it may have.
# TYPE coffer_tenant_keys_limit gauge
coffer_tenant_keys_limit{coffer_tenant="blue"} 10

# HELP coffer_tenant_bytes Bytes of keys and sealed values, history included.
`;
  assert.ok(text.startsWith(expected), text);
  assert.ok(
    text.endsWith(`
# HELP coffer_tenant_requests_refused_total Requests that a limit or suspension refused on this member.
# TYPE coffer_tenant_requests_refused_total counter
coffer_tenant_requests_refused_total{coffer_tenant="blue",cause="rate"} 7
coffer_tenant_requests_refused_total{coffer_tenant="blue",cause="quota"} 1
`),
    text,
  );
  assert.match(text, /^coffer_tenant_suspended\{coffer_tenant="red"\} 1$/m);
  const families = text.match(/^# TYPE .*$/gm) ?? [];
  assert.equal(new Set(families).size, families.length);
});

test("thousands of tenants come in pieces, each with a turn of its own", async () => {
  const samples = Array.from({ length: 5000 }, (_, n) => ({ ...blue, name: `tenant-${n}` }));
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const pieces = await textOf(samples);
  isOver = true;
  assert.ok(Math.max(...pieces.map(({ length }) => length)) < 100_000);
  assert.ok(turns >= pieces.filter((piece) => !piece.startsWith("\n#")).length, `${turns} turns`);
  const lines = pieces.join("").split("\n");
  assert.equal(lines.filter((line) => line.startsWith("coffer_tenant_keys{")).length, 5000);
});
