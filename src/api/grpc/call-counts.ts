import { FRAME_PREFIX_BYTES } from "../../proto/mod.ts";
import type { GrpcStatus } from "../../errors.ts";
import type { Metrics } from "../../telemetry/mod.ts";
import type { Method } from "./method.ts";

/** What calls are counted in. */
export type CallMetrics = Pick<Metrics, "rpc" | "clientReceivedBytes" | "clientSentBytes">;

/** The series of one method. Bytes are those of messages without their frames, as etcd counts them. */
export interface MethodCounts {
  started(): void;
  received(message: Buffer): void;
  sent(frame: Buffer): void;
  handled(status: GrpcStatus, milliseconds: number): void;
}

/** Of a method that is not served: nothing, as go-grpc-prometheus does. */
export const UNCOUNTED: MethodCounts = {
  started: () => undefined,
  received: () => undefined,
  sent: () => undefined,
  handled: () => undefined,
};

export function countsOf(metrics: CallMetrics, method: Method): MethodCounts {
  const { clientReceivedBytes, clientSentBytes } = metrics;
  const cut = method.path.lastIndexOf("/");
  const type = method.kind === "unary" ? "unary" : method.type;
  const rpc = metrics.rpc(type, method.path.slice(1, cut), method.path.slice(cut + 1));
  return {
    started: () => rpc.started(),
    received: (message) => {
      rpc.received(1);
      clientReceivedBytes.inc(message.length);
    },
    sent: (frame) => {
      rpc.sent(1);
      clientSentBytes.inc(frame.length - FRAME_PREFIX_BYTES);
    },
    handled: (status, milliseconds) => rpc.handled(status, milliseconds / 1000),
  };
}
