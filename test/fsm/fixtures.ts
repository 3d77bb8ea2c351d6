import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import {
  type CommittedEntry,
  type Fsm,
  type FsmBackend,
  createFsm,
} from "../../src/core/fsm/mod.ts";
import {
  type Actor,
  type AppliedChange,
  type ApplyResult,
  CLUSTER_SCOPE,
  type Command,
  type DeleteRangeRequest,
  type Key,
  NO_LEASE,
  type Proposal,
  type PutRequest,
  type RangeRequest,
  type TenantId,
  key,
  tenantId,
} from "../../src/core/types/mod.ts";
import { type StateStore, openStateStore } from "../../src/storage/mod.ts";
import { TEST_MAC } from "../storage/test-mac.ts";

export const TENANT: TenantId = tenantId("11111111-1111-4111-8111-111111111111");
export const OTHER: TenantId = tenantId("22222222-2222-4222-8222-222222222222");
export const ACTOR: Actor = { issuer: "https://issuer.test", subject: "user:a", requestId: "r1" };

export const sha256 = (bytes: Uint8Array): Uint8Array =>
  createHash("sha256").update(bytes).digest();

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const k = (text: string): Key => key(text);

export function put(name: string, value: string, more: Partial<PutRequest> = {}): PutRequest {
  return {
    key: k(name),
    value: bytes(value),
    lease: NO_LEASE,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
    ...more,
  };
}

export function del(name: string, end = "", prevKv = false): DeleteRangeRequest {
  return { key: k(name), rangeEnd: k(end), prevKv };
}

export function range(name: string, end = "", more: Partial<RangeRequest> = {}): RangeRequest {
  return {
    key: k(name),
    rangeEnd: k(end),
    limit: 0,
    revision: 0,
    sortOrder: "none",
    sortTarget: "key",
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    ...more,
  };
}

/** A state machine with one tenant, fed one proposal per entry. */
export interface Machine {
  readonly fsm: Fsm;
  /** All changes so far. */
  readonly changes: readonly AppliedChange[];
  /** Applies one command to TENANT, or as `over` says. */
  run(command: Command, over?: Partial<Proposal> & Partial<EntryTimes>): ApplyResult;
}

type EntryTimes = Pick<CommittedEntry, "time" | "leaseTime">;

/** An entry of the log in term 1; its lease time is its time unless given. */
export function entryOf(
  index: number,
  proposals: readonly Proposal[],
  times: Partial<EntryTimes> = {},
): CommittedEntry {
  const { time = 1000, leaseTime = time } = times;
  return { index, term: 1, time, leaseTime, proposals };
}

export function proposal(command: Command, over: Partial<Proposal> = {}): Proposal {
  return { tenant: TENANT, policyRevision: undefined, actor: ACTOR, command, ...over };
}

export function machineOn(backend: FsmBackend): Machine {
  const fsm = createFsm(backend, sha256);
  const changes: AppliedChange[] = [];
  const run: Machine["run"] = (command, over = {}) => {
    const { time, leaseTime, ...rest } = over;
    const times = { ...(time && { time }), ...(leaseTime && { leaseTime }) };
    const entry = entryOf(fsm.appliedIndex + 1, [proposal(command, rest)], times);
    const { results, changes: made } = fsm.apply([entry]);
    changes.push(...made);
    return results[0]?.[0] as ApplyResult;
  };
  if (fsm.reader.tenant(TENANT) === undefined) {
    const create: Command = { kind: "tenant-create", id: TENANT, name: "acme", records: [] };
    run(create, { tenant: CLUSTER_SCOPE });
  }
  return { fsm, changes, run };
}

/** A backend whose state can be replaced as a whole, as by a snapshot from the leader. */
export function replaceable(first: FsmBackend): {
  readonly backend: FsmBackend;
  replace(by: FsmBackend): void;
} {
  let current = first;
  const backend = new Proxy(first, {
    get: (_, name) => Reflect.get(current, name, current) as unknown,
  });
  return { backend, replace: (by) => void (current = by) };
}

/** A path for a state.db in a folder that goes with the test. */
export function statePath(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "coffer-state-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "data", "state.db");
}

export function tempStore(context: TestContext): StateStore {
  const store = openStateStore({ mac: TEST_MAC, path: statePath(context) });
  context.after(() => store.close());
  return store;
}
