import type { RefusedConnection } from "../api/mod.ts";
import type { Audit } from "../audit/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/**
 * A connection that got no further than the handshake still has its record, and so has one that was
 * ended since its certificate is no longer good.
 */
export function recordConnection(
  { kind, reason, address, thumbprint }: RefusedConnection,
  { audit, log }: { readonly audit: Audit; readonly log: Logger },
): void {
  log.warn(kind === "refused" ? "Connection refused" : "Connection ended", { reason, address });
  audit
    .append({
      tenant: "",
      revision: 0,
      policyRevision: 0,
      requestId: "",
      issuer: "",
      subject: "",
      groups: [],
      tokenId: "",
      certThumbprint: thumbprint,
      peerAddress: address,
      action: kind === "refused" ? "connect" : "disconnect",
      key: "",
      rangeEnd: "",
      outcome: "refused",
      reason,
    })
    .catch((cause: unknown) => log.warn("Refused connection was not recorded", { cause }));
}
