import assert from "node:assert/strict";
import { test } from "node:test";
import { type MemberChange, type MemberInfo, memberId } from "../../src/core/types/mod.ts";
import { refuseChange } from "../../src/node/member-rules.ts";

/**
 * `cluster` names the members: "v" a voter, "l" a learner, in capitals one that was never started;
 * a "!" behind it: not heard of.
 */
function check(cluster: string, change: MemberChange, expected: string | undefined): void {
  const words = cluster.split(" ");
  const members = words.map((word, i): MemberInfo => {
    const isStarted = !/[VL]/.test(word);
    return {
      id: memberId(BigInt(i + 1)),
      name: isStarted ? `m${i + 1}` : "",
      peerUrls: [`https://m${i + 1}:2380`],
      clientUrls: [],
      isLearner: /l/i.test(word),
    };
  });
  const view = {
    members,
    isRemoved: (id: bigint) => id === 66n,
    isConnected: (id: bigint) => !(words[Number(id) - 1] ?? "!").includes("!"),
    match: (id: bigint) => (words[Number(id) - 1]?.includes("-") === true ? 89 : 90),
    lastIndex: 100,
  };
  assert.equal(refuseChange(view, change), expected, `${cluster}: ${change.kind}`);
}

const add = (isLearner: boolean, id = 9n, url = "https://m9:2380"): MemberChange => {
  return { kind: "add", id: memberId(id), peerUrls: url === "" ? [] : [url], isLearner };
};
const remove = (id: bigint): MemberChange => ({ kind: "remove", id: memberId(id) });
const promote = (id: bigint): MemberChange => ({ kind: "promote", id: memberId(id) });

test("what may be added", () => {
  check("v v v", add(false), undefined);
  check("v v v", add(true), undefined);
  check("v", add(false), undefined);
  check("v V", add(false), "not-enough-started-members");
  check("v v V", add(false), "not-enough-started-members");
  check("v v v V", add(false), undefined);
  check("v v V", add(true), undefined);
  check("v v v!", add(true), undefined);
  check("v v! v!", add(true), "unhealthy-cluster");
  check("v v v v! v!", add(true), "unhealthy-cluster");
  check("v v!", add(true), "unhealthy-cluster");
  check("v v v l", add(true), "too-many-learners");
  check("v v v l", add(false), undefined);
  check("v v v", add(true, 2n), "member-exists");
  check("v v v", add(true, 66n), "member-exists");
  check("v v v", add(true, 9n, "https://m2:2380"), "peer-url-exists");
  // Names are what members know each other by, so another port makes no other member.
  check("v v v", add(true, 9n, "https://m2:9999"), "peer-url-exists");
  check("v v v", add(true, 9n, ""), "member-bad-urls");
});

test("what may be removed", () => {
  check("v v v", remove(1n), undefined);
  check("v v v!", remove(3n), undefined);
  check("v v v!", remove(2n), "unhealthy-cluster");
  check("v v v! v v", remove(2n), undefined);
  check("v", remove(1n), "not-enough-started-members");
  check("v v", remove(2n), undefined);
  check("v V", remove(1n), "not-enough-started-members");
  check("v V!", remove(2n), undefined);
  check("v v! l", remove(3n), undefined);
  check("v v v", remove(9n), "member-not-found");
  check("v v v", remove(66n), "member-not-found");
});

test("what may be promoted", () => {
  check("v v v l", promote(4n), undefined);
  check("v v v l-", promote(4n), "learner-not-ready");
  check("v v v", promote(3n), "member-not-learner");
  check("v v v", promote(9n), "member-not-found");
  check("v V l", promote(3n), undefined);
  check("v V V l", promote(4n), "not-enough-started-members");
});
