import type { AppliedBatch, Fsm } from "../../src/core/fsm/mod.ts";
import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type Proposal,
  type TenantId,
} from "../../src/core/types/mod.ts";
import { createEdge } from "../../src/edge/create-edge.ts";
import type { EdgeParts } from "../../src/edge/gate.ts";
import type { AuditEvent, Principal } from "../../src/edge/ports.ts";
import type { Caller, Edge } from "../../src/edge/requests.ts";
import { createRevocationIndex, planRevocation, refused } from "../../src/identity/mod.ts";
import { TENANT, entryOf, machineOn, proposal } from "../fsm/fixtures.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";

/**
 * The gate of a member that has applied less of the log than others have acknowledged, as one does that
 * stood still for a moment: all that the tests order comes to pass, in this order, in each run.
 */
export class LaggingMember {
  readonly edge: Edge & { close(): void };
  /** Results of what callers proposed here. */
  readonly results: ApplyResult[] = [];
  readonly proposals: Proposal[] = [];
  readonly audited: AuditEvent[] = [];
  readonly retries: Map<string, number> = new Map<string, number>();
  /** What other members commit between the check of the next write and its own entry. */
  overtakenBy: Proposal[] = [];
  /** In place of what apply answers. */
  answer: ApplyResult | undefined;
  settling: Promise<void> | undefined;
  readonly #log: Proposal[] = [];
  readonly #leader: Fsm = machineOn(createMemoryBackend()).fsm;
  readonly #own: Fsm = machineOn(createMemoryBackend()).fsm;
  readonly #index = createRevocationIndex(() => undefined);

  constructor() {
    this.edge = createEdge(this.#parts());
  }

  get leaderState(): Fsm["reader"] {
    return this.#leader.reader;
  }

  /** A write that another member has acknowledged, and this one has not heard of. */
  commit(one: Proposal): ApplyResult {
    this.#log.push(one);
    const { results } = this.#leader.apply([entryOf(this.#leader.appliedIndex + 1, [one])]);
    return results[0]?.[0] as ApplyResult;
  }

  /** Applies what has been committed. */
  catchUp(): void {
    while (this.#own.appliedIndex < this.#leader.appliedIndex) {
      const next = this.#log[this.#own.appliedIndex - 1];
      if (next === undefined) throw new Error("The log begins with the tenant");
      this.#follow(this.#own.apply([entryOf(this.#own.appliedIndex + 1, [next])]));
    }
  }

  #follow({ recordChanges }: AppliedBatch): void {
    for (const { scope, table, ids } of recordChanges) {
      if (table !== "revocation" || this.settling !== undefined) continue;
      for (const id of ids) this.#index.set(scope, id, this.#own.reader.record(scope, table, id));
    }
  }

  /** Reads all revocations, as after the state was replaced. */
  settle(): void {
    for (const scope of [CLUSTER_SCOPE, TENANT]) {
      const records = this.#own.reader.records(scope, "revocation");
      for (const _ of this.#index.replace(scope, records)) continue;
    }
    this.settling = undefined;
  }

  #propose(wanted: Proposal): Promise<ApplyResult> {
    for (const one of this.overtakenBy.splice(0)) this.commit(one);
    this.proposals.push(wanted);
    const result = this.answer ?? this.commit(wanted);
    this.results.push(result);
    return Promise.resolve().then(() => {
      this.catchUp();
      return result;
    });
  }

