import type { TenantCompaction } from "../core/types/mod.ts";
import { type Parsed, type Parser, duration } from "./parsers.ts";

export type AutoCompactionMode = "periodic" | "revision";

const HOUR_S = 3600;

/**
 * What `--auto-compaction-retention` keeps, in etcd's manner (etcd server/embed/config.go
 * parseCompactionRetention): with the mode "revision" a number of revisions; with "periodic" a number of
 * hours, or a duration such as `30m` or `1h30m`. 0: nothing is compacted.
 */
export function parseRetention(mode: AutoCompactionMode, text: string): Parsed<TenantCompaction> {
  const number = /^[0-9]+$/.test(text) ? Number(text) : undefined;
  if (number !== undefined && !Number.isSafeInteger(number * HOUR_S)) {
    return { ok: false, error: "is too large" };
  }
  if (mode === "revision") {
    if (number === undefined) return { ok: false, error: "is not a number of revisions" };
    return good(number === 0 ? NONE : { kind: "count", revisions: number });
  }
  if (number !== undefined) return good(ofAge(number * HOUR_S));
  const parsed = duration().parse(text);
  if (!parsed.ok) return { ok: false, error: "is neither hours nor a duration such as 30m or 12h" };
  return good(ofAge(Math.ceil(parsed.value / 1000)));
}

/** Either mode's text; which one it must fit is known only with the mode. */
export const retention: Parser<string> = {
  placeholder: "TIME|N",
  kind: "number",
  parse: (text) => {
    const parsed = parseRetention("periodic", text);
    return parsed.ok ? { ok: true, value: text } : parsed;
  },
};

const NONE: TenantCompaction = { kind: "none" };

function ofAge(seconds: number): TenantCompaction {
  return seconds === 0 ? NONE : { kind: "age", seconds };
}

function good(value: TenantCompaction): Parsed<TenantCompaction> {
  return { ok: true, value };
}
