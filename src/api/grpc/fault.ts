import { grpcStatus } from "../../errors.ts";
import type { FrameFault } from "../../proto/mod.ts";
import { ProtocolError } from "./status.ts";

/** etcd's limit of a request, and the room it leaves for the rest of the message. */
export const MESSAGE_BYTES_MAX: number = 1536 * 1024 + 512 * 1024;

/** How a fault of framing is told, in grpc-go's words where it has them. */
export function errorOfFault(fault: FrameFault): ProtocolError {
  switch (fault.kind) {
    case "compressed":
      return new ProtocolError(
        grpcStatus.unimplemented,
        "grpc: compressed messages are not accepted; send them with grpc-encoding identity",
      );
    case "unknown-flag":
      return new ProtocolError(
        grpcStatus.internal,
        `grpc: received unexpected payload format ${String(fault.flag)}`,
      );
    case "too-large": {
      const sizes = `${String(fault.bytes)} vs. ${String(fault.bytesMax)}`;
      return new ProtocolError(
        grpcStatus.resourceExhausted,
        `grpc: received message larger than max (${sizes})`,
      );
    }
  }
}

export function tooManyMessages(): ProtocolError {
  return new ProtocolError(
    grpcStatus.internal,
    "grpc: a unary call must send one message, and more came",
  );
}

export function noMessage(): ProtocolError {
  return new ProtocolError(grpcStatus.internal, "grpc: a unary call must send one message");
}

export function endsWithinMessage(): ProtocolError {
  return new ProtocolError(grpcStatus.internal, "grpc: the stream ends within a message");
}
