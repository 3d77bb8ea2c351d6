import type { MemberId } from "../core/types/mod.ts";
import type { MemberStatus, ReplyHeader } from "./client-port.ts";
import { headerJson, type Json } from "./json.ts";
import { idText } from "./keys.ts";
import { safe, sizeText, table } from "./print.ts";

/** What `coffer status` shows of one member, as a table and as JSON. */
export interface StatusRow {
  readonly endpoint: string | undefined;
  /** "" when it is not known. */
  readonly name: string;
  readonly id?: MemberId | undefined;
  /** Of the member's own answer; absent when another member told of it. */
  readonly header?: ReplyHeader;
  readonly report?: MemberStatus;
  /** Between this client and the member. */
  readonly latencyMs?: number;
  /** Between the member that was asked first and this one; 0: not measured. */
  readonly roundTripUs?: number | undefined;
  /** It was added and has not started yet. */
  readonly unstarted?: boolean;
  /** Why nothing is known of it. */
  readonly failure?: string;
}

const HEADING: readonly string[] = [
  "NAME",
  "ID",
  "ENDPOINT",
  "ROLE",
  "TERM",
  "INDEX",
  "LAG",
  "VERSION",
  "SIZE",
  "ROUND TRIP",
  "LATENCY",
  "ERRORS",
];

export function statusTable(rows: readonly StatusRow[]): string {
  const leader = leaderOf(rows);
  const cells = rows.map((row) => {
    const { report } = row;
    return [
      safe(row.name) || "-",
      row.id === undefined ? "-" : idText(row.id),
      safe(row.endpoint ?? "") || "-",
      roleOf(row, leader),
      report === undefined ? "-" : String(report.raftTerm),
      report === undefined ? "-" : String(report.raftIndex),
      lagOf(row, rows)?.toString() ?? "-",
      safe(report?.cofferVersion ?? "") || safe(report?.version ?? "") || "-",
      report === undefined ? "-" : sizeText(report.dbSize),
      (row.roundTripUs ?? 0) > 0 ? timeText((row.roundTripUs ?? 0) / 1000) : "-",
      row.latencyMs === undefined ? "-" : timeText(row.latencyMs),
      report?.errors.map(safe).join("; ") || "-",
    ];
  });
  return table(HEADING, cells);
}

/** As members of the newest term know it; 0n: none. */
function leaderOf(rows: readonly StatusRow[]): bigint {
  let newest: MemberStatus | undefined;
  for (const { report } of rows) {
    if (report === undefined || report.leader === 0n) continue;
    if (newest === undefined || report.raftTerm > newest.raftTerm) newest = report;
  }
  return newest?.leader ?? 0n;
}

function roleOf({ id, report, unstarted }: StatusRow, leader: bigint): string {
  if (unstarted === true) return "unstarted";
  if (report === undefined) return "unreachable";
  if (report.isLearner) return "learner";
  return id === leader ? "leader" : "follower";
}

/** Entries of the longest log that the member has not applied. */
function lagOf({ report }: StatusRow, rows: readonly StatusRow[]): number | undefined {
  if (report === undefined) return undefined;
  const newest = Math.max(...rows.map((row) => row.report?.raftIndex ?? 0));
  return newest - report.raftAppliedIndex;
}

function timeText(ms: number): string {
  return ms < 100 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** The form of `etcdctl endpoint status -w json`, with what Coffer knows beside it. */
export function rowJson(row: StatusRow, rows: readonly StatusRow[]): Json {
  const { endpoint, name, report, header, failure } = row;
  const known = {
    Endpoint: endpoint ?? "",
    Name: name === "" ? undefined : name,
    ID: row.id,
    Error: failure,
    Unstarted: row.unstarted,
    Lag: lagOf(row, rows),
    RoundTripMs: (row.roundTripUs ?? 0) > 0 ? (row.roundTripUs ?? 0) / 1000 : undefined,
    LatencyMs: row.latencyMs === undefined ? undefined : Math.round(row.latencyMs * 1000) / 1000,
  };
  if (report === undefined) return known;
  return {
    ...known,
    Status: {
      header: header === undefined ? undefined : headerJson(header),
      version: report.version === "" ? undefined : report.version,
      cofferVersion: report.cofferVersion === "" ? undefined : report.cofferVersion,
      dbSize: report.dbSize,
      leader: report.leader,
      raftIndex: report.raftIndex,
      raftTerm: report.raftTerm,
      raftAppliedIndex: report.raftAppliedIndex,
      errors: report.errors.length === 0 ? undefined : report.errors,
      dbSizeInUse: report.dbSizeInUse,
      isLearner: report.isLearner ? true : undefined,
    },
  };
}
