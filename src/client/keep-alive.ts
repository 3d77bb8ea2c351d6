import { rpc } from "../proto/mod.ts";
import type { ByteStream } from "./transport.ts";

/** One stream of lease renewals. */
export interface KeepAliveStream extends AsyncDisposable {
  /** Asks for one renewal of the lease. */
  renew(id: bigint): void;
  /** Replies in the order of the requests; TTL 0: the lease is gone. Iterate once. */
  replies(): AsyncGenerator<rpc.LeaseKeepAliveResponse, void>;
  close(): void;
}

export function openKeepAlive(stream: ByteStream): KeepAliveStream {
  return {
    renew: (id) => stream.send(rpc.LeaseKeepAliveRequest.encode({ ID: id }).finish()),
    replies: async function* () {
      for await (const message of stream.messages()) {
        yield rpc.LeaseKeepAliveResponse.decode(message);
      }
    },
    close: () => stream.cancel(),
    [Symbol.asyncDispose]: async () => stream.cancel(),
  };
}
