import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createFsm } from "../../src/core/fsm/mod.ts";
import {
  CLUSTER_SCOPE,
  type Command,
  type WatchEvent,
  type WatchResponse,
  key,
} from "../../src/core/types/mod.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import { createWatchHub } from "../../src/core/watch/mod.ts";
import { TENANT, del, entryOf, proposal, put, replaceable, sha256 } from "../fsm/fixtures.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";
import { createRequest, drain } from "./stand.ts";

/**
 * A follower's watches over a real state machine, whose state a snapshot replaces in the middle of the
 * log: they say what those of a follower that applied every entry say.
 */

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom("1", "2"))
      .map(([name, value]): Command => ({ kind: "put", request: put(name, value) })),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom("a", "b")
      .map((name): Command => ({ kind: "delete-range", request: del(name, "c") })),
  },
  {
    weight: 1,
    arbitrary: fc.nat(12).map((at): Command => ({ kind: "compact", revision: at })),
  },
);

const run = fc.record({
  log: fc.array(command, { minLength: 1, maxLength: 40, size: "max" }),
  /** Where the gap begins and ends, in percent of the log. */
  cut: fc.tuple(fc.nat(100), fc.nat(100)),
  /** How often the reader looks while entries come. */
  readEvery: fc.integer({ min: 1, max: 30 }),
});

interface Seen {
  readonly events: WatchEvent[];
  compacted: number;
}

function take(seen: Seen, responses: readonly WatchResponse[]): void {
  for (const { events, compactRevision, revision } of responses) {
    assert.equal(seen.compacted, 0, "nothing comes after the end of a watch");
    seen.events.push(...events);
    seen.compacted = compactRevision;
    const last = events.at(-1)?.kv.modRevision ?? 0;
    assert.ok(compactRevision > 0 || revision >= last, "the header is not behind the events");
  }
}

test("watches go on across a snapshot as if every entry had been applied", () => {
  let [skipped, ended] = [0, 0];
  fc.assert(
    fc.property(run, ({ log, cut, readEvery }) => {
      const [begin, end] = cut
        .map((part) => Math.floor((part * log.length) / 100))
        .sort((a, b) => a - b);
      const create: Command = { kind: "tenant-create", id: TENANT, name: "acme", records: [] };
      const entries = [
        entryOf(1, [proposal(create, { tenant: CLUSTER_SCOPE })]),
        ...log.map((one, i) => entryOf(i + 2, [proposal(one)])),
      ];
      const first = (begin ?? 0) + 1;
      const next = (end ?? 0) + 1;

      const { backend, replace } = replaceable(createMemoryBackend());
      const fsm = createFsm(backend, sha256);
      const hub = createWatchHub(fsm.watchSource, {
        prng: createPrng(5),
        streamEventsMax: 4,
        sliceRevisionsMax: 3,
      });
      fsm.apply(entries.slice(0, 1));
      const stream = hub.openStream(TENANT);
      stream.create(createRequest("a", { rangeEnd: key("\0"), prevKv: true }));
      const seen: Seen = { events: [], compacted: 0 };
      const follow = (some: typeof entries): void => {
        for (const [i, entry] of some.entries()) {
          hub.publish(fsm.apply([entry]).changes);
          if (i % readEvery === 0) take(seen, drain(hub, stream));
        }
      };
      follow(entries.slice(1, first));

      // What the leader's state is when it has applied up to the end of the gap.
      const theirs = createMemoryBackend();
      createFsm(theirs, sha256).apply(entries.slice(0, next));
      replace(theirs);
      fsm.reload();
      hub.stateReplaced();
      stream.progress();
      follow(entries.slice(next));
      take(seen, drain(hub, stream));

      // All of it, out of a state machine that applied every entry.
      const whole = createFsm(createMemoryBackend(), sha256);
      const all = entries.flatMap((entry) => whole.apply([entry]).changes);
      const due = all.flatMap(({ events }) => events);
      const given = due.slice(0, seen.events.length);
      const plain = (events: readonly WatchEvent[]): unknown[] =>
        events.map(({ type, kv, prevKv }) => {
          // The row before may be compacted where history was read.
          const known = prevKv === undefined ? undefined : Buffer.from(prevKv.value).toString();
          return { type, key: kv.key, at: kv.modRevision, sub: kv.version, known };
        });
      const bare = (events: readonly WatchEvent[]): unknown[] =>
        plain(events.map((event) => ({ ...event, prevKv: undefined })));
      assert.deepEqual(bare(seen.events), bare(given));
      skipped += next - first;
      if (seen.compacted === 0) {
        assert.equal(seen.events.length, due.length);
        if (!log.some(({ kind }) => kind === "compact")) {
          assert.deepEqual(plain(seen.events), plain(due));
        }
        return;
      }
      ended++;
      const wanted = due[seen.events.length]?.kv.modRevision ?? Infinity;
      assert.ok(wanted < seen.compacted, "only what is compacted is left out");
    }),
    { numRuns: 1000 },
  );
  assert.ok(skipped > 3000 && ended > 10, `${skipped} skipped, ${ended} ended`);
});
