import type { AuditEvent } from "../audit/mod.ts";

const MEMBER: AuditEvent["actor"] = { issuer: "", subject: "system:member", groups: [] };

/** A record of what the member did by itself. */
export function memberEvent(event: Partial<AuditEvent> & Pick<AuditEvent, "action">): AuditEvent {
  return {
    tenant: "",
    revision: 0,
    policyRevision: 0,
    requestId: "",
    actor: MEMBER,
    certThumbprint: "",
    peerAddress: "",
    key: "",
    rangeEnd: "",
    outcome: "ok",
    reason: "",
    ...event,
  };
}
