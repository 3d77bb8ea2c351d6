import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TenantRow } from "../../src/cli/client-port.ts";
import { revision, tenantId } from "../../src/core/types/mod.ts";
import { answer, headerText, run } from "./harness.ts";

/** `coffer tenant ...`: what is asked, and what is shown. */

const blue: TenantRow = {
  id: tenantId("00000000-0000-4000-8000-000000000001"),
  name: "blue",
  created: 1_795_000_000_000,
  revision: revision(9),
  compactRevision: 3,
  policyRevision: 2,
  suspended: false,
  limits: { keysMax: 1000, bytesMax: 2 ** 20, requestsPerSecond: 50, watchesMax: 4 },
  compaction: { kind: "age", seconds: 3600 },
  usage: { keys: 12, leases: 1, bytes: 2048, liveBytes: 1024 },
  watches: 3,
  requestsRefused: 7,
};
const NONE = { kind: "none" } as const;

describe("tenant create", () => {
  test("the caller owns it unless an owner is named, and it has no limits", async () => {
    const created = answer(blue);
    const client = { tenantCreate: created.method };
    const { stdout } = await run(["tenant", "create", "blue"], { client });
    assert.equal(stdout, "tenant blue created\n");
    await run(["tenant", "create", "blue", "--owner", "user:alice"], { client });
    const asked = { name: "blue", limits: {}, compaction: NONE };
    assert.deepEqual(created.asked, [
      { ...asked, owner: "" },
      { ...asked, owner: "user:alice" },
    ]);
  });

  test("limits and auto-compaction go with it; none is none", async () => {
    const created = answer(blue);
    const limits = "--max-bytes 100MiB --max-keys 10 --max-leases 0 --max-key-bytes 512 ";
    const more = "--max-value-bytes 1KiB --requests-per-second 20 --request-burst 40 ";
    const last = "--max-watches none --auto-compaction-mode revision ";
    const options = `${limits}${more}${last}--auto-compaction-retention 1000`.split(" ");
    const client = { tenantCreate: created.method };
    assert.equal((await run(["tenant", "create", "blue", ...options], { client })).code, 0);
    assert.deepEqual(created.asked, [
      {
        name: "blue",
        owner: "",
        limits: {
          bytesMax: 100 * 2 ** 20,
          keysMax: 10,
          leasesMax: 0,
          keyBytesMax: 512,
          valueBytesMax: 1024,
          requestsPerSecond: 20,
          requestBurst: 40,
        },
        compaction: { kind: "count", revisions: 1000 },
      },
    ]);
  });
});

describe("tenant list and show", () => {
  test("usage stands beside limits", async () => {
    const red = { ...blue, name: "red", suspended: true, limits: {}, compaction: NONE };
    const client = { tenantList: answer([blue, red]).method };
    const id = "00000000-0000-4000-8000-000000000001";
    assert.equal(
      (await run(["tenant", "list"], { client })).stdout,
      [
        "NAME  ID                                    STATE      REVISION  KEYS     BYTES            LEASES",
        `blue  ${id}  active     9         12/1000  2.0 KiB/1.0 MiB  1`,
        `red   ${id}  suspended  9         12       2.0 KiB          1`,
        "",
      ].join("\n"),
    );
  });

  test("show tells all of one", async () => {
    const client = { tenantShow: answer(blue).method };
    assert.equal(
      (await run(["tenant", "show", "blue"], { client })).stdout,
      `name: blue
id: 00000000-0000-4000-8000-000000000001
state: active
created: 2026-11-18T11:06:40Z
revision: 9
compacted: 3
auto-compaction: keeps 1h
policy revision: 2
keys: 12 of at most 1000
bytes: 2.0 KiB of at most 1.0 MiB
bytes without history: 1.0 KiB
leases: 1
watches: 3 of at most 4; on this member
size of a key: no limit but the cluster's
size of a value: no limit but the cluster's
requests per second: 50, 50 at once; on each member
requests refused: 7; by this member since its start
`,
    );
  });

  test("JSON has both, and leaves out limits that are not there", async () => {
    const client = { tenantShow: answer(blue).method };
    const { stdout } = await run(["tenant", "show", "blue", "-w", "json"], { client });
    const tenant =
      '"tenant":{"id":"00000000-0000-4000-8000-000000000001","name":"blue","created":1795000000000,' +
      '"revision":9,"compact_revision":3,"policy_revision":2,"suspended":false,' +
      '"limits":{"bytes":1048576,"keys":1000,"requests_per_second":50,"watches":4},' +
      '"auto_compaction":{"mode":"periodic","seconds":3600},' +
      '"usage":{"keys":12,"bytes":2048,"live_bytes":1024,"leases":1,"watches":3,"requests_refused":7}}';
    assert.equal(stdout, `{${headerText},${tenant}}\n`);
  });
});

