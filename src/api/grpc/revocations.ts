import type { Edge, Revocation, RevocationTarget, Revoked } from "../../edge/mod.ts";
import { tokenApi } from "../../proto/mod.ts";
import { type Method, clamp, headerOf, unary, whole } from "./method.ts";

/** Of coffer.v1.Tokens, what is about revoked credentials. */
export function revocationMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Tokens/Revoke",
      { request: tokenApi.TokenRevokeRequest, response: tokenApi.TokenRevokeResponse },
      async (caller, { target, certificateEnds }) => {
        const request = { target: targetOf(target), certificateEnds: clamp(certificateEnds) };
        return revokedMessage(await edge.tokenRevoke(caller, request));
      },
    ),
    unary(
      "/coffer.v1.Tokens/Revocations",
      { request: tokenApi.TokenRevocationsRequest, response: tokenApi.TokenRevocationsResponse },
      async (caller, { after }) => {
        const { header, body } = await edge.tokenRevocations(caller, { after });
        const revocations = body.revocations.map(revocationMessage);
        return { header: headerOf(header), revocations, tenant: body.tenant, next: body.next };
      },
    ),
    unary(
      "/coffer.v1.Tokens/Unrevoke",
      { request: tokenApi.TokenUnrevokeRequest, response: tokenApi.TokenRevokeResponse },
      async (caller, { id }) => revokedMessage(await edge.tokenUnrevoke(caller, id)),
    ),
  ];
}

function revokedMessage({
  header,
  body,
}: {
  readonly header: Parameters<typeof headerOf>[0];
  readonly body: Revoked;
}): tokenApi.TokenRevokeResponse {
  const { tenant, revocation } = body;
  return { header: headerOf(header), revocation: revocationMessage(revocation), tenant };
}

function targetOf(message: tokenApi.RevocationTarget | undefined): RevocationTarget | undefined {
  const target = message?.target;
  switch (target?.$case) {
    case "token":
      return { kind: "token", ...target.value };
    case "subject": {
      const { issuer, subject, issuedBefore } = target.value;
      return { kind: "subject", issuer, subject, issuedBefore: clamp(issuedBefore) };
    }
    case "issuer": {
      const { issuer, issuedBefore } = target.value;
      return { kind: "issuer", issuer, issuedBefore: clamp(issuedBefore) };
    }
    case "certificate":
      return { kind: "certificate", thumbprint: target.value };
    case undefined:
      return undefined;
  }
}

function revocationMessage({ target, ...revocation }: Revocation): tokenApi.Revocation {
  const { id, by, created, expires } = revocation;
  return {
    id,
    target: { target: targetMessage(target) },
    by,
    created: whole(created),
    expires: whole(expires),
  };
}

function targetMessage(target: RevocationTarget): tokenApi.RevocationTarget["target"] {
  switch (target.kind) {
    case "token": {
      const { issuer, tokenId } = target;
      return { $case: "token", value: { issuer, tokenId } };
    }
    case "subject": {
      const { issuer, subject, issuedBefore } = target;
      return { $case: "subject", value: { issuer, subject, issuedBefore: whole(issuedBefore) } };
    }
    case "issuer": {
      const { issuer, issuedBefore } = target;
      return { $case: "issuer", value: { issuer, issuedBefore: whole(issuedBefore) } };
    }
    case "certificate":
      return { $case: "certificate", value: target.thumbprint };
  }
}
