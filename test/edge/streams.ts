import type { Client } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import type { rpc } from "../../src/proto/mod.ts";

/** The responses of one watch stream, kept as they come. */
export interface Watching extends AsyncDisposable {
  readonly responses: readonly rpc.WatchResponse[];
  create(request: Parameters<ReturnType<Client["watch"]>["create"]>[0]): void;
  cancel(watchId: bigint): void;
  progress(): void;
  /** The first response, past or to come, that `wanted` accepts. Rejects if the stream ends first. */
  until(wanted: (response: rpc.WatchResponse) => boolean): Promise<rpc.WatchResponse>;
  /** How the stream ended. */
  readonly ended: Promise<CofferError | undefined>;
}

export function watching(client: Client): Watching {
  const stream = client.watch();
  const responses: rpc.WatchResponse[] = [];
  let wake: () => void = () => undefined;
  let over = false;
  const read = async (): Promise<CofferError | undefined> => {
    try {
      for await (const response of stream.responses()) {
        responses.push(response);
        wake();
      }
      return undefined;
    } catch (error) {
      if (error instanceof CofferError) return error;
      throw error;
    } finally {
      over = true;
      wake();
    }
  };
  const ended = read();
  return {
    responses,
    create: (request) => stream.create(request),
    cancel: (watchId) => stream.cancel(watchId),
    progress: () => stream.requestProgress(),
    until: async (wanted) => {
      for (;;) {
        const found = responses.find(wanted);
        if (found !== undefined) return found;
        if (over) throw (await ended) ?? new Error("The stream ended");
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    ended,
    [Symbol.asyncDispose]: async () => {
      stream.close();
      await ended;
    },
  };
}

export const DENIED_WATCH =
  "rpc error: code = PermissionDenied desc = etcdserver: permission denied";

/** Creates one watcher; resolves to its first response. */
export async function createWatch(
  client: Client,
  request: Parameters<Watching["create"]>[0],
): Promise<{ readonly watch: Watching; readonly created: rpc.WatchResponse }> {
  const watch = watching(client);
  watch.create(request);
  return { watch, created: await watch.until((response) => response.created) };
}
