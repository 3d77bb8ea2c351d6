import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { memberId } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { answer, headerText, run } from "./harness.ts";

const actor = { issuer: "https://issuer", subject: "user:alice", requestId: "r-1" };

describe("compact", () => {
  test("compact", async () => {
    const { asked, method } = answer(undefined);
    const client = { compact: method };
    assert.equal((await run(["compact", "3"], { client })).stdout, "compacted revision 3\n");
    await run(["compaction", "4", "--physical"], { client });
    assert.deepEqual(asked, [
      { revision: 3, physical: false },
      { revision: 4, physical: true },
    ]);
    assert.match((await run(["compact", "x"])).stderr, /the revision: "x" is not a whole number/);
  });
});

describe("token", () => {
  test("issue prints the token alone", async () => {
    const issued = { token: "a.b.c", tokenId: "j1", expires: 1_795_000_000_000 };
    const { asked, method } = answer(issued);
    const client = { tokenIssue: method };
    const argv = ["token", "issue", "--subject", "user:a", "--ttl", "8h", "--groups", "x,y"];
    assert.equal((await run([...argv, "--tenants", "blue"], { client })).stdout, "a.b.c\n");
    await run(argv, { client, env: { COFFER_TENANT: "red" } });
    const base = { subject: "user:a", groups: ["x", "y"], ttlSeconds: 28_800, certificate: "" };
    assert.deepEqual(asked, [
      { ...base, tenants: ["blue"] },
      { ...base, tenants: ["red"] },
    ]);
    assert.match((await run(["token", "issue"])).stderr, /needs --subject/);
  });

  test("whoami", async () => {
    const { method } = answer({ actor, tenant: "blue", groups: [] });
    const client = { whoAmI: method };
    assert.equal(
      (await run(["token", "whoami"], { client })).stdout,
      "subject: user:alice\nissuer: https://issuer\ntenant: blue\ngroups: -\n",
    );
  });
});

describe("status", () => {
  const body = {
    version: "3.6.14",
    cofferVersion: "0.1.0",
    dbSize: 20_480,
    dbSizeInUse: 16_384,
    leader: memberId(17628310501313495538n),
    raftIndex: 25,
    raftTerm: 2,
    raftAppliedIndex: 25,
    isLearner: false,
    errors: [],
  };
  const report = { ...body, version: "0.1.0" };
  const fleet = [
    {
      id: body.leader,
      name: "m1",
      clientUrls: ["https://a:1"],
      isLearner: false,
      report,
      roundTripUs: 0,
    },
    {
      id: memberId(0xa1n),
      name: "m2",
      clientUrls: ["https://b:2"],
      isLearner: true,
      report: { ...report, raftAppliedIndex: 20 },
      roundTripUs: 1540,
    },
    {
      id: memberId(0xa2n),
      name: "m3",
      clientUrls: ["https://c:3"],
      isLearner: false,
      report: undefined,
      roundTripUs: 0,
    },
    {
      id: memberId(0xa3n),
      name: "",
      clientUrls: [],
      isLearner: false,
      report: undefined,
      roundTripUs: 0,
    },
  ];

  /** Without the latency, which differs each time, and with single spaces. */
  const squeezed = (table: string): readonly string[] =>
    table
      .trimEnd()
      .split("\n")
      .map((line) => line.replace(/ [0-9.]+ ms(?= +\S+$)/, " N ms").replaceAll(/ +/g, " "));

  test("shows all members through one of them", async () => {
    const client = { status: answer(body).method, clusterStatus: answer(fleet).method };
    const { code, stdout, stderr } = await run(["status", "--endpoints", "https://a:1"], {
      client,
    });
    assert.deepEqual(squeezed(stdout), [
      "NAME ID ENDPOINT ROLE TERM INDEX LAG VERSION SIZE ROUND TRIP LATENCY ERRORS",
      "m1 f4a457008d1441f2 https://a:1 leader 2 25 0 0.1.0 20.0 KiB - N ms -",
      "m2 a1 https://b:2 learner 2 25 5 0.1.0 20.0 KiB 1.5 ms - -",
      "m3 a2 https://c:3 unreachable - - - - - - - -",
      "- a3 - unstarted - - - - - - - -",
    ]);
    assert.equal(code, 5);
    assert.equal(stderr, "Error: https://c:3: the other members cannot reach it\n");
    const again = ["status", "--endpoints", "https://a:1", "-w", "table"];
    assert.deepEqual(squeezed((await run(again, { client })).stdout), squeezed(stdout));
  });

  test("names the member of an endpoint that is down, as the others know it", async () => {
    let asked = 0;
    const { code, stdout, stderr } = await run(
      ["status", "--endpoints", "https://c:3,https://a:1"],
      {
        client: {
          clusterStatus: () =>
            asked++ === 0
              ? Promise.reject(new CofferError("timeout"))
              : answer(fleet.slice(0, 3)).method(),
          status: answer(body).method,
        },
      },
    );
    assert.deepEqual(
      squeezed(stdout)
        .slice(1)
        .map((line) => line.split(" ").slice(0, 4).join(" ")),
      [
        "m3 a2 https://c:3 unreachable",
        "m1 f4a457008d1441f2 https://a:1 leader",
        "m2 a1 https://b:2 learner",
      ],
    );
    assert.equal(code, 5);
    assert.equal(stderr, "Error: https://c:3: etcdserver: request timed out\n");
  });

  test("shows an endpoint that is down beside one that is up", async () => {
    let asked = 0;
    const { code, stdout, stderr } = await run(
      ["status", "--endpoints", "https://a:1,https://b:2"],
      {
        client: {
          clusterStatus: () =>
            Promise.reject(new CofferError(asked++ === 0 ? "unimplemented" : "timeout")),
          status: answer(body).method,
        },
      },
    );
    assert.deepEqual(squeezed(stdout).slice(1), [
      "- f4a457008d1441f2 https://a:1 leader 2 25 0 0.1.0 20.0 KiB - N ms -",
      "- - https://b:2 unreachable - - - - - - - -",
    ]);
    assert.equal(code, 5);
    assert.equal(stderr, "Error: https://b:2: etcdserver: request timed out\n");
  });

  test("-w json is etcdctl's endpoint status and more", async () => {
    const client = { status: answer(body).method, clusterStatus: answer(fleet.slice(0, 1)).method };
    const { stdout } = await run(["status", "-w", "json"], { client });
    assert.equal(
      stdout.replace(/"LatencyMs":[0-9.]+/, '"LatencyMs":0'),
      `[{"Endpoint":"https://127.0.0.1:2379","Name":"m1","ID":17628310501313495538,"Lag":0,"LatencyMs":0,"Status":{${headerText},"version":"3.6.14","cofferVersion":"0.1.0","dbSize":20480,"leader":17628310501313495538,"raftIndex":25,"raftTerm":2,"raftAppliedIndex":25,"dbSizeInUse":16384}}]\n`,
    );
  });
});
