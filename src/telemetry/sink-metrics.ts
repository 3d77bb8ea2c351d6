import type { Registry } from "prom-client";
import { gaugeFamily } from "./tally.ts";

/** How far behind one audit sink is. */
export interface SinkFigures {
  /** Scheme, host and port, or the path: what the operator configured, without options. */
  readonly name: string;
  readonly lagRecords: number;
  readonly lagSeconds: number;
  readonly isBehind: boolean;
}

export function registerSinks(registry: Registry, statuses: () => readonly SinkFigures[]): void {
  const family = (name: string, help: string, read: (sink: SinkFigures) => number): void =>
    gaugeFamily({ registry, name: `coffer_audit_sink_${name}`, help, labelNames: ["sink"] }, () =>
      statuses().map((sink) => ({ labels: { sink: sink.name }, value: read(sink) })),
    );
  family("lag_records", "Audit records not sent to the sink yet.", (sink) => sink.lagRecords);
  family("lag_seconds", "Age of the oldest of them.", (sink) => sink.lagSeconds);
  family("behind", "Whether the sink is over a minute behind: 1 or 0.", (sink) =>
    Number(sink.isBehind),
  );
}