  #parts(): EdgeParts {
    const never = (): (() => void) => () => undefined;
    const { retries } = this;
    const count = (name: string | symbol) => ({
      inc: () => void retries.set(String(name), (retries.get(String(name)) ?? 0) + 1),
    });
    const parts: Record<keyof EdgeParts, unknown> = {
      node: {
        state: this.#own.reader,
        memberId: 2n,
        leader: 1n,
        isLearner: false,
        propose: (wanted: Proposal) => this.#propose(wanted),
        readIndex: () => Promise.resolve().then(() => this.catchUp()),
        onRecords: never,
        onTenantChanged: never,
        onLeadership: never,
      },
      identity: {
        authenticate: ({ authorization }: Caller) =>
          authorization === STRANGER.authorization
            ? { ...PRINCIPAL, subject: RIGHTLESS }
            : PRINCIPAL,
        recheck: this.#recheck,
        onRevoked: never,
      },
      access: {
        check: ({ subject }: Principal) => ({ allowed: subject !== RIGHTLESS, policyRevision: 1 }),
        hasGrant: () => true,
        seedRows: () => [],
        planPolicyChange: () => [
          { table: "policy", id: "1", data: new Uint8Array(1), expect: "any" },
        ],
        rowOf: () => ({ fields: [] }),
      },
      seal: {
        seal: (_: TenantId, __: string, plain: Uint8Array) => plain,
        open: (_: TenantId, __: string, record: Uint8Array) => record,
        newTenantKeys: () => [],
      },
      audit: {
        blocked: undefined,
        append: (event: AuditEvent) => {
          this.audited.push(event);
          return Promise.resolve();
        },
      },
      tokens: {
        planRotation: () => Promise.resolve({ keyId: "k", changes: [ISSUER] }),
      },
      revocations: {
        plan: (scope: TenantId) => {
          const { changes } = planned("another", [...this.#index.known(scope)]);
          return { revoked: {}, changes };
        },
      },
      issuers: {
        builtin: "coffer",
        check: () => ({ issuer: "i", data: new Uint8Array(1) }),
        isConfigured: () => false,
        keys: () => undefined,
      },
      certificateRules: {
        check: () => ({ name: "r", data: new Uint8Array(1) }),
        twinOf: () => undefined,
      },
      random: { leaseId: () => 9n, memberId: () => 9n, tenantId: () => NEW_TENANT },
      clock: { now: () => Date.now() },
      limits: {
        txnOpsMax: 128,
        requestBytesMax: 1_000_000,
        quotaBytes: 1_000_000,
        keyBytesMax: 1000,
        leaseTtlMin: 1,
        requestTimeoutMs: 1000,
        leaderLossMs: 1000,
      },
      versions: { etcd: "", storage: "", coffer: "" },
      checkTxn: () => undefined,
      size: () => ({ total: 0, inUse: 0 }),
      alarms: () => [],
      links: undefined,
      natsMissing: () => undefined,
      chainAt: () => undefined,
      recordedRequest: () => undefined,
      metrics: new Proxy({}, { get: (_, name) => count(name) }),
      onTenantDeleted: never,
      log: { error: (message: string) => this.logged.push(message) },
    };
    const given = parts as unknown as EdgeParts;
    Object.defineProperty(given.identity, "settling", { get: () => this.settling });
    return given;
  }

  readonly logged: string[] = [];

  readonly #recheck: EdgeParts["identity"]["recheck"] = (principal, _, scope) => {
    const { issuer, subject, tokenId, issuedAt } = principal;
    const question = { issuer, subject, tokenId, issuedAt };
    if (this.#index.isRevoked(question) || this.#index.isRevokedIn(scope, question)) {
      return refused("the credentials are revoked");
    }
    const removed = this.#own.reader.record(CLUSTER_SCOPE, "issuer", issuer)?.length === 0;
    return removed ? refused("the issuer is not known any more") : undefined;
  };
}

const NEW_TENANT = "99999999-9999-4999-8999-999999999999" as TenantId;
const ISSUER = { table: "issuer", id: "k", data: new Uint8Array(1), expect: "any" } as const;

/** Whose token all requests show: an operator who is bound to the tenant, too. */
const PRINCIPAL: Principal = {
  subject: "user:alice",
  groups: [],
  issuer: "https://issuer.test",
  tenant: "acme",
  tenants: ["acme", "system"],
  tokenId: "stolen",
  issuedAt: 1000,
};

export const CALLER: Caller = {
  authorization: "Bearer t",
  certificate: undefined,
  tenantName: undefined,
  requestId: "r",
  peerAddress: "",
  requireLeader: false,
} as unknown as Caller;

const RIGHTLESS = "user:mallory";

/** Has good credentials, and no right at all. */
export const STRANGER: Caller = { ...CALLER, authorization: "Bearer s" };

function planned(tokenId: string, known: Parameters<typeof planRevocation>[1]) {
  const target = { kind: "token", issuer: PRINCIPAL.issuer, tokenId } as const;
  const order = { target, by: "user:b", now: 2_000_000, maxAgeSeconds: 60 };
  return planRevocation({ ...order, certificateEnds: undefined, recordsMax: 99 }, known);
}

/** The revocation of a token in a scope; "stolen" is that of the callers. */
export function revocationOf(tokenId: string, tenant: TenantId): Proposal {
  return proposal({ kind: "records", changes: planned(tokenId, []).changes }, { tenant });
}
