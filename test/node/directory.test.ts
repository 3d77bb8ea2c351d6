import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type MemberInfo, memberId } from "../../src/core/types/mod.ts";
import { Directory } from "../../src/node/directory.ts";

/** Whose a name is, where a member knows less than others do. */

const member = (id: number, name: string): MemberInfo => ({
  id: memberId(BigInt(id)),
  name,
  peerUrls: [],
  clientUrls: [],
  isLearner: false,
});

const SELF = member(1, "m1");

/** What the member has applied: these members, and the removal of those. */
function directoryOf(members: readonly MemberInfo[], removed: readonly number[] = []): Directory {
  const isRemovedMember = (id: bigint): boolean => removed.includes(Number(id));
  return new Directory(SELF.id, [], { members: () => members, isRemovedMember });
}

describe("a name that passed from one member to another", () => {
  test("is the new one's as soon as others tell of it, though its removal is not applied here", () => {
    const directory = directoryOf([SELF, member(2, "m2")]);
    assert.equal(directory.learn([SELF, member(9, "m2")]), true);
    assert.equal(directory.idOf("m2"), 9n);
    assert.equal(directory.nameOf(memberId(9n)), "m2");
  });

  test("is the newest one's, as it was told last", () => {
    const directory = directoryOf([SELF, member(2, "m2")]);
    directory.learn([SELF, member(9, "m2")]);
    directory.learn([SELF, member(7, "m2")]);
    assert.equal(directory.idOf("m2"), 7n);
    directory.learn([SELF, member(9, "m2")]);
    assert.equal(directory.idOf("m2"), 9n);
  });

  test("stays its own where one who lags tells of those before it", () => {
    const directory = directoryOf([SELF, member(9, "m2")], [2]);
    directory.learn([SELF, member(2, "m2")]);
    assert.equal(directory.idOf("m2"), 9n);
    assert.equal(directory.nameOf(memberId(2n)), undefined);
  });
});
