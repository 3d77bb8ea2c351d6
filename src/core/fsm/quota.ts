import type { ApplyResult } from "../types/mod.ts";
import { type PlannedWrites, bytesPut, keysGained } from "../mvcc/mod.ts";
import { refused } from "./refused.ts";
import type { FsmBackend, ScopeRow } from "./backend.ts";
import { readableBytes } from "./scopes.ts";

/**
 * Whether the puts that a command is about to make fit into the tenant's quota: `no-space` for bytes,
 * `quota-exceeded` for keys, `undefined` if they do. At most `bytesMax` bytes and `keysMax` keys can be
 * there after it, so unlike etcd's quota this one is never overrun by puts.
 *
 * As with etcd's NOSPACE, whatever puts is refused as a whole, also a put of a smaller value and a
 * transaction that frees more than it takes: what it replaces stays readable until it is compacted, so
 * the bytes go up. Deletes are always taken, though each adds its key to the history, so that nobody who
 * wants to make room is kept from it; room for bytes comes with the compaction after them, room for keys
 * at once.
 */
export function checkWrites(
  backend: FsmBackend,
  scope: ScopeRow,
  writes: PlannedWrites,
): ApplyResult | undefined {
  const { bytesMax, keysMax } = scope.limits;
  if (writes.puts.length === 0) return undefined;
  if (bytesMax !== undefined) {
    const bytes = readableBytes(scope) + bytesPut(backend, scope.slot, writes);
    if (bytes > bytesMax) return refused("no-space");
  }
  if (keysMax !== undefined) {
    const gained = keysGained(backend, scope.slot, writes);
    if (gained > 0 && scope.keys + gained > keysMax) {
      return refused("quota-exceeded", `keys: ${keysMax}`);
    }
  }
  return undefined;
}

/** Whether one more lease fits: `quota-exceeded` if not. */
export function checkLease({ leases, limits }: ScopeRow): ApplyResult | undefined {
  const { leasesMax } = limits;
  if (leasesMax === undefined || leases < leasesMax) return undefined;
  return refused("quota-exceeded", `leases: ${leasesMax}`);
}

/** Whether a command must be looked at by `checkWrites` at all. */
export function hasWriteLimit({ limits }: ScopeRow): boolean {
  return limits.bytesMax !== undefined || limits.keysMax !== undefined;
}
