import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { AppendMessage, HeartbeatMessage, Message } from "../../src/core/raft/mod.ts";
import { type MemberId, memberId } from "../../src/core/types/mod.ts";
import { CommitNews } from "../../src/node/commit-news.ts";
import { VirtualTime } from "./virtual-time.ts";

/** The news of a commit goes with the entries that come next, or a moment later. */

const ME = memberId(1n);
const A = memberId(2n);
const B = memberId(3n);

function append(to: MemberId, commit: number, entries = 0): AppendMessage {
  const all = Array.from({ length: entries }, (_, i) => {
    return { index: commit + 1 + i, term: 1, kind: "normal", data: new Uint8Array(1) } as const;
  });
  const place = { prevIndex: commit, prevTerm: 1 };
  return { kind: "append", from: ME, to, term: 1, ...place, entries: all, commit };
}

function heartbeat(to: MemberId): HeartbeatMessage {
  return { kind: "heartbeat", from: ME, to, term: 1, commit: 1, round: 0 };
}

describe("the news of a commit", () => {
  let time: VirtualTime;
  let news: CommitNews;
  let sent: { readonly at: number; readonly message: Message }[];
  let began: number;

  beforeEach(() => {
    time = new VirtualTime();
    began = time.now;
    sent = [];
    news = new CommitNews({
      clock: time.clock(),
      scheduler: time.scheduler(),
      send: (messages) =>
        void sent.push(...messages.map((message) => ({ at: time.now - began, message }))),
    });
  });

  const told = (): readonly string[] =>
    sent.map(({ at, message }) => {
      const what =
        message.kind === "append" ? `${message.commit}+${message.entries.length}` : message.kind;
      return `${at} ms: ${what} to ${message.to}`;
    });

  test("alone waits for four milliseconds; all else leaves at once", async () => {
    news.send([append(A, 7), heartbeat(A), append(B, 6, 2)]);
    assert.deepEqual(told(), ["0 ms: heartbeat to 2", "0 ms: 6+2 to 3"]);
    await time.run(100);
    assert.deepEqual(told().slice(2), ["4 ms: 7+0 to 2"]);
  });

  test("goes with the next entries for its member, and is not told again", async () => {
    news.send([append(A, 7), append(B, 7)]);
    await time.run(2);
    news.send([append(A, 7, 1)]);
    await time.run(100);
    assert.deepEqual(told(), ["2 ms: 7+1 to 2", "4 ms: 7+0 to 3"]);
  });

  test("gives way to newer news, which waits no longer for it", async () => {
    news.send([append(A, 7)]);
    await time.run(3);
    news.send([append(A, 8), append(B, 8)]);
    await time.run(100);
    assert.deepEqual(told(), ["4 ms: 8+0 to 2", "7 ms: 8+0 to 3"]);
  });

  test("is told at once to a member whose clients wait, for a second", async () => {
    news.hurry(A);
    news.send([append(A, 7), append(B, 7)]);
    assert.deepEqual(told(), ["0 ms: 7+0 to 2"]);
    await time.run(1000);
    news.send([append(A, 8)]);
    await time.run(100);
    assert.deepEqual(told().slice(1), ["4 ms: 7+0 to 3", "1004 ms: 8+0 to 2"]);
  });

  test("is told at once when it must not wait, and not again", async () => {
    news.send([append(A, 7), append(B, 7)]);
    await time.run(1);
    news.sendHeld();
    news.sendHeld();
    await time.run(100);
    assert.deepEqual(told(), ["1 ms: 7+0 to 2", "1 ms: 7+0 to 3"]);
  });
});
