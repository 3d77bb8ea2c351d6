import type { HistoryLine, LeaseLine, LineType, OpLine } from "./history.ts";
import { isLease, isOp } from "./history.ts";

/** An operation: its invocation and what became of it. */
export interface Call<Line extends OpLine | LeaseLine> {
  readonly start: number;
  /** Infinity while nobody knows. */
  readonly end: number;
  readonly outcome: Exclude<LineType, "invoke">;
  readonly invoked: Line;
  /** The last line of it; `invoked` where none came. */
  readonly done: Line;
}

export type Op = Call<OpLine>;
export type LeaseOp = Call<LeaseLine>;

export function pairOps(lines: readonly HistoryLine[]): readonly Op[] {
  return pair(lines.filter(isOp));
}

export function pairLeaseOps(lines: readonly HistoryLine[]): readonly LeaseOp[] {
  return pair(lines.filter(isLease));
}

/** Each process does one thing at a time. Throws where the lines do not pair. */
function pair<Line extends OpLine | LeaseLine>(lines: readonly Line[]): readonly Call<Line>[] {
  const open = new Map<number, Line>();
  const calls: Call<Line>[] = [];
  for (const line of lines) {
    const invoked = open.get(line.process);
    if (line.type === "invoke") {
      if (invoked !== undefined) throw new Error(`Process ${line.process} does two things at once`);
      open.set(line.process, line);
      continue;
    }
    if (invoked === undefined || invoked.f !== line.f) {
      throw new Error(`Process ${line.process} ends a ${line.f} that it did not begin`);
    }
    open.delete(line.process);
    const end = line.type === "info" ? Infinity : line.time;
    calls.push({ start: invoked.time, end, outcome: line.type, invoked, done: line });
  }
  for (const invoked of open.values()) {
    calls.push({ start: invoked.time, end: Infinity, outcome: "info", invoked, done: invoked });
  }
  return calls.toSorted((a, b) => a.start - b.start);
}

/** One line for people. Times in milliseconds. */
export function describeOp({ start, end, outcome, done }: Op | LeaseOp): string {
  const ms = (ns: number): string => (ns / 1e6).toFixed(3);
  const until = end === Infinity ? "?" : ms(end);
  const about = "value" in done ? ` ${JSON.stringify(done.value)}` : "";
  const prev = "prev" in done ? ` prev=${JSON.stringify(done.prev)}` : "";
  const rev = done.rev === undefined ? "" : ` rev=${done.rev}`;
  const at = done.member === undefined ? "" : ` at ${done.member}`;
  return `[${ms(start)}..${until}] p${done.process}${at} ${done.f} ${done.key ?? ""}${about}${prev}${rev} ${outcome}`;
}
