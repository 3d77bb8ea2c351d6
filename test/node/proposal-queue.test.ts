import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ApplyResult } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { BatchNumbers } from "../../src/node/batch-numbers.ts";
import { ProposalQueue } from "../../src/node/proposal-queue.ts";
import { SeenWindow } from "../../src/node/seen-window.ts";
import { proposal, put } from "../fsm/fixtures.ts";

const DONE: ApplyResult = { kind: "done", policyRevision: 0 };
const U32 = 2 ** 32;

test("the numbers of batches go on past 32 bits, and none is taken for another", () => {
  const numbers = new BatchNumbers(U32 - 1, U32 - 2);
  const names = Array.from({ length: 5 }, () => {
    const number = numbers.take();
    return { number, ...numbers.nameOf(number) };
  });
  assert.deepEqual(
    names.map(({ life, seq }) => [life, seq]),
    [
      [U32 - 1, U32 - 2],
      [U32 - 1, U32 - 1],
      [0, 0],
      [0, 1],
      [0, 2],
    ],
  );
  for (const { number, ...name } of names) assert.equal(numbers.numberOf(name), number);
  assert.equal(numbers.numberOf({ life: 0, seq: 3 }), undefined, "it was not given out yet");
  assert.equal(numbers.numberOf({ life: 7, seq: 1 }), undefined, "it is of another life");
});

test("the window takes each number once, in whatever order and however often it comes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 200_000 }), fc.boolean()), { maxLength: 300 }),
      (steps) => {
        const window = new SeenWindow();
        const known = new Map<number, "taken" | "refused">();
        let newest = 0;
        for (const [seq, isTaken] of steps) {
          const seen = window.look(seq);
          const outcome = known.get(seq);
          if (seq <= newest - 65_536) assert.equal(seen, "too-old");
          else assert.equal(seen, outcome ?? "new");
          if (seen !== "new") continue;
          window.note(seq, isTaken ? "taken" : "refused");
          known.set(seq, isTaken ? "taken" : "refused");
          newest = Math.max(newest, seq);
        }
      },
    ),
  );
});

function launch(queue: ProposalQueue, term: number, forwarded?: Uint8Array) {
  const batch = queue.takeBatch();
  const { number, name } = queue.nextNumber();
  queue.launched(number, batch, { term, now: 0, ...(forwarded && { forwarded }) });
  return { name, batch };
}

function add(queue: ProposalQueue, name: string): Promise<string> {
  const command = { kind: "put", request: put(name, "") } as const;
  const work = queue.add(proposal(command), { since: 0, deadline: 100 });
  return work.then(
    ({ kind }) => kind,
    (error: unknown) => (error instanceof CofferError ? error.code : "?"),
  );
}

test("a refusal of an earlier term, or of a batch that was not forwarded, changes nothing", async () => {
  const queue = new ProposalQueue(new BatchNumbers(1));
  const work = add(queue, "k");
  const first = launch(queue, 3);
  queue.refused(first.name, { term: 3, code: "leader-changed" });
  assert.equal(queue.hasPending, false, "an appended batch was given out again");
  queue.settle(4);
  assert.equal(queue.hasPending, true);
  const second = launch(queue, 4, new Uint8Array(1));
  queue.refused(second.name, { term: 3, code: "leader-changed" });
  assert.equal(queue.hasPending, false);
  queue.landed(second.name, [DONE]);
  assert.equal(await work, "done");
  assert.equal(queue.size, 0);
});

test("a refusal that another leader would repeat is answered, the others are given out again", async () => {
  const queue = new ProposalQueue(new BatchNumbers(1));
  const full = add(queue, "full");
  queue.refused(launch(queue, 1, new Uint8Array(1)).name, { term: 1, code: "no-space" });
  assert.equal(await full, "no-space");
  const moved = add(queue, "moved");
  queue.refused(launch(queue, 1, new Uint8Array(1)).name, { term: 1, code: "leader-changed" });
  assert.equal(queue.hasPending, true);
  queue.landed(launch(queue, 1).name, [DONE]);
  assert.equal(await moved, "done");
});

test("a batch lands once, and one that nobody waits for is nobody's", async () => {
  const queue = new ProposalQueue(new BatchNumbers(1));
  const work = add(queue, "k");
  const { name } = launch(queue, 1);
  const failed = queue.expire(100, () => new CofferError("timeout"));
  assert.equal(failed, 1);
  assert.equal(await work, "timeout");
  assert.equal(queue.proposalsOf(name), undefined);
  queue.landed(name, [DONE]);
  queue.settle(2);
  assert.equal(queue.hasPending, false, "what was given up was given out again");
  assert.equal(queue.size, 0);
});
