import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { LeaseClock } from "../../src/core/lease/mod.ts";
import { AssertionFailure } from "../../src/stdx/mod.ts";

/**
 * The lease clock of a cluster, against real time: members whose clocks show other times, who apply
 * late, fail, restart and lead in turn (G14: a lease is neither shortened nor renewed by any of it).
 */

interface Entry {
  /** 0: none. */
  readonly leaseTime: number;
  readonly stampedAt: number;
  readonly leader: number;
  readonly term: number;
}

interface Member {
  /** What its own clock shows beyond the real time. */
  readonly skew: number;
  clock: LeaseClock;
  /** Entries on its disk; in this life, to the knowledge of its clock. */
  saved: number;
  applied: number;
  leaseTime: number;
}

class Cluster {
  /** All of it is committed; who applies it when is up to the test. */
  readonly log: Entry[] = [];
  readonly members: readonly Member[];
  now = 0;
  term = 0;
  leader = -1;

  constructor(skews: readonly number[]) {
    this.members = skews.map((skew) => {
      return { skew, clock: new LeaseClock(0, skew), saved: 0, applied: 0, leaseTime: 0 };
    });
  }

  /** The leader's first entry has no stamp. */
  elect(at: number): void {
    this.members[this.leader]?.clock.leads(false);
    this.leader = at;
    this.term++;
    this.log.push({ leaseTime: 0, stampedAt: this.now, leader: at, term: this.term });
  }

  /** Saves up to `count` more entries at a member. */
  save(at: number, count = Infinity): void {
    const member = this.#member(at);
    const last = Math.min(this.log.length, member.saved + count);
    if (last <= member.saved) return;
    member.clock.saved({ first: member.saved + 1, last }, this.now + member.skew);
    member.saved = last;
  }

  /** Saves `count` entries at a member that others will take the place of: they are never committed. */
  saveInVain(at: number, count: number): void {
    const { clock, saved, skew } = this.#member(at);
    clock.saved({ first: saved + 1, last: saved + count }, this.now + skew);
  }

  /** Applies up to `count` entries at a member. */
  apply(at: number, count = Infinity): void {
    const member = this.#member(at);
    this.save(at, Math.min(this.log.length, member.applied + count) - member.saved);
    for (let left = count; left > 0 && member.applied < this.log.length; left--) {
      const entry = this.log[member.applied++] as Entry;
      member.leaseTime = Math.max(member.leaseTime, entry.leaseTime);
      member.clock.applied(member.leaseTime, this.now + member.skew, member.applied);
      if (at === this.leader && entry.term === this.term) member.clock.leads(true);
    }
  }

  /** Appends a stamped entry, if the leader may stamp. */
  append(): boolean {
    const member = this.members[this.leader];
    const own = this.log.findIndex(({ term }) => term === this.term);
    if (member === undefined || member.applied <= own) return false;
    const leaseTime = member.clock.stamp(this.now + member.skew);
    this.log.push({ leaseTime, stampedAt: this.now, leader: this.leader, term: this.term });
    return true;
  }

  /** The member was down, with what it had saved and applied on its disk. */
  restart(at: number): void {
    const member = this.#member(at);
    if (at === this.leader) this.leader = -1;
    member.clock = new LeaseClock(member.leaseTime, this.now + member.skew);
  }

  /** The stamped entries with the lease time that they took effect at. */
  effective(): (Entry & { readonly effect: number })[] {
    let effect = 0;
    const all = this.log.map((entry) => ({
      ...entry,
      effect: (effect = Math.max(effect, entry.leaseTime)),
    }));
    return all.filter(({ leaseTime }) => leaseTime > 0);
  }

  #member(at: number): Member {
    const member = this.members[at];
    assert.ok(member !== undefined);
    return member;
  }
}

/** A lease granted by one entry must not have lost time by any later one. */
function checkNeverShorter({
  effective,
  log,
}: {
  effective: ReturnType<Cluster["effective"]>;
  log: readonly Entry[];
}): void {
  for (const [i, first] of effective.entries()) {
    for (const later of effective.slice(i + 1)) {
      const passed = later.stampedAt - first.stampedAt;
      const leaders = later.term - first.term;
      const counted = later.effect - first.effect;
      if (counted <= passed + leaders) continue;
      assert.fail(`${counted} ms of the lease clock in ${passed} ms: ${JSON.stringify(log)}`);
    }
  }
}

