import type { Edge, HealthCheck } from "../../edge/mod.ts";
import { grpcStatus } from "../../errors.ts";
import { health, frameOf } from "../../proto/mod.ts";
import { type Method, type StreamCall, type StreamHandler, decodeWith, unary } from "./method.ts";
import { ProtocolError } from "./status.ts";

/** grpc.health.v1: can this member answer requests now? Open to all who reach the port, as etcd's. */

const CHECKS: readonly HealthCheck[] = ["linearizable-read", "data-corruption", "audit"];
const RECHECK_MS = 5000;

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = health.HealthCheckResponse_ServingStatus;
type Serving = health.HealthCheckResponse_ServingStatus;

/** `services`: full names that can be asked about, besides "". */
export function healthMethods(edge: Edge, services: ReadonlySet<string>): readonly Method[] {
  const servingStatus = async (service: string): Promise<Serving> => {
    if (service !== "" && !services.has(service)) return SERVICE_UNKNOWN;
    const results = await edge.health(CHECKS);
    return results.every((result) => result.failure === undefined) ? SERVING : NOT_SERVING;
  };
  return [
    unary(
      "/grpc.health.v1.Health/Check",
      { request: health.HealthCheckRequest, response: health.HealthCheckResponse },
      async (_caller, { service }) => {
        const status = await servingStatus(service);
        if (status === SERVICE_UNKNOWN) {
          throw new ProtocolError(grpcStatus.notFound, "unknown service");
        }
        return { status };
      },
    ),
    {
      kind: "stream",
      type: "server_stream",
      path: "/grpc.health.v1.Health/Watch",
      serve: (call) => watchHealth(servingStatus, call),
    },
  ];
}

/** Sends the status at once, then whenever a check some seconds later finds another one. */
function watchHealth(
  servingStatus: (service: string) => Promise<Serving>,
  call: StreamCall,
): StreamHandler {
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let last: Serving | undefined;
  const check = async (service: string): Promise<void> => {
    const status = await servingStatus(service);
    if (closed) return;
    if (status !== last && call.writable) {
      last = status;
      call.write(frameOf(health.HealthCheckResponse.encode({ status }).finish()));
    }
    timer = setTimeout(() => void check(service).catch(call.finish), RECHECK_MS).unref();
  };
  return {
    onMessage: (message) => {
      call.pause();
      check(decodeWith(health.HealthCheckRequest, message).service).catch(call.finish);
    },
    onHalfClose: () => undefined,
    onWritable: () => undefined,
    onClose: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}
