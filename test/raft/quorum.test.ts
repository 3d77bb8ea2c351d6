import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { countVotes, joinVotes, majorityReached } from "../../src/core/raft/quorum.ts";
import { changeConf, isJoint } from "../../src/core/raft/conf-change.ts";
import {
  type ConfChange,
  type ConfState,
  decodeConfChange,
  encodeConfChange,
} from "../../src/core/raft/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import { NO_CONF } from "./memory-log.ts";

/** The arithmetic of majorities against the plainest way to say it. */

const values = fc.array(fc.nat(20), { minLength: 1, maxLength: 9 });

test("an index is reached by a majority exactly if more than half of the members have it", () => {
  fc.assert(
    fc.property(values, (list) => {
      const naive = Math.max(
        ...Array.from({ length: 21 }, (_, i) => i).filter(
          (index) => list.filter((value) => value >= index).length * 2 > list.length,
        ),
      );
      assert.equal(majorityReached([...list]), naive);
    }),
  );
});

test("an election is won by more than half, lost when that is out of reach, else pending", () => {
  const vote = fc.constantFrom("granted", "refused", "none");
  fc.assert(
    fc.property(fc.array(vote, { minLength: 1, maxLength: 9 }), (votes) => {
      const granted = votes.filter((one) => one === "granted").length;
      const refused = votes.filter((one) => one === "refused").length;
      const open = votes.length - granted - refused;
      const isMajority = (n: number): boolean => n * 2 > votes.length;
      const naive = isMajority(granted) ? "won" : isMajority(granted + open) ? "pending" : "lost";
      assert.equal(countVotes(votes.length, granted, refused), naive);
    }),
  );
});

test("an empty half of a joint configuration never stands in the way", () => {
  assert.equal(majorityReached([]), Number.MAX_SAFE_INTEGER);
  assert.equal(countVotes(0, 0, 0), "won");
  for (const half of ["won", "lost", "pending"] as const) {
    assert.equal(joinVotes(half, countVotes(0, 0, 0)), half);
  }
});

const id = fc.bigInt({ min: 1n, max: 7n }).map(memberId);
const strict = { noNullPrototype: true } as const;
const single = fc.record(
  { type: fc.constantFrom("add-voter" as const, "add-learner" as const, "remove" as const), id },
  strict,
);
const change: fc.Arbitrary<ConfChange> = fc.record(
  {
    transition: fc.constantFrom(
      "auto" as const,
      "joint-implicit" as const,
      "joint-explicit" as const,
    ),
    changes: fc.array(single, { maxLength: 4 }),
    context: fc.uint8Array({ maxLength: 20 }),
  },
  strict,
);

/** Any two majorities of one step's old and new configuration must share a member. */
function quorumsMeet(before: ConfState, after: ConfState): boolean {
  const ids = [...new Set([...before.voters, ...before.votersOutgoing, ...after.voters])];
  const decides = (conf: ConfState, set: readonly bigint[]): boolean =>
    [conf.voters, conf.votersOutgoing]
      .filter((half) => half.length > 0)
      .every((half) => half.filter((one) => set.includes(one)).length * 2 > half.length);
  for (let bits = 0; bits < 1 << ids.length; bits++) {
    const set = ids.filter((_, i) => (bits >> i) % 2 === 1);
    const rest = ids.filter((one) => !set.includes(one));
    if (decides(before, set) && decides(after, rest)) return false;
  }
  return true;
}

test("whatever is changed, majorities before and after a step meet (Raft §6)", () => {
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
      let conf: ConfState = { ...NO_CONF, voters: [memberId(1n), memberId(2n), memberId(3n)] };
      for (const one of changes) {
        const result = changeConf(conf, one);
        if (!result.ok) continue;
        const after = result.confState;
        assert.ok(after.voters.length > 0);
        assert.ok(quorumsMeet(conf, after));
        // Nobody is voter and learner of one configuration at once.
        assert.ok(after.learners.every((learner) => !after.voters.includes(learner)));
        assert.ok(after.learnersNext.every((next) => after.votersOutgoing.includes(next)));
        assert.equal(after.autoLeave && !isJoint(after), false);
        conf = after;
      }
    }),
  );
});

test("a change of members survives its encoding", () => {
  fc.assert(
    fc.property(change, (one) => assert.deepEqual(decodeConfChange(encodeConfChange(one)), one)),
  );
});

test("a damaged or newer change of members is refused by name", () => {
  const bytes = encodeConfChange({
    transition: "auto",
    changes: [{ type: "remove", id: memberId(1n) }],
    context: new Uint8Array(0),
  });
  assert.throws(() => decodeConfChange(bytes.subarray(0, 7)), /wrong length/);
  assert.throws(() => decodeConfChange(new Uint8Array(0)), /cut short/);
  const newer = Uint8Array.from(bytes);
  newer[0] = 3;
  assert.throws(() => decodeConfChange(newer), /version 3, known is 2/);
});
