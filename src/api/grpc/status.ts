import { CofferError, type GrpcStatus, errorRow, grpcStatus } from "../../errors.ts";
import type { Logger } from "../../telemetry/mod.ts";

/** How a call ended, as it stands in the trailers. */
export interface Outcome {
  readonly status: GrpcStatus;
  readonly message: string;
}

export const OK: Outcome = { status: grpcStatus.ok, message: "" };

/** A fault of the protocol itself, with grpc-go's status and text. Stays inside this room. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly status: GrpcStatus;

  constructor(status: GrpcStatus, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * What a client is told of `error`. An error that is not expected becomes `internal`; what it says
 * goes to the log and never to the client.
 */
export function outcomeOf(error: unknown, log: Logger, method: string): Outcome {
  if (error instanceof ProtocolError) return { status: error.status, message: error.message };
  if (error instanceof CofferError) {
    if (error.code === "internal") log.error("Request failed", { method, error });
    return { status: errorRow(error.code).grpc, message: error.message };
  }
  log.error("Request failed on an unexpected error", { method, error });
  const row = errorRow("internal");
  return { status: row.grpc, message: row.text };
}

/** grpc-message is percent-encoded UTF-8: all but printable ASCII, and the percent sign itself. */
export function percentEncode(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text;
  let out = "";
  for (const byte of Buffer.from(text, "utf8")) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** setTimeout's longest; a later deadline is no deadline. */
const TIMEOUT_MS_MAX = 0x7fffffff;

/** Milliseconds of a grpc-timeout header; undefined when there is none. */
export function timeoutMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const match = /^([0-9]{1,8})([HMSmun])$/.exec(header);
  const unit = UNIT_MS[match?.[2] ?? ""];
  if (match === null || unit === undefined) {
    throw new ProtocolError(grpcStatus.internal, "malformed grpc-timeout");
  }
  const ms = Number(match[1]) * unit;
  return ms > TIMEOUT_MS_MAX ? undefined : Math.ceil(ms);
}