describe("tenant set, rename, suspend, resume", () => {
  /** What the command asks for. */
  async function asked(...argv: string[]): Promise<unknown> {
    const updated = answer(blue);
    const { code, stderr } = await run(["tenant", ...argv], {
      client: { tenantUpdate: updated.method },
    });
    assert.equal(code, 0, stderr);
    return updated.asked[0];
  }

  test("set names what changes, and none takes away", async () => {
    assert.deepEqual(await asked("set", "blue", "--max-keys", "none", "--max-bytes", "1GiB"), {
      name: "blue",
      limits: { keysMax: undefined, bytesMax: 2 ** 30 },
    });
  });

  test("auto-compaction is spelt as etcd spells it", async () => {
    const compaction = async (...argv: string[]): Promise<unknown> =>
      ((await asked("set", "blue", ...argv)) as { readonly compaction: unknown }).compaction;
    const [mode, retention] = ["--auto-compaction-mode", "--auto-compaction-retention"];
    assert.deepEqual(await compaction(mode, "periodic", retention, "90m"), {
      kind: "age",
      seconds: 5400,
    });
    // A bare number is hours, and periodic the default.
    assert.deepEqual(await compaction(retention, "2"), { kind: "age", seconds: 7200 });
    assert.deepEqual(await compaction(mode, "revision", retention, "10"), {
      kind: "count",
      revisions: 10,
    });
    assert.deepEqual(await compaction(mode, "none"), NONE);
  });

  test("what cannot be meant is refused", async () => {
    const stderr = async (...argv: string[]): Promise<string> =>
      (await run(["tenant", "set", "blue", ...argv])).stderr;
    assert.match(await stderr(), /tenant set needs a limit/);
    assert.match(await stderr("--auto-compaction-mode", "revision"), /needs the retention/);
    const fraction = ["--auto-compaction-mode", "revision", "--auto-compaction-retention", "1h"];
    assert.match(await stderr(...fraction), /"1h" is not a whole number/);
    const kept = ["--auto-compaction-mode", "none", "--auto-compaction-retention", "1h"];
    assert.match(await stderr(...kept), /leave --auto-compaction-retention out/);
    assert.match(await stderr("--requests-per-second", "0"), /below the least allowed, 1/);
  });

  test("rename, suspend and resume", async () => {
    assert.deepEqual(await asked("rename", "blue", "azure"), { name: "blue", newName: "azure" });
    assert.deepEqual(await asked("suspend", "blue"), { name: "blue", suspended: true });
    assert.deepEqual(await asked("resume", "blue"), { name: "blue", suspended: false });
  });
});

describe("tenant delete", () => {
  test("what destroys asks for a yes", async () => {
    const { code, stderr } = await run(["tenant", "delete", "blue"]);
    assert.equal(code, 2);
    assert.match(stderr, /^Error: this deletes all keys of tenant "blue": repeat with --yes\n/);
    const deleted = answer(undefined);
    const client = { tenantDelete: deleted.method };
    assert.equal((await run(["tenant", "delete", "blue", "--yes"], { client })).code, 0);
    assert.deepEqual(deleted.asked, ["blue"]);
  });
});
