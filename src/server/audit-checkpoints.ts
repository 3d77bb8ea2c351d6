import {
  type Audit,
  type AuditFile,
  type ChainHead,
  type Checkpoint,
  type CheckpointSigner,
  signCheckpoint,
} from "../audit/mod.ts";
import { CLUSTER_SCOPE, type StateReader, type TenantId, systemActor } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { Clock, Scheduler } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type AuditKeyDeps, openAuditKey } from "./audit-key.ts";
import { checkpointsOf, newestCheckpoint, planCheckpoint } from "./checkpoint-table.ts";

export interface CheckpointDeps extends AuditKeyDeps {
  readonly audit: Audit;
  /** Hexadecimal. */
  readonly cluster: string;
  readonly member: string;
  /** Records that say nothing of anybody: see `keepMarks`. */
  readonly marksWritten: () => number;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly log: Logger;
}

/** Signs where the chains of this member are, into the log of the cluster. */
export interface Checkpoints {
  /** The last record of the member's chain that a committed checkpoint covers. */
  readonly covered: number;
  /** Commits checkpoints of `kind`, of the whole chain and of tenants, that are on the disk. */
  commit(kind: Checkpoint["kind"], places: readonly ChainPlace[]): Promise<void>;
  /** Signs the ends of all chains that have moved. */
  stop(): Promise<void>;
}

export interface ChainPlace {
  /** Undefined: the member's whole chain. */
  readonly tenant: TenantId | undefined;
  readonly head: ChainHead;
}

/**
 * The place to sign of a tenant's chain; undefined for what is no tenant's: records that reached none ("")
 * have a chain of that name too, and a checkpoint with that name is of the member's whole chain.
 */
export function placeOfTenant(
  state: StateReader,
  tenant: string,
  head: ChainHead,
): ChainPlace | undefined {
  const id = tenant as TenantId;
  const isTenant = tenant !== "" && id !== CLUSTER_SCOPE && state.tenant(id) !== undefined;
  return isTenant ? { tenant: id, head } : undefined;
}

const TICK_MS = 1000;
/** A member's chain is signed this often while it grows. */
const MEMBER_MS = 60_000;
/** And each time that so many records have come. */
const MEMBER_RECORDS = 10_000;
/** A tenant's chain is signed at most this often. */
const TENANT_MS = 300_000;
const TENANTS_LOOK_MS = 10_000;
/** Tenants signed in one turn: about 50 us each. */
const TENANTS_PER_TICK = 32;
const TENANTS_AT_STOP = 1024;
/** A member that stops does not wait longer for the others. */
const STOP_MS_MAX = 2000;

export function keepCheckpoints(deps: CheckpointDeps): Checkpoints {
  const keeper = new CheckpointKeeper(deps);
  const cancel = deps.scheduler.every(TICK_MS, () => void keeper.tick());
  return {
    get covered() {
      return keeper.covered;
    },
    commit: (kind, places) => keeper.commit(kind, places),
    stop: async () => {
      cancel();
      let giveUp: () => void = () => undefined;
      const late = new Promise<void>((resolve) => (giveUp = resolve));
      const end = deps.scheduler.after(STOP_MS_MAX, giveUp);
      await Promise.race([keeper.last(), late]);
      end();
    },
  };
}

class CheckpointKeeper {
  readonly #deps: CheckpointDeps;
  readonly #tenants = new Map<string, { seq: number; time: number }>();
  #signer: CheckpointSigner | undefined;
  #isBusy = false;
  #signed: { seq: number; time: number; marks: number; files: number };
  #lookedAt = 0;
  #failed = false;
  covered: number;

  constructor(deps: CheckpointDeps) {
    this.#deps = deps;
    const known = checkpointsOf(deps.node.state, CLUSTER_SCOPE, deps.member);
    this.covered = newestCheckpoint(known)?.seq ?? 0;
    this.#signed = { seq: this.covered, time: 0, marks: 0, files: deps.audit.filesBegun };
  }

