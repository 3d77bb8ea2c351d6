import type { Registry } from "prom-client";
import { counterFamily, exponentialBounds, histogramFamily } from "./tally.ts";

/** What goes between this member and one other; etcd's names, which label by the other's id. */
export interface PeerMetrics {
  sent(bytes: number): void;
  received(bytes: number): void;
  roundTrip(seconds: number): void;
  snapshotSent(isDelivered: boolean): void;
}

// etcd's bounds (server/etcdserver/api/rafthttp/metrics.go).
const ROUND_TRIP_BOUNDS_SECONDS: readonly number[] = exponentialBounds(0.0001, 2, 16);

/** `peer(id)`: the series of the member with that id, hexadecimal; made when first asked for. */
export function peerFamilies(registry: Registry): (id: string) => PeerMetrics {
  const network = (name: string, help: string, label: "To" | "From") =>
    counterFamily({ registry, name: `etcd_network_${name}`, help, labelNames: [label] });
  const sentOf = network("peer_sent_bytes_total", "Bytes sent to a member.", "To");
  const receivedOf = network("peer_received_bytes_total", "Bytes received of a member.", "From");
  const deliveredOf = network("snapshot_send_success", "Snapshots a member received.", "To");
  const failedOf = network("snapshot_send_failures", "Snapshots a member did not receive.", "To");
  const roundTripOf = histogramFamily({
    registry,
    name: "etcd_network_peer_round_trip_time_seconds",
    help: "Seconds from this member to another and back.",
    labelNames: ["To"],
    bounds: ROUND_TRIP_BOUNDS_SECONDS,
  });
  const known = new Map<string, PeerMetrics>();
  return (id) => {
    const found = known.get(id);
    if (found !== undefined) return found;
    const sent = sentOf({ To: id });
    const received = receivedOf({ From: id });
    const roundTrip = roundTripOf({ To: id });
    const delivered = deliveredOf({ To: id });
    const failed = failedOf({ To: id });
    const made: PeerMetrics = {
      sent: (bytes) => sent.inc(bytes),
      received: (bytes) => received.inc(bytes),
      roundTrip: (seconds) => roundTrip.observe(seconds),
      snapshotSent: (isDelivered) => (isDelivered ? delivered : failed).inc(),
    };
    known.set(id, made);
    return made;
  };
}
