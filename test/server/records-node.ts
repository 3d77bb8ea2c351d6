import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type Proposal,
  type RecordTable,
  type StoredRecord,
  type TenantId,
  type MemberId,
  memberId,
  tenantId,
} from "../../src/core/types/mod.ts";
import type { MemberNode, Node, RecordListener } from "../../src/node/mod.ts";

/** What of a node is about records: proposals are applied at once, expectations and all. */
export class RecordsNode {
  readonly memberId: MemberId = memberId(1n);
  leader: MemberId = memberId(1n);
  readonly proposals: Proposal[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #records = new Map<string, Uint8Array>();
  readonly #listeners = new Set<RecordListener>();
  readonly #replaced = new Set<() => void>();
  readonly #deleted = new Set<(tenant: TenantId) => void>();
  readonly #leadership = new Set<(leader: bigint) => void>();

  static readonly tenant: TenantId = tenantId("22222222-2222-4222-8222-222222222222");

  /** As the port that the server's parts take. */
  get node(): Node & Pick<MemberNode, "onTenantDeleted"> {
    return this as unknown as MemberNode;
  }

  readonly state: {
    readonly tenants: () => readonly { readonly id: TenantId }[];
    readonly record: (scope: TenantId, table: RecordTable, id: string) => Uint8Array | undefined;
    readonly records: (scope: TenantId, table: RecordTable) => readonly StoredRecord[];
  } = {
    tenants: () => [{ id: RecordsNode.tenant }],
    record: (scope, table, id) => this.#records.get(`${scope} ${table} ${id}`),
    records: (scope, table) => {
      const start = `${scope} ${table} `;
      return [...this.#records]
        .filter(([name]) => name.startsWith(start))
        .map(([name, data]) => ({ id: name.slice(start.length), data }));
    },
  };

  propose(proposal: Proposal): Promise<ApplyResult> {
    this.proposals.push(proposal);
    const { tenant, command } = proposal;
    if (command.kind !== "records") throw new Error("Only records are kept here");
    for (const { table, id, expect } of command.changes) {
      const isThere = this.#records.has(`${tenant} ${table} ${id}`);
      if (expect === "present" && !isThere) return this.#refuse("not-found");
      if (expect === "absent" && isThere) return this.#refuse("already-exists");
    }
    for (const { table, id, data } of command.changes) this.put(tenant, table, id, data);
    for (const { table, id } of command.changes) this.tell(tenant, table, [id]);
    for (const resolve of this.#waiting.splice(0)) resolve();
    return Promise.resolve({ kind: "done", policyRevision: 0 });
  }

  /** Resolves once one more proposal is applied. */
  nextProposal(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Without a word to anybody. */
  put(scope: TenantId, table: RecordTable, id: string, data: Uint8Array | undefined): void {
    if (data === undefined) this.#records.delete(`${scope} ${table} ${id}`);
    else this.#records.set(`${scope} ${table} ${id}`, data);
  }

  tell(scope: TenantId, table: RecordTable, ids: readonly string[]): void {
    for (const listener of this.#listeners) listener({ scope, table, ids });
  }

  replaceState(): void {
    for (const listener of this.#listeners) listener({ scope: CLUSTER_SCOPE, table: "revocation" });
    for (const listener of this.#replaced) listener();
  }

  deleteTenant(tenant: TenantId): void {
    for (const name of this.#records.keys()) {
      if (name.startsWith(`${tenant} `)) this.#records.delete(name);
    }
    for (const listener of this.#deleted) listener(tenant);
  }

  lead(leader: bigint): void {
    this.leader = memberId(leader);
    for (const listener of this.#leadership) listener(leader);
  }

  onRecords(listener: RecordListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onStateReplaced(listener: () => void): () => void {
    this.#replaced.add(listener);
    return () => this.#replaced.delete(listener);
  }

  onTenantDeleted(listener: (tenant: TenantId) => void): void {
    this.#deleted.add(listener);
  }

  onLeadership(listener: (leader: bigint) => void): () => void {
    this.#leadership.add(listener);
    return () => this.#leadership.delete(listener);
  }

  #refuse(code: "not-found" | "already-exists"): Promise<ApplyResult> {
    return Promise.resolve({ kind: "error", code });
  }
}
