import { CofferError } from "../errors.ts";
import type { MemberId } from "../core/types/mod.ts";
import type { Caller } from "./requests.ts";

/**
 * Ends streams of clients that asked for a leader (metadata `hasleader`) once there has been none for
 * a while: a short election is none of their business (etcd v3rpc/interceptor.go monitorLeader).
 */
export interface LeaderWatch {
  /** `lost` is called once, with `no-leader`, unless the returned function is called before. */
  whileLeader(caller: Caller, lost: (error: CofferError) => void): () => void;
  close(): void;
}

export interface LeaderWatchOptions {
  /** Calls back when the known leader changes, 0n for none; returns what ends it. */
  readonly onLeadership: (listener: (leader: MemberId) => void) => () => void;
  /** Milliseconds without a leader that are let pass. */
  readonly graceMs: number;
}

export function createLeaderWatch({ onLeadership, graceMs }: LeaderWatchOptions): LeaderWatch {
  const streams = new Set<(error: CofferError) => void>();
  let timer: NodeJS.Timeout | undefined;
  const endAll = (): void => {
    const ended = [...streams];
    streams.clear();
    for (const lost of ended) lost(new CofferError("no-leader"));
  };
  const unsubscribe = onLeadership((leader) => {
    clearTimeout(timer);
    timer = leader === 0n ? setTimeout(endAll, graceMs).unref() : undefined;
  });
  return {
    whileLeader: (caller, lost) => {
      if (!caller.requireLeader) return () => undefined;
      // One stream may be watched for several requests, so each watch is a function of its own.
      const once = (error: CofferError): void => lost(error);
      streams.add(once);
      return () => void streams.delete(once);
    },
    close: () => {
      unsubscribe();
      clearTimeout(timer);
      streams.clear();
    },
  };
}
