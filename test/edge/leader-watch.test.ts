import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { type MemberId, memberId } from "../../src/core/types/mod.ts";
import { type LeaderWatch, createLeaderWatch } from "../../src/edge/leader-watch.ts";
import type { Caller } from "../../src/edge/mod.ts";

/** When streams end because there is no leader. */

const GRACE_MS = 1000;
const NONE = memberId(0n);
const SOME = memberId(7n);

let tell: (leader: MemberId) => void;
let watch: LeaderWatch;
let listeners: number;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  listeners = 0;
  watch = createLeaderWatch({
    graceMs: GRACE_MS,
    onLeadership: (listener) => {
      listeners++;
      tell = listener;
      return () => void listeners--;
    },
  });
});

afterEach(() => {
  watch.close();
  assert.equal(listeners, 0);
  mock.timers.reset();
});

function stream(requireLeader = true): { readonly codes: string[]; readonly end: () => void } {
  const codes: string[] = [];
  const caller = { requireLeader } as Caller;
  return { codes, end: watch.whileLeader(caller, (error) => void codes.push(error.code)) };
}

test("a short election ends nothing, a long one each stream that asked, once", () => {
  const [one, other, patient] = [stream(), stream(), stream(false)];
  tell(NONE);
  mock.timers.tick(GRACE_MS - 1);
  tell(SOME);
  mock.timers.tick(10 * GRACE_MS);
  assert.deepEqual(one.codes, []);
  tell(NONE);
  mock.timers.tick(GRACE_MS);
  mock.timers.tick(GRACE_MS);
  tell(SOME);
  tell(NONE);
  mock.timers.tick(GRACE_MS);
  assert.deepEqual(one.codes, ["no-leader"]);
  assert.deepEqual(other.codes, ["no-leader"]);
  assert.deepEqual(patient.codes, []);
});

test("a stream that has ended hears nothing, and one watched twice hears of what is left", () => {
  const [ended, open] = [stream(), stream()];
  ended.end();
  tell(NONE);
  mock.timers.tick(GRACE_MS);
  assert.deepEqual([ended.codes, open.codes], [[], ["no-leader"]]);
});

test("nothing is heard after the end", () => {
  const { codes } = stream();
  tell(NONE);
  watch.close();
  mock.timers.tick(GRACE_MS);
  assert.deepEqual(codes, []);
  watch = createLeaderWatch({ graceMs: GRACE_MS, onLeadership: () => () => undefined });
});
