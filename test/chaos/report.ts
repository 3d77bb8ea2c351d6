import { type HistoryLine, type NemesisLine, isNemesis } from "./history.ts";
import { PROBE_KEY } from "./final-read.ts";
import { gapsOf } from "./leases.ts";
import { type Op, pairLeaseOps, pairOps } from "./ops.ts";
import type { Verdict } from "./verdict.ts";

/** The summary of a run, for people. */

export function report(lines: readonly HistoryLine[], verdicts: readonly Verdict[]): string {
  const parts = [
    "Operations",
    table(operations(lines)),
    "Faults",
    table(faults(lines)),
    `Longest time without a write: ${longestGap(lines)}`,
    "",
    "Checks",
    table([
      ["property", "check", "looked at", "verdict"],
      ...verdicts.map(({ property, title, checked, state }) => [
        property,
        title,
        String(checked),
        state === "ok" ? "ok" : state.toUpperCase(),
      ]),
    ]),
    ...verdicts.flatMap(({ property, findings }) =>
      findings.map((finding) => `${property}: ${finding}`),
    ),
  ];
  return parts.join("\n");
}

function operations(lines: readonly HistoryLine[]): readonly (readonly string[])[] {
  const rows = new Map<string, { ok: number; fail: number; info: number }>();
  const count = (f: string, outcome: "ok" | "fail" | "info"): void => {
    const row = rows.get(f) ?? { ok: 0, fail: 0, info: 0 };
    row[outcome]++;
    rows.set(f, row);
  };
  for (const { done, outcome } of [...pairOps(lines), ...pairLeaseOps(lines)]) {
    count(done.f, outcome);
    count("all", outcome);
  }
  for (const { f, type } of lines) if (f.startsWith("watch-") && type === "ok") count(f, "ok");
  const header = ["operation", "ok", "fail", "unknown"];
  const all = [...rows].map(([f, { ok, fail, info }]) => [f, ok, fail, info].map(String));
  return [header, ...all.sort(byFirst)];
}

interface FaultRow {
  injected: number;
  failed: number;
  /** Longest time without a write that began while it was there or shortly after, in seconds. */
  gapS: number;
}

function faults(lines: readonly HistoryLine[]): readonly (readonly string[])[] {
  const gaps = gapsOf(clientOps(lines), 0);
  const rows = new Map<string, FaultRow>();
  const began = new Map<string, number>();
  const told = lines.filter(isNemesis).filter(({ f }) => f !== "heal");
  for (const line of told) {
    const row = rows.get(line.f) ?? { injected: 0, failed: 0, gapS: 0 };
    rows.set(line.f, row);
    const value = line.value as object;
    if ("failed" in value) row.failed++;
    if ("injected" in value) {
      row.injected++;
      began.set(line.f, beginOf(line));
    }
    if (!("healed" in value)) continue;
    const next = told.map(beginOf).find((begin) => begin > line.time) ?? Infinity;
    const from = (began.get(line.f) ?? 0) - BEFORE_NS;
    const to = Math.min(line.time + AFTER_NS, next - BEFORE_NS);
    const inside = gaps.filter((gap) => gap.from > from && gap.from < to);
    for (const gap of inside) row.gapS = Math.max(row.gapS, (gap.to - gap.from) / 1e9);
  }
  const shown = [...rows].map(([f, { injected, failed, gapS }]) => [
    f,
    `${injected}`,
    `${failed}`,
    gapS.toFixed(2),
  ]);
  return [
    ["fault", "times", "could not be had", "longest s without a write"],
    ...shown.sort(byFirst),
  ];
}

/** The last answer may be older than the fault. */
const BEFORE_NS = 0.1e9;
const AFTER_NS = 1e9;

/** When a fault was begun: what takes long to be done is written down when it is done. */
function beginOf({ time, value }: NemesisLine): number {
  const { tookMs = 0 } = value as { readonly tookMs?: number };
  return time - tookMs * 1e6;
}

/** What clients did while the run went on. */
function clientOps(lines: readonly HistoryLine[]): readonly Op[] {
  return pairOps(lines).filter(({ done }) => done.key !== PROBE_KEY);
}

function byFirst([a = ""]: readonly string[], [b = ""]: readonly string[]): number {
  return a < b ? -1 : 1;
}

function longestGap(lines: readonly HistoryLine[]): string {
  const gaps = gapsOf(clientOps(lines), 0);
  let longest = { from: 0, to: 0 };
  for (const gap of gaps) if (gap.to - gap.from > longest.to - longest.from) longest = gap;
  const seconds = (ns: number): string => (ns / 1e9).toFixed(2);
  const around = lines
    .filter(isNemesis)
    .filter(({ time }) => time > longest.from - 1e9 && time < longest.to)
    .map(({ f, value }) => `\n  ${f} ${Object.values(value as object).join(" ")}`);
  const when = around.length === 0 ? "" : `, around:${around.join("")}`;
  return `${seconds(longest.to - longest.from)} s, ${seconds(longest.from)} s into the run${when}`;
}

/** Columns of equal width, the first row a header. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  }
  const line = (row: readonly string[]): string =>
    `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd();
  return `${rows.map(line).join("\n")}\n`;
}
