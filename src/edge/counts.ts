import type { Metrics } from "../telemetry/mod.ts";
import type { Caller } from "./requests.ts";

/** What the edge counts. */
export type EdgeMetrics = Pick<
  Metrics,
  | "puts"
  | "deletes"
  | "ranges"
  | "txns"
  | "watchEvents"
  | "tokensAccepted"
  | "tokensRefused"
  | "decisionsAllowed"
  | "decisionsDenied"
  | "guardRetries"
  | "policyRetries"
  | "credentialRetries"
>;

/** The bearer token of one request, if it came with one. */
export function countToken(metrics: EdgeMetrics, caller: Caller, accepted: boolean): void {
  if (caller.authorization === undefined) return;
  if (accepted) metrics.tokensAccepted.inc();
  else metrics.tokensRefused.inc();
}

/** The decision on one right that a request needs; asked again, it counts again. */
export function counted(metrics: EdgeMetrics, allowed: boolean): boolean {
  if (allowed) metrics.decisionsAllowed.inc();
  else metrics.decisionsDenied.inc();
  return allowed;
}