type Step = (cluster: Cluster) => void;
const who = fc.nat(2);
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.nat(20_000).map(
      (ms): Step =>
        (on) =>
          void (on.now += ms),
    ),
  },
  { weight: 6, arbitrary: fc.constant<Step>((on) => void on.append()) },
  {
    weight: 4,
    arbitrary: fc.tuple(who, fc.nat(3)).map(
      ([at, n]): Step =>
        (on) =>
          on.apply(at, n),
    ),
  },
  {
    weight: 4,
    arbitrary: who.map(
      (at): Step =>
        (on) =>
          on.apply(at),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(who, fc.nat(3)).map(
      ([at, n]): Step =>
        (on) =>
          on.save(at, n),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(who, fc.integer({ min: 1, max: 3 })).map(
      ([at, n]): Step =>
        (on) =>
          on.saveInVain(at, n),
    ),
  },
  {
    weight: 2,
    arbitrary: who.map(
      (at): Step =>
        (on) =>
          on.elect(at),
    ),
  },
  {
    weight: 1,
    arbitrary: who.map(
      (at): Step =>
        (on) =>
          on.restart(at),
    ),
  },
);
const skews = fc.tuple(...Array.from({ length: 3 }, () => fc.integer({ min: 0, max: 10 ** 9 })));

test("no lease is shortened, whoever leads and however late the members apply", () => {
  let compared = 0;
  fc.assert(
    fc.property(skews, fc.array(steps, { maxLength: 80, size: "max" }), (skewed, list) => {
      const cluster = new Cluster(skewed);
      cluster.elect(0);
      cluster.apply(0);
      for (const step of list) step(cluster);
      const effective = cluster.effective();
      compared += effective.length;
      checkNeverShorter({ effective, log: cluster.log });
    }),
    { numRuns: 3000 },
  );
  assert.ok(compared > 10_000, `${compared} stamps`);
});

test("nor is one prolonged by more than members save late at a change of the leader, however late they apply", () => {
  const late = 50;
  const turns = fc.array(fc.tuple(who, fc.integer({ min: 1, max: 30 }), fc.nat(2000)), {
    minLength: 1,
    maxLength: 10,
  });
  fc.assert(
    fc.property(skews, turns, (skewed, list) => {
      const cluster = new Cluster(skewed);
      for (const [leader, writes, pause] of list) {
        cluster.elect(leader);
        cluster.apply(leader);
        for (let i = 0; i < writes; i++) {
          assert.ok(cluster.append());
          cluster.now += late;
          for (const at of cluster.members.keys()) cluster.save(at);
          // The leader alone knows that the last write is committed.
          for (const at of cluster.members.keys())
            cluster.apply(at, at === leader || i % 3 === 1 ? 3 : 0);
        }
        cluster.now += pause; // Nobody leads.
      }
      const effective = cluster.effective();
      checkNeverShorter({ effective, log: cluster.log });
      const first = effective[0] as (typeof effective)[number];
      for (const later of effective) {
        const passed = later.stampedAt - first.stampedAt;
        const lost = passed - (later.effect - first.effect);
        assert.ok(lost <= late * (later.term - first.term), `${lost} ms were lost`);
      }
    }),
    { numRuns: 300 },
  );
});

describe("the lease clock", () => {
  test("runs at full speed under load: commits take none of its time", () => {
    const cluster = new Cluster([5, 0, 0]);
    cluster.elect(0);
    cluster.apply(0);
    for (let i = 0; i < 1000; i++) {
      cluster.append();
      cluster.now += 10;
      cluster.apply(0);
    }
    const stamps = cluster.effective().map(({ effect }) => effect);
    assert.equal((stamps.at(-1) ?? 0) - (stamps[0] ?? 0), 9990);
  });

  test("counts the time without a leader, in which nobody could renew or lose a lease", () => {
    const cluster = new Cluster([0, 777, 0]);
    cluster.elect(0);
    cluster.apply(0);
    cluster.append();
    cluster.apply(1);
    cluster.now += 30_000;
    cluster.elect(1);
    cluster.apply(1);
    cluster.append();
    const [before, after] = cluster.effective();
    assert.equal((after?.effect ?? 0) - (before?.effect ?? 0), 30_001);
  });

  test("stands while a member is down", () => {
    const cluster = new Cluster([0, 0, 0]);
    cluster.elect(0);
    cluster.apply(0);
    cluster.append();
    cluster.apply(0);
    cluster.now += 86_400_000;
    cluster.restart(0);
    cluster.elect(0);
    cluster.apply(0);
    cluster.append();
    const [before, after] = cluster.effective();
    assert.equal((after?.effect ?? 0) - (before?.effect ?? 0), 1);
  });

  test("of a leader that was paused takes nothing from the next one's leases", () => {
    const cluster = new Cluster([0, 0, 0]);
    cluster.elect(0);
    cluster.apply(0);
    cluster.append();
    cluster.apply(2);
    cluster.now += 10_000; // Member 1 applies after a pause.
    cluster.elect(1);
    cluster.apply(1);
    cluster.append(); // A grant.
    cluster.elect(2);
    // Member 2 has not applied the grant, and so must not stamp.
    assert.equal(cluster.append(), false);
    const { clock } = cluster.members[2] as Member;
    assert.throws(() => clock.stamp(cluster.now), AssertionFailure);
    cluster.apply(2);
    cluster.append();
    const [, grant, next] = cluster.effective();
    assert.equal((next?.effect ?? 0) - (grant?.effect ?? 0), 1);
  });

  test("of a follower is not stopped by entries without a stamp", () => {
    const clock = new LeaseClock(100, 0);
    clock.applied(200, 50);
    clock.applied(200, 60);
    assert.equal(clock.read(90), 240);
    // Nor does it go back when asked about the past.
    assert.equal(clock.read(10), 200);
  });

  test("counts an entry of a batch from when it was saved, not from when the one before it was", () => {
    const clock = new LeaseClock(0, 0);
    clock.saved({ first: 1, last: 1 }, 10);
    clock.saved({ first: 2, last: 4 }, 20);
    clock.saved({ first: 5, last: 6 }, 30);
    clock.applied(1000, 100, 3);
    assert.equal(clock.read(100), 1080);
    clock.applied(1010, 110, 4);
    assert.equal(clock.read(110), 1100);
    // The sixth is replaced, and with it goes what was known of the fifth: it is counted late.
    clock.saved({ first: 6, last: 9 }, 120);
    clock.applied(1200, 200, 5);
    assert.equal(clock.read(200), 1280);
  });
});
