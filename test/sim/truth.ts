import { isDeepStrictEqual } from "node:util";
import {
  type AppliedBatch,
  type CommittedEntry,
  type Fsm,
  createFsm,
} from "../../src/core/fsm/mod.ts";
import type { Entry } from "../../src/core/raft/mod.ts";
import type {
  ApplyResult,
  KeyValue,
  LeaseId,
  MemberId,
  Proposal,
  TenantId,
} from "../../src/core/types/mod.ts";
import { encodeConfState } from "../../src/wire/mod.ts";
import { confStateAtStart } from "../../src/node/mod.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";
import { sha256 } from "../fsm/fixtures.ts";
import {
  type CheckedMember,
  type Checks,
  Violation,
  createChecks,
} from "../raft/simulation/checks.ts";
import type { Coverage } from "./coverage.ts";
import type { Engine } from "./engine.ts";

/**
 * What really happened: the log as the first member to apply each entry saw it, applied by a state
 * machine that never crashes, lags or is replaced. All that members do and answer is held against it.
 */

/** Something that a client asked for. */
export interface Op {
  readonly id: string;
  readonly invokedAt: number;
  /** The last entry that any member had applied then. */
  readonly invokedApplied: number;
}

/** One event as a watch is to tell of it. */
export interface TrueEvent {
  readonly revision: number;
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: string;
}

interface TrueEntry {
  readonly term: number;
  readonly results: readonly ApplyResult[];
  readonly leaseTime: number;
}

interface Landed {
  readonly index: number;
  readonly result: ApplyResult;
}

/** A lease that is held, and since when its holder may count on it. */
interface Held {
  readonly ttlMs: number;
  since: number;
}

interface TrueTenant {
  readonly events: TrueEvent[];
  /** Each key's rows by revision; undefined: deleted. */
  readonly keys: Map<string, { readonly revision: number; readonly kv: KeyValue | undefined }[]>;
  /** By the revision: the chain's hash. */
  readonly chain: Map<number, Uint8Array>;
  compacted: number;
  isSuspended: boolean;
  isDeleted: boolean;
}

/** Changes of leader within a second that faults may explain; in some hundred seeds there are four. */
const LEADERS_PER_SECOND_MAX = 8;

export class Truth {
  readonly raft: Checks = createChecks();
  readonly ops: Map<string, Op> = new Map();
  readonly #fsm: Fsm = createFsm(createMemoryBackend(), sha256);
  readonly #engine: Engine;
  readonly #coverage: Coverage;
  readonly #entries: TrueEntry[] = [];
  readonly #landed = new Map<string, Landed>();
  readonly #refused = new Set<string>();
  readonly #tenants = new Map<TenantId, TrueTenant>();
  readonly #leases = new Map<string, Held>();
  readonly #confs: { readonly index: number; readonly bytes: Uint8Array }[] = [];
  /** When an entry was first in any log: "index/term". */
  readonly #firstSaved = new Map<string, number>();
  /** When members came to lead, within the last second. */
  #ledAt: number[] = [];

  constructor(engine: Engine, coverage: Coverage, voters: readonly MemberId[]) {
    this.#engine = engine;
    this.#coverage = coverage;
    const confState = confStateAtStart(undefined, voters);
    this.#confs.push({ index: 0, bytes: encodeConfState(confState) });
    this.raft.started(confState);
  }

  get appliedIndex(): number {
    return this.#entries.length;
  }

  get fsm(): Fsm {
    return this.#fsm;
  }

  begin(id: string): Op {
    const { now } = this.#engine;
    const op = { id, invokedAt: now, invokedApplied: this.appliedIndex };
    this.ops.set(id, op);
    return op;
  }

