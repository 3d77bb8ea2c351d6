import assert from "node:assert/strict";
import test, { describe } from "node:test";
import type { CofferClient } from "../../src/cli/mod.ts";
import type { ClientConfig } from "../../src/config/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import { answer, headerText, reply, run } from "./harness.ts";

const m1 = {
  id: memberId(17628310501313495538n),
  name: "m1",
  peerUrls: ["https://m1:2380"],
  clientUrls: ["https://a:1"],
  isLearner: false,
};
const m4 = {
  id: memberId(0xabcn),
  name: "",
  peerUrls: ["https://m4:2380"],
  clientUrls: [],
  isLearner: true,
};
const memberList = answer([m1, m4]).method;

describe("member", () => {
  test("list", async () => {
    const { stdout } = await run(["member", "list"], { client: { memberList } });
    assert.equal(
      stdout,
      [
        "ID                STATUS     NAME  PEER URLS        CLIENT URLS  LEARNER",
        "f4a457008d1441f2  started    m1    https://m1:2380  https://a:1  false",
        "abc               unstarted  m4    https://m4:2380  -            true",
        "",
      ].join("\n"),
    );
    const table = await run(["member", "list", "-w", "table"], { client: { memberList } });
    assert.deepEqual([table.code, table.stdout], [0, stdout]);
    const json = await run(["member", "list", "-w", "json"], { client: { memberList } });
    const one = `{"ID":17628310501313495538,"name":"m1","peerURLs":["https://m1:2380"],"clientURLs":["https://a:1"]}`;
    const two = `{"ID":2748,"peerURLs":["https://m4:2380"],"isLearner":true}`;
    assert.equal(json.stdout, `{${headerText},"members":[${one},${two}]}\n`);
  });

  test("add says how to start the new member", async () => {
    const { asked, method } = answer({ member: m4, members: [m1, m4] });
    const client = { memberAdd: method };
    const { code, stdout } = await run(["member", "add", "m4", "--learner"], { client });
    assert.equal(code, 0);
    assert.match(stdout, /^Member abc added to cluster [0-9a-f]{16}\n\n/);
    assert.match(stdout, / --initial-cluster m1,m4\n {2}--initial-cluster-state existing\n$/);
    await run(["member", "add", "m4", "--peer-urls", "http://m4:1,https://m4:2"], { client });
    assert.deepEqual(asked, [
      { peerUrls: ["https://m4:2380"], isLearner: true },
      { peerUrls: ["http://m4:1", "https://m4:2"], isLearner: false },
    ]);
    const bad = await run(["member", "add", "M_4"]);
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /^Error: member name "M_4" is not made of 1 to 63 of a-z/);
  });

  for (const [verb, done] of [
    ["remove", "removed from"],
    ["promote", "promoted in"],
    ["update", "updated in"],
  ] as const) {
    test(`${verb} takes a name, the name of one that has not started, and an id`, async () => {
      const { asked, method } = answer([m1]);
      const calls = { memberRemove: method, memberPromote: method, memberUpdate: method };
      const client = { memberList, ...calls };
      const urls = verb === "update" ? ["--peer-urls", "https://m5:2380"] : [];
      for (const who of ["m1", "m4", "abc", "F4A457008D1441F2"]) {
        const { code, stdout } = await run(["member", verb, who, ...urls], { client });
        assert.equal(code, 0);
        assert.match(
          stdout,
          new RegExp(`^Member [0-9a-f]{3,16} ${done} cluster [0-9a-f]{3,16}\n$`),
        );
      }
      const ids = [m1.id, m4.id, m4.id, m1.id];
      const peerUrls = ["https://m5:2380"];
      assert.deepEqual(asked, verb === "update" ? ids.map((id) => ({ id, peerUrls })) : ids);
      const unknown = await run(["member", verb, "nobody", ...urls], { client });
      assert.equal(unknown.code, 3);
      assert.match(unknown.stderr, /^Error: etcdserver: member not found: "nobody"\n/);
    });
  }

  test("update needs the addresses", async () => {
    assert.match((await run(["member", "update", "m1"])).stderr, /needs --peer-urls/);
  });
});

test("move-leader asks the leader, wherever it is", async () => {
  const header = reply(undefined).header;
  const asked: string[] = [];
  const clientAt = (leader: bigint, address: string): CofferClient =>
    ({
      memberList,
      clusterStatus: () => {
        const report = { leader: memberId(leader) };
        const member = { id: memberId(leader), clientUrls: ["https://leader:7"], report };
        return Promise.resolve(reply([member]));
      },
      moveLeader: (id: bigint) => {
        asked.push(`${address} ${id.toString(16)}`);
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    }) as unknown as CofferClient;
  for (const leader of [header.memberId, 0x77n]) {
    let opened = 0;
    const connect = ({ endpoints }: ClientConfig): Promise<CofferClient> => {
      opened++;
      return Promise.resolve(clientAt(leader, endpoints[0]?.url ?? ""));
    };
    const argv = ["move-leader", "m4", "--endpoints", "https://any:1"];
    const { code, stdout } = await run(argv, { connect });
    assert.equal(code, 0);
    const from = leader.toString(16);
    assert.equal(stdout, `Leadership transferred from ${from} to abc\n`);
    assert.ok(opened > 0);
  }
  assert.deepEqual(asked, ["https://any:1 abc", "https://leader:7 abc"]);
});
