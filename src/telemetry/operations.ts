import type { ApplyResult, Command, TxnResult } from "../core/types/mod.ts";
import type { Metrics } from "./metrics.ts";

/**
 * Counts what was done to keys and leases, in etcd's series (server/storage/mvcc/metrics_txn.go and
 * server/lease/lessor.go). What is counted is what was asked for: not the reads that etcd makes on the way
 * to an answer, such as of a previous value, nor the keys that go with their lease.
 */

type KeyMetrics = Pick<Metrics, "puts" | "deletes" | "ranges" | "txns">;

type AppliedMetrics = KeyMetrics &
  Pick<Metrics, "leasesGranted" | "leasesRevoked" | "leasesRenewed" | "leasesExpired">;

/**
 * One command that was applied on this member. Every member sees it, but only the leader counts renewals
 * and expiries, as in etcd: the sum over all members is then their number.
 */
export function countApplied(
  metrics: AppliedMetrics,
  applied: { readonly command: Command; readonly result: ApplyResult; readonly isLeader: boolean },
): void {
  const { command, result, isLeader } = applied;
  switch (result.kind) {
    case "put":
      return metrics.puts.inc();
    case "delete-range":
      return metrics.deletes.inc();
    case "txn":
      return countTxn(metrics, result.response);
    case "lease-grant":
      return metrics.leasesGranted.inc();
    case "lease-revoke":
      metrics.leasesRevoked.inc();
      if (isLeader && command.kind === "lease-revoke" && command.cause === "expired") {
        metrics.leasesExpired.inc();
      }
      return;
    case "lease-renew":
      // Of a lease that is gone: 0.
      if (isLeader && result.ttl > 0) metrics.leasesRenewed.inc();
      return;
    default:
      return;
  }
}

/** The operations that a transaction carried out; of more than one, also itself, as in etcd. */
export function countTxn(metrics: KeyMetrics, result: TxnResult): void {
  if (countOps(metrics, result) > 1) metrics.txns.inc();
}

function countOps(metrics: KeyMetrics, { responses }: TxnResult): number {
  let count = 0;
  for (const response of responses) {
    switch (response.kind) {
      case "range":
        metrics.ranges.inc();
        count++;
        break;
      case "put":
        metrics.puts.inc();
        count++;
        break;
      case "delete-range":
        metrics.deletes.inc();
        count++;
        break;
      case "txn":
        count += countOps(metrics, response.response);
    }
  }
  return count;
}
