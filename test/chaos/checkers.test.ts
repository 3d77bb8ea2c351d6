import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { checkHistory } from "./check-history.ts";
import { goodHistory } from "./good-history.ts";
import type {
  CasLine,
  FinalLine,
  HistoryLine,
  KeyState,
  LeaseLine,
  OpLine,
  TxnLine,
  WatchLine,
  WatchedEvent,
} from "./history.ts";
import { isFinalEvents, isLease, isOp, isWatch } from "./history.ts";
import { report } from "./report.ts";
import type { Verdict } from "./verdict.ts";

/** The checkers: histories that are right pass, and each kind of wrong one is found by its own check. */

const SEEDS = 25;

function violated(verdicts: readonly Verdict[]): readonly string[] {
  return verdicts.filter(({ state }) => state !== "ok").map(({ property }) => property);
}

describe("histories that are right", () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`seed ${seed}`, () => {
      const verdicts = checkHistory(goodHistory(seed), 2);
      const wrong = verdicts.filter(({ state }) => state !== "ok");
      assert.deepEqual(wrong, []);
      for (const { property, checked } of verdicts) {
        assert.ok(checked > 0, `${property} looked at nothing`);
      }
    });
  }
});

/** A copy of `lines` whose line that `find` accepts is replaced by what `change` makes of it. */
function mutate<T extends HistoryLine>(
  lines: readonly HistoryLine[],
  find: (line: HistoryLine, index: number) => line is T,
  change: (line: T) => readonly HistoryLine[],
): readonly HistoryLine[] {
  // In the middle, where much was before and more comes.
  const fitting = lines.flatMap((line, index) => (find(line, index) ? [index] : []));
  const target = fitting[Math.floor(fitting.length / 2)];
  assert.ok(target !== undefined, "The history has no such line");
  return lines.flatMap((line, index) => (index === target ? change(line as T) : [line]));
}

const ok =
  <F extends OpLine["f"]>(...names: readonly F[]) =>
  (line: HistoryLine): line is OpLine & { readonly f: F } =>
    isOp(line) && line.type === "ok" && names.includes(line.f as F);

const okRead = ok("read");
const readOfSomething = (line: HistoryLine): line is OpLine & { readonly f: "read" } =>
  okRead(line) && line.value !== null;
const okWrite = ok("write");
const okTxn = (line: HistoryLine): line is TxnLine =>
  ok("txn")(line) && line.value.succeeded === true;
const events =
  (session: string) =>
  (line: HistoryLine): line is EventsLine =>
    isWatch(line) && line.f === "watch-events" && line.session === session;
type EventsLine = WatchLine & { readonly f: "watch-events" };

function changeEvent(
  line: EventsLine,
  change: (event: WatchedEvent) => WatchedEvent,
): readonly HistoryLine[] {
  return [{ ...line, events: line.events.map((e, index) => (index === 0 ? change(e) : e)) }];
}

interface Mutant {
  readonly what: string;
  /** The property whose check must find it. */
  readonly property: string;
  readonly make: (lines: readonly HistoryLine[]) => readonly HistoryLine[];
}

/** An answer of a value that was there some writes ago, at the revision of now. */
function staleRead(lines: readonly HistoryLine[]): readonly HistoryLine[] {
  const writes = lines.filter(okWrite);
  return mutate(lines, readOfSomething, (line) => {
    const older = writes.find(({ key, value }) => key === line.key && value !== line.value);
    return [{ ...line, value: older?.value ?? "v0", kv: undefined }];
  });
}

/** An answer that is true of a revision that had long been passed. */
function oldRevision(lines: readonly HistoryLine[]): readonly HistoryLine[] {
  const early = lines.find((line) => okRead(line) && (line.rev ?? 0) > 5);
  assert.ok(early !== undefined && okRead(early));
  const again = (line: OpLine): readonly HistoryLine[] => [
    { ...early, process: line.process, time: line.time, key: early.key },
  ];
  const late = (line: HistoryLine): line is OpLine & { readonly f: "read" } =>
    okRead(line) && line.key === early.key && (line.rev ?? 0) > (early.rev ?? 0) + 20;
  return mutate(lines, late, again);
}

const final = (line: HistoryLine): line is FinalLine =>
  line.f === "final" && "member" in line && line.member === "m2";

const lease =
  (f: LeaseLine["f"]) =>
  (line: HistoryLine): line is LeaseLine =>
    isLease(line) && line.f === f && line.type === "ok";

