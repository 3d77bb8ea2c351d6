import type { Metrics } from "../telemetry/mod.ts";
import type { TransportObserver } from "../transport/mod.ts";

/** Counts what the transport tells by the ids of members, as etcd's dashboards know them. */
export function peerObserver(
  metrics: Metrics,
  /** The id of a member by its name; undefined for a stranger. */
  idOf: (name: string) => bigint | undefined,
): TransportObserver {
  const peer = (name: string): ReturnType<Metrics["peer"]> | undefined => {
    const id = idOf(name);
    return id === undefined ? undefined : metrics.peer(id.toString(16));
  };
  return {
    sent: (name, _channel, bytes) => peer(name)?.sent(bytes),
    received: (name, _channel, bytes) => peer(name)?.received(bytes),
    refused: (reason) => metrics.framesRefused(reason).inc(),
    roundTrip: (name, ms) => peer(name)?.roundTrip(ms / 1000),
  };
}