  async tick(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      if (this.#isDue()) await this.#signMember();
      const now = this.#deps.clock.now();
      if (now - this.#lookedAt >= TENANTS_LOOK_MS) {
        const due = this.#tenantsMoved(TENANTS_PER_TICK, TENANT_MS);
        // A full turn of them: there may be more, which are next.
        if (due.length < TENANTS_PER_TICK) this.#lookedAt = now;
        await this.#signTenants(due);
      }
      this.#failed = false;
    } catch (cause) {
      // Without a leader, or over quota: once is enough to say it.
      const tell = this.#failed ? "debug" : "warn";
      this.#deps.log[tell]("An audit checkpoint was not committed, it will be tried again", {
        cause,
      });
      this.#failed = true;
    } finally {
      this.#isBusy = false;
    }
  }

  /** What a stop leaves unsigned could be cut off unseen. */
  async last(): Promise<void> {
    try {
      if (this.#recordsSince() > 0) await this.#signMember();
      await this.#signTenants(this.#tenantsMoved(TENANTS_AT_STOP, 0));
    } catch (cause) {
      this.#deps.log.warn("The last audit checkpoint was not committed", { cause });
    }
  }

  async commit(kind: Checkpoint["kind"], places: readonly ChainPlace[]): Promise<void> {
    const { audit } = this.#deps;
    // A record that a power cut can take must not be missed after it.
    await audit.sync();
    const signer = (this.#signer ??= await openAuditKey(this.#deps));
    const files = await audit.files();
    await Promise.all(places.map((place) => this.#propose(kind, place, { signer, files })));
  }

  #isDue(): boolean {
    const { audit, clock } = this.#deps;
    const count = this.#recordsSince();
    if (count <= 0) return false;
    const isLate = clock.now() - this.#signed.time >= MEMBER_MS;
    return isLate || count >= MEMBER_RECORDS || audit.filesBegun !== this.#signed.files;
  }

  /** Marks follow each change of the log, a checkpoint too: without this there would be no end. */
  #recordsSince(): number {
    const { audit, marksWritten } = this.#deps;
    return audit.head.seq - this.#signed.seq - (marksWritten() - this.#signed.marks);
  }

  async #signMember(): Promise<void> {
    const { audit, clock, marksWritten } = this.#deps;
    const { head, filesBegun: files } = audit;
    const signed = { seq: head.seq, time: clock.now(), marks: marksWritten(), files };
    await this.commit("head", [{ tenant: undefined, head }]);
    this.#signed = signed;
    await audit.saveHeads();
  }

  /** Of tenants that are there: the oldest signature first would need a sort, any is as good. */
  #tenantsMoved(limit: number, everyMs: number): readonly ChainPlace[] {
    const { audit, node, clock } = this.#deps;
    const now = clock.now();
    const moved: ChainPlace[] = [];
    for (const [tenant, head] of audit.tenantHeads()) {
      if (moved.length >= limit) break;
      const known = this.#tenants.get(tenant);
      if (known !== undefined && (known.seq >= head.seq || now - known.time < everyMs)) continue;
      const place = placeOfTenant(node.state, tenant, head);
      if (place === undefined) continue;
      if (known === undefined && this.#isSigned(tenant, head)) continue;
      moved.push(place);
    }
    return moved;
  }

  /** Of the time before this start. */
  #isSigned(tenant: string, head: ChainHead): boolean {
    const { node, member } = this.#deps;
    const newest = newestCheckpoint(checkpointsOf(node.state, tenant as TenantId, member));
    if (newest === undefined) return false;
    this.#tenants.set(tenant, { seq: newest.seq, time: newest.time });
    return newest.seq >= head.seq;
  }

  async #signTenants(places: readonly ChainPlace[]): Promise<void> {
    if (places.length === 0) return;
    const now = this.#deps.clock.now();
    await this.commit("head", places);
    for (const { tenant, head } of places) {
      if (tenant !== undefined) this.#tenants.set(tenant, { seq: head.seq, time: now });
    }
  }

  async #propose(
    kind: Checkpoint["kind"],
    { tenant, head }: ChainPlace,
    { signer, files }: { readonly signer: CheckpointSigner; readonly files: readonly AuditFile[] },
  ): Promise<void> {
    const { node, cluster, member, clock } = this.#deps;
    const time = clock.now();
    const place = { cluster, member, tenant: tenant ?? "", ...head };
    const made = signCheckpoint({ kind, ...place, time }, signer);
    const scope = tenant ?? CLUSTER_SCOPE;
    const known = checkpointsOf(node.state, scope, member);
    const result = await node.propose({
      tenant: scope,
      policyRevision: undefined,
      actor: systemActor("audit"),
      command: { kind: "records", changes: planCheckpoint(made, known, files) },
    });
    if (result.kind === "error") {
      // It was deleted meanwhile: nobody is left to prove anything to.
      if (tenant !== undefined && node.state.tenant(scope) === undefined) return;
      throw new CofferError(result.code, result.detail);
    }
    if (tenant === undefined) this.covered = Math.max(this.covered, head.seq);
  }
}
