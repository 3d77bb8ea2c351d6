import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { type FsmBackend, createFsm } from "../../src/core/fsm/mod.ts";
import {
  CLUSTER_SCOPE,
  type Command,
  type MemberId,
  type MemberInfo,
  memberId,
} from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { type Machine, entryOf, machineOn, proposal, sha256, tempStore } from "./fixtures.ts";
import { createMemoryBackend } from "./memory-backend.ts";

const ONE = memberId(1n);
const TWO = memberId(2n ** 64n - 1n);

const member = (id: MemberId, over: Partial<MemberInfo> = {}): MemberInfo => ({
  id,
  name: `m${id}`,
  peerUrls: [`https://m${id}:2380`],
  clientUrls: [],
  isLearner: false,
  ...over,
});

const backends: readonly (readonly [string, (context: TestContext) => FsmBackend])[] = [
  ["memory", createMemoryBackend],
  ["SQLite", tempStore],
];

for (const [where, backendOf] of backends) {
  const check = (name: string, body: (machine: Machine) => void): void =>
    void test(name, (context) => body(machineOn(backendOf(context))));
  const run = (machine: Machine, command: Command): string => {
    const result = machine.run(command, { tenant: CLUSTER_SCOPE });
    return result.kind === "error" ? result.code : result.kind;
  };
  const tableOf = ({ fsm }: Machine): readonly MemberInfo[] => fsm.reader.members();

  describe(`members in ${where}`, () => {
    check("a learner is added, announces itself, and is promoted", (machine) => {
      const added = member(ONE, { name: "", isLearner: true });
      assert.equal(run(machine, { kind: "member-add", member: added }), "done");
      assert.deepEqual(tableOf(machine), [added]);
      // It knows neither how it was added nor that it is a learner.
      const clientUrls = ["https://a:2379"];
      const announced = member(ONE, { name: "a", peerUrls: ["https://old:1"], clientUrls });
      assert.equal(run(machine, { kind: "member", member: announced }), "done");
      const known = { ...added, name: "a", clientUrls };
      assert.deepEqual(tableOf(machine), [known]);
      assert.equal(run(machine, { kind: "member-promote", id: ONE }), "done");
      assert.deepEqual(tableOf(machine), [{ ...known, isLearner: false }]);
      assert.equal(run(machine, { kind: "member-promote", id: ONE }), "member-not-learner");
      assert.equal(run(machine, { kind: "member-promote", id: TWO }), "member-not-found");
    });

    check("the first members make themselves known, with all they tell", (machine) => {
      const bare = member(ONE, { peerUrls: [] });
      assert.equal(run(machine, { kind: "member", member: bare }), "done");
      assert.equal(run(machine, { kind: "member", member: member(ONE) }), "done");
      assert.deepEqual(tableOf(machine), [member(ONE)]);
    });

    check("a first member's row without a name does not overwrite what it has told", (machine) => {
      const row = member(ONE, { name: "" });
      assert.equal(run(machine, { kind: "member", member: row }), "done");
      assert.deepEqual(tableOf(machine), [row]);
      const told = member(ONE, { clientUrls: ["https://a:2379"] });
      assert.equal(run(machine, { kind: "member", member: told }), "done");
      assert.equal(run(machine, { kind: "member", member: row }), "done");
      assert.deepEqual(tableOf(machine), [told]);
    });

    check("ids and peer URLs belong to one member each", (machine) => {
      run(machine, { kind: "member", member: member(ONE) });
      assert.equal(run(machine, { kind: "member-add", member: member(ONE) }), "member-exists");
      const peerUrls = ["https://x:1", "https://m1:2380"];
      const twin = member(TWO, { peerUrls });
      assert.equal(run(machine, { kind: "member-add", member: twin }), "peer-url-exists");
      run(machine, { kind: "member-add", member: member(TWO) });
      const update = (id: MemberId, urls: readonly string[]): string =>
        run(machine, { kind: "member-update", id, peerUrls: urls });
      assert.equal(update(TWO, peerUrls), "peer-url-exists");
      assert.equal(update(ONE, peerUrls), "done");
      assert.equal(update(memberId(5n), []), "member-not-found");
      assert.deepEqual(tableOf(machine), [member(ONE, { peerUrls }), member(TWO)]);
    });

    check("a removed member is gone, is known as removed, and never comes back", (machine) => {
      const { reader } = machine.fsm;
      run(machine, { kind: "member", member: member(ONE) });
      run(machine, { kind: "member", member: member(TWO) });
      assert.equal(reader.isRemovedMember(ONE), false);
      assert.equal(run(machine, { kind: "member-remove", id: ONE }), "done");
      assert.equal(run(machine, { kind: "member-remove", id: ONE }), "done");
      assert.deepEqual(tableOf(machine), [member(TWO)]);
      assert.equal(reader.isRemovedMember(ONE), true);
      assert.equal(reader.isRemovedMember(TWO), false);
      assert.equal(run(machine, { kind: "member", member: member(ONE) }), "member-not-found");
      assert.equal(run(machine, { kind: "member-add", member: member(ONE) }), "member-exists");
      assert.equal(run(machine, { kind: "member-promote", id: ONE }), "member-not-found");
      assert.deepEqual(tableOf(machine), [member(TWO)]);
      // Its peer URL is free for another.
      const successor = member(memberId(3n), { peerUrls: member(ONE).peerUrls });
      assert.equal(run(machine, { kind: "member-add", member: successor }), "done");
    });

    check("a first member that never announced itself can be removed", (machine) => {
      assert.equal(run(machine, { kind: "member-remove", id: TWO }), "done");
      assert.equal(machine.fsm.reader.isRemovedMember(TWO), true);
    });

    check("no tenant changes members", (machine) => {
      for (const command of [
        { kind: "member", member: member(ONE) },
        { kind: "member-add", member: member(ONE) },
        { kind: "member-remove", id: ONE },
      ] as const) {
        const result = machine.run(command);
        assert.equal(result.kind === "error" && result.code, "invalid-argument");
      }
      assert.deepEqual(tableOf(machine), []);
      assert.equal(machine.fsm.reader.isRemovedMember(ONE), false);
    });

    check("a batch tells whether members changed", ({ fsm }) => {
      const apply = (command: Command, tenant = CLUSTER_SCOPE): boolean =>
        fsm.apply([entryOf(fsm.appliedIndex + 1, [proposal(command, { tenant })])]).membersChanged;
      assert.equal(apply({ kind: "records", changes: [] }), false);
      assert.equal(apply({ kind: "member-add", member: member(ONE) }), true);
      assert.equal(apply({ kind: "member-update", id: ONE, peerUrls: [] }), true);
      assert.equal(apply({ kind: "member-remove", id: ONE }), true);
      assert.equal(fsm.apply([]).membersChanged, false);
    });
  });

  describe(`what is kept with the applied entry in ${where}`, () => {
    test("index, term, lease clock and configuration, together and after a reload", (context) => {
      const backend = backendOf(context);
      const fsm = createFsm(backend, sha256);
      assert.deepEqual(
        [fsm.appliedIndex, fsm.appliedTerm, fsm.leaseTime, fsm.confState],
        [0, 0, 0, undefined],
      );
      const empty = { time: 0, leaseTime: 0, proposals: [] };
      fsm.apply([
        { index: 1, term: 1, ...empty },
        { index: 2, term: 1, ...empty, confState: Uint8Array.of(1) },
        {
          index: 3,
          term: 2,
          time: 9_000,
          leaseTime: 700,
          proposals: [],
          confState: Uint8Array.of(2),
        },
        { index: 4, term: 3, ...empty },
      ]);
      const seen = (of: typeof fsm): unknown[] => [
        of.appliedIndex,
        of.appliedTerm,
        of.leaseTime,
        [...(of.confState ?? [])],
      ];
      assert.deepEqual(seen(fsm), [4, 3, 700, [2]]);
      assert.deepEqual(seen(createFsm(backend, sha256)), [4, 3, 700, [2]]);
    });

    test("the lease clock never goes back, and stamps what comes after", (context) => {
      const machine = machineOn(backendOf(context));
      const { fsm } = machine;
      const stamp = (leaseTime: number): number => {
        fsm.apply([{ index: fsm.appliedIndex + 1, term: 1, time: 1, leaseTime, proposals: [] }]);
        return fsm.leaseTime;
      };
      const start = fsm.leaseTime;
      assert.equal(stamp(start + 500), start + 500);
      assert.equal(stamp(start + 100), start + 500);
      // Within one batch too.
      const entries = [900, 600].map((later, i) =>
        entryOf(fsm.appliedIndex + 1 + i, [], { leaseTime: start + later }),
      );
      fsm.apply(entries);
      assert.equal(fsm.leaseTime, start + 900);
    });

    test("what the backend refuses leaves none of it", (context) => {
      const backend = backendOf(context);
      const before = machineOn(backend).fsm;
      const fails = (): never => {
        throw new CofferError("no-space");
      };
      const fsm = createFsm({ ...backend, putScope: fails }, sha256);
      const { appliedIndex, leaseTime } = before;
      const put = proposal(
        {
          kind: "tenant-create",
          id: "33333333-3333-4333-8333-333333333333" as typeof CLUSTER_SCOPE,
          name: "x",
          records: [],
        },
        { tenant: CLUSTER_SCOPE },
      );
      const entry = entryOf(appliedIndex + 1, [put], { leaseTime: leaseTime + 1 });
      assert.throws(() => fsm.apply([{ ...entry, confState: Uint8Array.of(1) }]), /space exceeded/);
      assert.deepEqual(
        [fsm.appliedIndex, fsm.leaseTime, fsm.confState, fsm.reader.tenantByName("x")],
        [appliedIndex, leaseTime, undefined, undefined],
      );
    });
  });
}
