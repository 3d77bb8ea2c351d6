import type { LimitChanges, TenantCompaction, TenantLimits } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";

/** The limits that a tenant may be given, by the names that clients know them by. */

interface LimitRule {
  readonly name: string;
  readonly min: number;
}

const RULES: { readonly [limit in keyof Required<TenantLimits>]: LimitRule } = {
  bytesMax: { name: "bytes", min: 0 },
  keysMax: { name: "keys", min: 0 },
  leasesMax: { name: "leases", min: 0 },
  keyBytesMax: { name: "key-bytes", min: 1 },
  valueBytesMax: { name: "value-bytes", min: 0 },
  requestsPerSecond: { name: "requests-per-second", min: 1 },
  requestBurst: { name: "request-burst", min: 1 },
  watchesMax: { name: "watches", min: 0 },
};
const LIMITS = Object.keys(RULES) as readonly (keyof TenantLimits)[];

/** Refuses limits that mean nothing each by itself; how they go together is judged when they are applied. */
export function checkLimits(limits: LimitChanges): void {
  for (const limit of LIMITS) {
    const value = limits[limit];
    const { name, min } = RULES[limit];
    if (value === undefined || (Number.isSafeInteger(value) && value >= min)) continue;
    throw new CofferError("invalid-argument", `${name} must be a whole number from ${min}`);
  }
}

export function checkCompaction(compaction: TenantCompaction): void {
  const count =
    compaction.kind === "none"
      ? 1
      : compaction.kind === "age"
        ? compaction.seconds
        : compaction.revisions;
  if (Number.isSafeInteger(count) && count >= 1) return;
  const unit = compaction.kind === "age" ? "1 second" : "1 revision";
  throw new CofferError("invalid-argument", `auto-compaction keeps at least ${unit}`);
}

/** A burst is of the rate, and goes with it. */
export function wholeChanges(changes: LimitChanges): LimitChanges {
  const isRateTaken =
    Object.hasOwn(changes, "requestsPerSecond") && changes.requestsPerSecond === undefined;
  return isRateTaken ? { requestBurst: undefined, ...changes } : changes;
}
