import type { RefusedConnection } from "../api/mod.ts";
import { type EdgeParts, NOBODY, RefusalRecords } from "../edge/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/** Records of connections; a flood of them is counted, as requests without good credentials are. */
export interface ConnectionRecords {
  add(refused: RefusedConnection): void;
  close(): void;
}

/**
 * A connection that got no further than the handshake still has its record, and so has one that was
 * ended since its certificate is no longer good.
 */
export function connectionRecords(deps: {
  readonly audit: Pick<EdgeParts["audit"], "append">;
  readonly log: Logger;
}): ConnectionRecords {
  const { log } = deps;
  const records = new RefusalRecords(deps);
  return {
    add({ kind, reason, address, thumbprint }) {
      log.warn(kind === "refused" ? "Connection refused" : "Connection ended", { reason, address });
      records
        .add({
          tenant: "",
          revision: 0,
          policyRevision: 0,
          requestId: "",
          actor: NOBODY,
          certThumbprint: thumbprint,
          peerAddress: address,
          action: kind === "refused" ? "connect" : "disconnect",
          key: "",
          rangeEnd: "",
          rights: [],
          outcome: "refused",
          reason,
        })
        .catch((cause: unknown) => log.warn("Refused connection was not recorded", { cause }));
    },
    close: () => records.close(),
  };
}
