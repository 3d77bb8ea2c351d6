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
function directoryOf(
  members: readonly MemberInfo[],
  { removed = [], first = [] }: { removed?: readonly number[]; first?: readonly MemberInfo[] } = {},
): Directory {
  const isRemovedMember = (id: bigint): boolean => removed.includes(Number(id));
  return new Directory(SELF.id, first, { members: () => members, isRemovedMember });
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
    const directory = directoryOf([SELF, member(9, "m2")], { removed: [2] });
    directory.learn([SELF, member(2, "m2")]);
    assert.equal(directory.idOf("m2"), 9n);
    assert.equal(directory.nameOf(memberId(2n)), undefined);
  });

  test("is nobody's of the first members who is in no table, once one who joined has it", () => {
    // A list of the first members that was brought up to date: the id made of the name never was.
    const directory = directoryOf([SELF, member(77, "m4")], { first: [SELF, member(0x44, "m4")] });
    assert.equal(directory.idOf("m4"), 77n);
    assert.equal(directoryOf([SELF], { first: [member(0x44, "m4")] }).idOf("m4"), 0x44n);
  });

  test("is not taken from this member itself by what another says", () => {
    const directory = directoryOf([SELF, member(2, "m2")]);
    directory.learn([member(9, SELF.name)]);
    assert.equal(directory.idOf(SELF.name), SELF.id);
  });

  test("is the table's again when a leader that is in it is heard of", () => {
    const directory = directoryOf([SELF, member(2, "m2"), member(3, "m3")]);
    directory.learn([member(9, "m2")]);
    assert.equal(directory.forgetTold(memberId(9n)), false);
    assert.equal(directory.idOf("m2"), 9n);
    assert.equal(directory.forgetTold(memberId(3n)), true);
    assert.equal(directory.idOf("m2"), 2n);
  });
});