  saved(member: CheckedMember, entries: readonly Entry[]): void {
    for (const { index, term } of entries) {
      const name = `${index}/${term}`;
      if (!this.#firstSaved.has(name)) this.#firstSaved.set(name, this.#engine.moment);
    }
    this.raft.saved(member, entries);
  }

  /** A member leads from now on. */
  led(): void {
    const { now } = this.#engine;
    this.#ledAt = [...this.#ledAt.filter((at) => at > now - 1000), now];
    const { length } = this.#ledAt;
    check(length <= LEADERS_PER_SECOND_MAX, () => `liveness: ${length} leaders within a second`);
  }

  /** Entries were applied by a member, to `fsm`. */
  applied(fsm: Fsm, entries: readonly CommittedEntry[], { results, changes }: AppliedBatch): void {
    for (const [i, entry] of entries.entries()) {
      const isNew = entry.index > this.appliedIndex;
      if (isNew) this.#applyFirst(entry);
      const known = this.#entries[entry.index - 1]!;
      check(
        isDeepStrictEqual(results[i], known.results),
        () => `answers differ at entry ${entry.index}: ${say(results[i])}, ${say(known.results)}`,
      );
      if (entry.confState === undefined) continue;
      this.#conf(entry.index, entry.confState, isNew);
    }
    this.state(fsm, new Set(changes.map(({ tenant }) => tenant)));
  }

  /** The member's state is as its applied index says. */
  state(fsm: Fsm, tenants: Iterable<TenantId>): void {
    const index = fsm.appliedIndex;
    if (index === 0) return;
    const known = this.#entries[index - 1];
    check(known !== undefined, () => `a state of entry ${index}, which nobody has applied`);
    check(fsm.leaseTime === known.leaseTime, () => `lease clocks differ at entry ${index}`);
    const stored = fsm.confState;
    const conf = this.#confs.findLast((one) => one.index <= index)!;
    check(
      stored !== undefined && Buffer.compare(stored, conf.bytes) === 0,
      () => `the configuration stored at entry ${index} is not that of entry ${conf.index}`,
    );
    for (const tenant of tenants) {
      this.#chain(fsm, tenant);
      if (index === this.#fsm.appliedIndex) this.#info(fsm, tenant);
    }
  }

  /** A proposal was answered. */
  answered(op: Op, result: ApplyResult): void {
    const landed = this.#landed.get(op.id);
    check(landed !== undefined, () => `${op.id} was answered and is in no entry`);
    check(
      isDeepStrictEqual(landed.result, result),
      () => `${op.id} was answered ${say(result)}, and is ${say(landed.result)}`,
    );
    check(landed.index > op.invokedApplied, () => `${op.id} took effect before it was asked for`);
  }

  /** It was refused in a way that says that it was not, and never will be, proposed. */
  refused(op: Op): void {
    check(!this.#landed.has(op.id), () => `${op.id} was refused and applied`);
    this.#refused.add(op.id);
  }

  /** A read that was answered at `revision`. */
  read(tenant: TenantId, revision: number, kvs: readonly KeyValue[]): void {
    const expected = this.keysAt(tenant, revision);
    check(
      isDeepStrictEqual(kvs.map(describeKey), expected.map(describeKey)),
      () =>
        `a read at revision ${revision} answered ${say(kvs.map(describeKey))}, ` +
        `and not ${say(expected.map(describeKey))}`,
    );
  }

  keysAt(tenant: TenantId, revision: number): readonly KeyValue[] {
    const { keys } = this.#tenant(tenant);
    const found: KeyValue[] = [];
    for (const rows of keys.values()) {
      const kv = rows.findLast((row) => row.revision <= revision)?.kv;
      if (kv !== undefined) found.push(kv);
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  events(tenant: TenantId): readonly TrueEvent[] {
    return this.#tenant(tenant).events;
  }

  isSuspended(tenant: TenantId): boolean {
    return this.#tenant(tenant).isSuspended;
  }

  compactedOf(tenant: TenantId): number {
    return this.#tenant(tenant).compacted;
  }

  /** Leases that are held now, with the moment by which they have to be gone. */
  heldLeases(): readonly string[] {
    return [...this.#leases.keys()];
  }

  #applyFirst(entry: CommittedEntry): void {
    check(entry.index === this.appliedIndex + 1, () => `entry ${entry.index} left out others`);
    const before = this.#fsm.leaseTime;
    const { results, changes } = this.#fsm.apply([entry]);
    check(this.#fsm.leaseTime >= before, () => "the lease clock went back");
    const list = results[0] ?? [];
    const { term, index } = entry;
    this.#entries.push({ term, results: list, leaseTime: this.#fsm.leaseTime });
    this.#coverage.add("entries applied");
    const what = entry.proposals.map(({ command }, i) => `${command.kind} ${list[i]?.kind}`);
    this.#engine.note(`entry ${index} of term ${term}: ${what.join(", ")}`);
    for (const change of changes) this.#note(change.tenant, change);
    for (const [i, proposal] of entry.proposals.entries()) {
      this.#land(proposal, { index, result: list[i]! }, term);
    }
  }

  #note(tenant: TenantId, { revision, events }: AppliedBatch["changes"][number]): void {
    const known = this.#tenant(tenant);
    for (const { type, kv } of events) {
      const value = type === "put" ? Buffer.from(kv.value).toString() : "";
      known.events.push({ revision, type, key: kv.key, value });
      const rows = known.keys.get(kv.key) ?? [];
      if (rows.length === 0) known.keys.set(kv.key, rows);
      rows.push({ revision, kv: type === "put" ? kv : undefined });
    }
  }

  #land(proposal: Proposal, landed: Landed, term: number): void {
    const { requestId } = proposal.actor;
    const { tenant, command } = proposal;
    const { result, index } = landed;
    const op = this.ops.get(requestId);
    if (op !== undefined) {
      const before = this.#landed.get(requestId);
      check(
        before === undefined,
        () => `${requestId} was applied twice, in entries ${before?.index} and ${index}`,
      );
      check(!this.#refused.has(requestId), () => `${requestId} was refused and applied`);
      this.#landed.set(requestId, landed);
    }
    this.#chainPoint(command.kind === "tenant-create" ? command.id : tenant);
    if (command.kind === "tenant-delete" && result.kind === "done") {
      const known = this.#tenant(command.id);
      known.isDeleted = true;
      for (const name of this.#leases.keys()) {
        if (name.startsWith(command.id)) this.#leases.delete(name);
      }
    }
    if (command.kind === "tenant-update" && result.kind === "done") {
      this.#suspended(command.id, command.suspended, op?.invokedAt ?? 0);
    }
    if (command.kind === "compact" && result.kind === "compact") {
      this.#tenant(tenant).compacted = command.revision;
    }
    if ("id" in command && typeof command.id === "bigint") {
      this.#lease(proposal, landed, { since: op?.invokedAt ?? 0, term });
    }
  }

  /** Leases have their whole time again from then on; while the tenant is suspended none expires. */
  #suspended(tenant: TenantId, suspended: boolean | undefined, since: number): void {
    const known = this.#tenant(tenant);
    if (suspended === undefined || suspended === known.isSuspended) return;
    known.isSuspended = suspended;
    for (const [name, held] of this.#leases) {
      if (name.startsWith(tenant)) held.since = Math.max(held.since, since);
    }
  }

  #lease(
    { tenant, command }: Proposal,
    { index, result }: Landed,
    { since, term }: { since: number; term: number },
  ): void {
    if (!("id" in command)) return;
    const name = `${tenant}/${String(command.id as LeaseId)}`;
    if (command.kind === "lease-grant" && result.kind === "lease-grant") {
      this.#leases.set(name, { ttlMs: command.ttl * 1000, since });
      this.#coverage.add("leases granted");
    } else if (result.kind === "lease-renew" && result.ttl > 0) {
      const held = this.#leases.get(name);
      if (held !== undefined) held.since = Math.max(held.since, since);
      this.#coverage.add("leases renewed");
    } else if (command.kind === "lease-revoke" && result.kind === "lease-revoke") {
      const held = this.#leases.get(name);
      this.#leases.delete(name);
      if (command.cause !== "expired" || held === undefined) return;
      check(!this.#tenant(tenant).isSuspended, () => "a lease of a suspended tenant expired");
      const at = this.#firstSaved.get(`${index}/${term}`) ?? this.#engine.moment;
      const lived = at - held.since;
      check(
        lived >= held.ttlMs,
        () => `a lease of ${held.ttlMs} ms expired after ${lived} ms, by entry ${index}`,
      );
      this.#coverage.add("leases expired");
    }
  }

  #chainPoint(tenant: TenantId): void {
    const point = this.#fsm.chainAt(tenant, 0)?.at;
    if (point !== undefined) this.#tenant(tenant).chain.set(point.revision, point.hash);
  }

  #chain(fsm: Fsm, tenant: TenantId): void {
    const point = fsm.chainAt(tenant, 0)?.at;
    if (point === undefined) return;
    const known = this.#tenant(tenant).chain.get(point.revision);
    check(
      known !== undefined && Buffer.compare(known, point.hash) === 0,
      () => `hash chains differ at revision ${point.revision}`,
    );
  }

  /** What is told of the tenant, its usage among it, is what it is for who applied each entry once. */
  #info(fsm: Fsm, tenant: TenantId): void {
    const [known, found] = [this.#fsm.reader.tenant(tenant), fsm.reader.tenant(tenant)];
    check(
      isDeepStrictEqual(known, found),
      () => `a tenant is ${JSON.stringify(found)}, and should be ${JSON.stringify(known)}`,
    );
  }

  #conf(index: number, bytes: Uint8Array, isNew: boolean): void {
    const known = this.#confs.findLast((one) => one.index <= index)!;
    if (isNew && known.index < index) {
      this.#confs.push({ index, bytes });
      return;
    }
    check(
      known.index === index && Buffer.compare(known.bytes, bytes) === 0,
      () => `configurations differ at entry ${index}`,
    );
  }

  #tenant(id: TenantId): TrueTenant {
    let known = this.#tenants.get(id);
    if (known === undefined) {
      known = {
        events: [],
        keys: new Map(),
        chain: new Map(),
        compacted: 0,
        isSuspended: false,
        isDeleted: false,
      };
      this.#tenants.set(id, known);
    }
    return known;
  }
}

export function check(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Violation(message());
}

function describeKey({ key, value, createRevision, modRevision, version }: KeyValue): string {
  return `${key}=${Buffer.from(value).toString()} ${createRevision}/${modRevision}/${version}`;
}

function say(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "bigint" ? String(part) : part,
  );
}
