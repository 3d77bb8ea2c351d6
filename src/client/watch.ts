import { rpc } from "../proto/mod.ts";
import type { ByteStream } from "./transport.ts";

/** One watch stream: many watches, told apart by watch id. */
export interface WatchStream extends AsyncDisposable {
  create(request: rpc.DeepPartial<rpc.WatchCreateRequest>): void;
  cancel(watchId: bigint | number): void;
  requestProgress(): void;
  /**
   * Responses in order; iterate once. Pulling slowly slows the server. Ends after `close`, throws
   * CofferError if the stream fails.
   */
  responses(): AsyncGenerator<rpc.WatchResponse, void>;
  close(): void;
}

export function openWatch(stream: ByteStream): WatchStream {
  const send = (requestUnion: rpc.WatchRequest["requestUnion"]): void => {
    stream.send(rpc.WatchRequest.encode({ requestUnion }).finish());
  };
  return {
    create: (request) =>
      send({ $case: "createRequest", value: rpc.WatchCreateRequest.create(request) }),
    cancel: (watchId) => send({ $case: "cancelRequest", value: { watchId: BigInt(watchId) } }),
    requestProgress: () => send({ $case: "progressRequest", value: {} }),
    responses: async function* () {
      for await (const message of stream.messages()) yield rpc.WatchResponse.decode(message);
    },
    close: () => stream.cancel(),
    [Symbol.asyncDispose]: async () => stream.cancel(),
  };
}