const MUTANTS: readonly Mutant[] = [
  { what: "a read of an old value", property: "G1 G15", make: staleRead },
  { what: "a read at an old revision", property: "G1", make: oldRevision },
  {
    what: "a read of what nobody wrote",
    property: "G1 G15",
    make: (lines) => mutate(lines, okRead, (line) => [{ ...line, value: "v9999" }]),
  },
  {
    what: "a read with a wrong version",
    property: "G1",
    make: (lines) =>
      mutate(lines, readOfSomething, (line) => {
        const kv = line.kv as KeyState;
        return [{ ...line, kv: { ...kv, version: kv.version + 1 } }];
      }),
  },
  {
    what: "an acknowledged write whose revision holds another",
    property: "G2",
    make: (lines) => mutate(lines, okWrite, (line) => [{ ...line, rev: (line.rev ?? 0) - 1 }]),
  },
  {
    what: "an acknowledged write that the history has not",
    property: "G2",
    make: (lines) => mutate(lines, okWrite, (line) => [{ ...line, rev: 100_000 }]),
  },
  {
    what: "a refused write that happened",
    property: "G1",
    make: (lines) =>
      mutate(lines, okWrite, (line) => [
        { ...line, type: "fail", prev: undefined, rev: undefined },
      ]),
  },
  {
    what: "a write of unknown outcome before it was sent",
    property: "G1",
    make: (lines) =>
      mutate(lines, okWrite, (line) => {
        const late = { ...line, process: 9999, time: 1e15, prev: undefined };
        return [
          { ...line, type: "info", value: "w", rev: undefined, prev: undefined },
          { ...late, type: "invoke", rev: undefined },
          { ...late, type: "info", rev: undefined },
        ];
      }),
  },
  {
    what: "a compare that failed on what it asked for",
    property: "G1",
    make: (lines) =>
      mutate(
        lines,
        (line): line is CasLine => line.f === "cas" && line.type === "fail",
        (line) => [{ ...line, prev: line.value[0] }],
      ),
  },
  {
    what: "a transaction that took the wrong branch",
    property: "G1",
    make: (lines) =>
      mutate(lines, okTxn, (line) => {
        const value = { ...line.value, compare: [["k0", "v9999"]] as const };
        return [{ ...line, value }];
      }),
  },
  {
    what: "a transaction that read another key than it found",
    property: "G1 G15",
    make: (lines) =>
      mutate(lines, okTxn, (line) => {
        const success = line.value.success.map((op) =>
          op[0] === "r" ? (["r", op[1], "v9999"] as const) : op,
        );
        return [{ ...line, value: { ...line.value, success } }];
      }),
  },
  {
    what: "a serializable read that no past state had",
    property: "G12",
    make: (lines) =>
      mutate(lines, ok("serializable-read"), (line) => [{ ...line, value: "v9999" }]),
  },
  {
    what: "a serializable read from the future",
    property: "G1",
    make: (lines) => {
      const writes = lines.filter(okWrite);
      const last = writes.at(-1);
      return mutate(lines, ok("serializable-read"), (line) => [
        { ...line, key: last?.key ?? "", value: last?.value ?? "", kv: undefined, rev: last?.rev },
      ]);
    },
  },
  {
    what: "events out of order",
    property: "G3",
    make: (lines) => swapMessages(lines, "all"),
  },
  {
    what: "an event twice",
    property: "G4",
    make: (lines) => mutate(lines, events("all"), (line) => [line, line]),
  },
  {
    what: "a revision in two messages",
    property: "G5",
    make: (lines) =>
      mutate(
        lines,
        (line): line is EventsLine => events("all")(line) && line.events.length > 1,
        (line) => line.events.map((event) => ({ ...line, events: [event] })),
      ),
  },
  {
    what: "an event missing in the first stream",
    property: "G6",
    make: (lines) => {
      const firstStream = lines.findIndex((line) => line.f === "watch-end");
      return mutate(
        lines,
        (line, index): line is EventsLine => events("all")(line) && index < firstStream,
        () => [],
      );
    },
  },
  {
    what: "a watch that never came to the end",
    property: "G6",
    make: (lines) => {
      const of = lines.filter((line) => isWatch(line) && line.session === "puts");
      const cut = new Set<HistoryLine>(of.slice(-5));
      return lines.filter((line) => !cut.has(line));
    },
  },
  {
    what: "an event missing after a reconnect",
    property: "G7",
    make: (lines) => {
      const end = lines.findIndex((line) => line.f === "watch-end");
      return mutate(
        lines,
        (line, index): line is EventsLine => events("all")(line) && index > end,
        () => [],
      );
    },
  },
  {
    what: "a progress revision ahead of its events",
    property: "G8",
    make: (lines) =>
      mutate(lines, events("all"), (line) => [
        { ...line, f: "watch-progress", rev: line.rev } as WatchLine,
        line,
      ]),
  },
  {
    what: "a wrong prev_kv",
    property: "G9",
    make: (lines) =>
      mutate(
        lines,
        (line): line is EventsLine => events("all")(line) && line.events[0]?.prev !== null,
        (line) => changeEvent(line, (event) => ({ ...event, prev: null })),
      ),
  },
  {
    what: "a prev_kv that is not there",
    property: "G9",
    make: (lines) =>
      mutate(lines, events("all"), (line) => changeEvent(line, ({ type, kv }) => ({ type, kv }))),
  },
  {
    what: "a wrong create revision",
    property: "G10",
    make: (lines) =>
      mutate(lines, events("puts"), (line) =>
        changeEvent(line, (event) => ({ ...event, kv: { ...event.kv, create: 1 } })),
      ),
  },
  {
    what: "a wrong value",
    property: "G10",
    make: (lines) =>
      mutate(lines, events("puts"), (line) =>
        changeEvent(line, (event) => ({ ...event, kv: { ...event.kv, value: "v9999" } })),
      ),
  },
  {
    what: "an event that was filtered out",
    property: "G11",
    make: (lines) =>
      mutate(lines, events("puts"), (line) =>
        changeEvent(line, (event) => ({ ...event, type: "delete" })),
      ),
  },
  {
    what: "an event of a key outside the range",
    property: "G11",
    make: (lines) =>
      mutate(lines, events("puts"), (line) =>
        changeEvent(line, (event) => ({ ...event, kv: { ...event.kv, key: "k2" } })),
      ),
  },
  {
    what: "members with different histories",
    property: "G13",
    make: (lines) => mutate(lines, final, (line) => [{ ...line, digest: "other" }]),
  },
  {
    what: "members with different hashes",
    property: "G13",
    make: (lines) => mutate(lines, final, (line) => [{ ...line, hash: 2 }]),
  },
  {
    what: "a member that holds one key less",
    property: "G13",
    make: (lines) => mutate(lines, final, (line) => [{ ...line, kvs: line.kvs.slice(1) }]),
  },
  {
    what: "a member that did not answer",
    property: "G13",
    make: (lines) => mutate(lines, final, () => []),
  },
  {
    what: "a lease that went before its time",
    property: "G14",
    make: (lines) =>
      mutate(lines, lease("lease-renew"), (line) => [line]).map((line) =>
        isLease(line) && line.f === "lease-renew" ? { ...line, time: line.time + 1.9e9 } : line,
      ),
  },
  {
    what: "a lease that stayed past its time",
    property: "G14",
    make: (lines) =>
      lines.map((line) => (isLease(line) && line.ttl !== undefined ? { ...line, ttl: 0.2 } : line)),
  },
  {
    what: "a lease that keeps one of its keys",
    property: "G14",
    make: (lines) =>
      lines.map((line) =>
        isFinalEvents(line)
          ? {
              ...line,
              events: line.events.filter(({ type, kv }) => type === "put" || kv.key !== "lease/b"),
            }
          : line,
      ),
  },
];

