import type { AppliedChange, TenantId } from "../types/mod.ts";
import { eventBytes } from "./watcher.ts";

interface Item {
  readonly change: AppliedChange;
  readonly bytes: number;
}

/** The latest changes of one tenant: consecutive revisions, oldest first from `head`. */
interface Held {
  items: (Item | undefined)[];
  head: number;
}

const SPENT_PLACES_MAX = 64;

/**
 * The latest changes of the tenants that are watched, so that streams that fall behind a little are
 * fed from memory and not each from the store. One bound for all tenants together; the tenant whose
 * last change is the oldest gives way first.
 */
export class RecentChanges {
  readonly #bytesMax: number;
  /** In order of their last change, oldest first. */
  readonly #tenants = new Map<TenantId, Held>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(change: AppliedChange): void {
    const { tenant } = change;
    let held = this.#tenants.get(tenant);
    const last = held?.items[held.items.length - 1]?.change.revision;
    if (last !== undefined && change.revision !== last + 1) {
      this.drop(tenant);
      held = undefined;
    }
    held ??= { items: [], head: 0 };
    let bytes = 0;
    for (const event of change.events) bytes += eventBytes(event);
    held.items.push({ change, bytes });
    this.#bytes += bytes;
    this.#tenants.delete(tenant);
    this.#tenants.set(tenant, held);
    this.#shrink();
  }

  /**
   * The changes from revision `from` up, at most `revisionsMax`, stopping after the one that reaches
   * `bytesMax`; undefined when `from` is not held.
   */
  slice(
    tenant: TenantId,
    from: number,
    revisionsMax: number,
    bytesMax: number,
  ): readonly AppliedChange[] | undefined {
    const held = this.#tenants.get(tenant);
    const first = held?.items[held.head]?.change.revision;
    if (held === undefined || first === undefined || from < first) return undefined;
    const changes: AppliedChange[] = [];
    let bytes = 0;
    for (let at = held.head + (from - first); changes.length < revisionsMax; at++) {
      const item = held.items[at];
      if (item === undefined) break;
      changes.push(item.change);
      bytes += item.bytes;
      if (bytes >= bytesMax) break;
    }
    return changes.length === 0 ? undefined : changes;
  }

  drop(tenant: TenantId): void {
    const held = this.#tenants.get(tenant);
    if (held === undefined) return;
    for (const item of held.items) this.#bytes -= item?.bytes ?? 0;
    this.#tenants.delete(tenant);
  }

  #shrink(): void {
    while (this.#bytes > this.#bytesMax) {
      const [oldest] = this.#tenants;
      if (oldest === undefined) return;
      const [tenant, held] = oldest;
      this.#bytes -= held.items[held.head]?.bytes ?? 0;
      held.items[held.head] = undefined;
      held.head++;
      if (held.head >= held.items.length) {
        this.#tenants.delete(tenant);
      } else if (held.head > SPENT_PLACES_MAX && held.head * 2 > held.items.length) {
        held.items = held.items.slice(held.head);
        held.head = 0;
      }
    }
  }
}
