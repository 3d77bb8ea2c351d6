import { bytes, duration, integer, oneOf, type Option, type Parser, text } from "../config/mod.ts";
import type { TenantCompaction, TenantLimits } from "../core/types/mod.ts";
import type { LimitChanges } from "./client-port.ts";
import { mistake } from "./keys.ts";

/** The options that set limits and auto-compaction of a tenant, and what they say. */

/** A count or a size, or `none`. */
type Limit = number | "none";

function limit(
  name: string,
  parser: Parser<number>,
  help: string,
): Option<Limit> & { readonly name: string } {
  const orNone: Parser<Limit> = {
    ...parser,
    placeholder: `${parser.placeholder}|none`,
    kind: "text",
    parse: (value) => (value === "none" ? { ok: true, value } : parser.parse(value)),
  };
  return { name, parser: orNone, help };
}

/** By the field of the limits that each sets. */
const limitOptions: { readonly [field in keyof Required<TenantLimits>]: Option<Limit> } = {
  bytesMax: limit("max-bytes", bytes(), "keys and sealed values, history included: 100MiB"),
  keysMax: limit("max-keys", integer({ min: 0 }), "keys"),
  leasesMax: limit("max-leases", integer({ min: 0 }), "leases"),
  keyBytesMax: limit("max-key-bytes", bytes({ min: 1 }), "size of one key"),
  valueBytesMax: limit("max-value-bytes", bytes(), "size of one value"),
  requestsPerSecond: limit(
    "requests-per-second",
    integer({ min: 1 }),
    "requests that each member takes",
  ),
  requestBurst: limit("request-burst", integer({ min: 1 }), "of them at once after a pause"),
  watchesMax: limit("max-watches", integer({ min: 0 }), "watches on each member"),
};

const MODES = ["periodic", "revision", "none"] as const;

export const tenantOptions: typeof limitOptions & {
  readonly mode: Option<(typeof MODES)[number]>;
  readonly retention: Option<string>;
} = {
  ...limitOptions,
  mode: {
    name: "auto-compaction-mode",
    parser: oneOf(MODES),
    help: "which history goes by itself (none: as the members' options say)",
  },
  retention: {
    name: "auto-compaction-retention",
    parser: text("TIME|N"),
    help: "the age, or the number of revisions, that is kept: 1h, 1000",
  },
};

type Values = { readonly [field in keyof TenantLimits]?: Limit } & {
  readonly mode?: (typeof MODES)[number];
  readonly retention?: string;
};

const FIELDS = Object.keys(limitOptions) as readonly (keyof TenantLimits)[];

/** The limits that were named, undefined for `none`. */
export function limitChanges(values: Values): LimitChanges {
  const changes: { -readonly [field in keyof LimitChanges]: number | undefined } = {};
  for (const field of FIELDS) {
    const value = values[field];
    if (value !== undefined) changes[field] = value === "none" ? undefined : value;
  }
  return changes;
}

/** Undefined: neither option was given. Refuses one that lacks the other, and what does not fit. */
export function compactionOf({ mode, retention }: Values): TenantCompaction | undefined {
  if (mode === undefined && retention === undefined) return undefined;
  if (mode === "none") {
    if (retention === undefined) return { kind: "none" };
    throw mistake("--auto-compaction-mode none keeps all: leave --auto-compaction-retention out");
  }
  if (retention === undefined) throw mistake("--auto-compaction-mode needs the retention too");
  if (mode === "revision")
    return { kind: "count", revisions: kept(retention, integer({ min: 1 })) };
  // etcd's rules: periodic unless it is said, and a bare number is hours.
  const age = /^[0-9]+$/.test(retention) ? `${retention}h` : retention;
  return { kind: "age", seconds: Math.round(kept(age, duration({ min: 1000 })) / 1000) };
}

function kept(retention: string, parser: Parser<number>): number {
  const parsed = parser.parse(retention);
  if (parsed.ok) return parsed.value;
  throw mistake(`--auto-compaction-retention ${JSON.stringify(retention)} ${parsed.error}`);
}