function swapMessages(lines: readonly HistoryLine[], session: string): readonly HistoryLine[] {
  const at = lines.flatMap((line, index) => (events(session)(line) ? [index] : []));
  const first = at.find((index) => at.includes(index + 1)) ?? 0;
  const [a, b] = [lines[first], lines[first + 1]];
  assert.ok(a !== undefined && b !== undefined);
  return lines.with(first, b).with(first + 1, a);
}

describe("histories that are wrong", () => {
  for (const { what, property, make } of MUTANTS) {
    test(`${property}: ${what}`, () => {
      for (let seed = 1; seed <= 5; seed++) {
        const verdicts = checkHistory(make(goodHistory(seed, 400)), 2);
        assert.ok(
          violated(verdicts).includes(property),
          `Seed ${seed}: found by ${violated(verdicts).join(", ") || "nobody"}`,
        );
      }
    });
  }

  test("a process that does two things at once is no history", () => {
    const lines = goodHistory(1).filter(({ type }) => type === "invoke");
    assert.throws(() => checkHistory([...lines, ...lines], 2), /two things at once/);
  });
});

describe("the report", () => {
  const fault = (value: object, time: number): HistoryLine =>
    ({ process: "nemesis", type: "info", f: "kill", value, time }) as const;

  test("counts operations and faults, and tells of every check", () => {
    const good = goodHistory(1, 400);
    const middle = good.findIndex(({ time }) => time > 0.5e9);
    const lines = [
      ...good.slice(0, middle),
      fault({ injected: "m1", tookMs: 1 }, 0.5e9),
      fault({ healed: "healed" }, 0.6e9),
      ...good.slice(middle),
    ];
    const verdicts = checkHistory(lines, 2);
    const text = report(lines, verdicts);
    const writes = lines.filter(okWrite).length;
    assert.match(text, new RegExp(`^  write +${writes} +0 +\\d+$`, "m"));
    assert.match(text, /^ {2}kill +1 +0 +\d\.\d\d$/m);
    for (const { title } of verdicts) assert.ok(text.includes(title));
    assert.doesNotMatch(text, /VIOLATED|UNKNOWN/);
  });

  test("explains what is wrong", () => {
    const lines = staleRead(goodHistory(1, 400));
    assert.match(
      report(lines, checkHistory(lines, 2)),
      /VIOLATED[^]*G1 G15: k\d: no order explains/,
    );
  });
});
