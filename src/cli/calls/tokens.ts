import type { Client, tokenApi } from "../../client/mod.ts";
import { CofferError } from "../../errors.ts";
import type { Reply } from "../client-port.ts";
import { countOf, replyOf } from "../from-message.ts";
import type { Revocation, RevocationTarget, Revoked, TokenPort } from "../token-port.ts";

export function tokenCalls(client: Client): TokenPort {
  return {
    tokenIssue: async ({ subject, groups, tenants, ttlSeconds, certificate }) => {
      const names = { groups: [...groups], tenants: [...tenants], certificate };
      const request = { subject, ...names, ttlSeconds: BigInt(ttlSeconds) };
      const response = await client.tokenIssue(request);
      const { token, tokenId } = response;
      return replyOf(response, { token, tokenId, expires: countOf(response.expires) });
    },
    whoAmI: async () => {
      const response = await client.whoAmI();
      const actor = response.actor ?? { issuer: "", subject: "", requestId: "" };
      return replyOf(response, { actor, tenant: response.tenant, groups: response.groups });
    },
    tokenRotateKey: async (request) => {
      const response = await client.tokenRotateKey(request);
      return replyOf(response, { keyId: response.keyId });
    },
    tokenRevoke: async ({ target, certificateEnds }) =>
      revokedOf(
        await client.tokenRevoke({
          target: { target: targetMessage(target) },
          certificateEnds: BigInt(certificateEnds),
        }),
      ),
    tokenRevocations: () => allRevocations(client),
    tokenUnrevoke: async (id) => revokedOf(await client.tokenUnrevoke({ id })),
  };
}

async function allRevocations(client: Client): ReturnType<TokenPort["tokenRevocations"]> {
  const revocations: Revocation[] = [];
  let after = "";
  for (;;) {
    const page = await client.tokenRevocations({ after });
    revocations.push(...page.revocations.map(revocationOf));
    after = page.next;
    if (after !== "") continue;
    const sorted = revocations.toSorted((a, b) => a.created - b.created);
    return replyOf(page, { tenant: page.tenant, revocations: sorted });
  }
}

function revokedOf(response: tokenApi.TokenRevokeResponse): Reply<Revoked> {
  const { tenant, revocation } = response;
  return replyOf(response, { tenant, revocation: revocationOf(present(revocation)) });
}

function revocationOf(message: tokenApi.Revocation): Revocation {
  const { id, by } = message;
  const [created, expires] = [countOf(message.created), countOf(message.expires)];
  return { id, target: targetOf(present(message.target?.target)), by, created, expires };
}

function targetOf(message: NonNullable<tokenApi.RevocationTarget["target"]>): RevocationTarget {
  switch (message.$case) {
    case "token":
      return { kind: "token", ...message.value };
    case "subject": {
      const issuedBefore = countOf(message.value.issuedBefore);
      return { kind: "subject", ...message.value, issuedBefore };
    }
    case "issuer": {
      const issuedBefore = countOf(message.value.issuedBefore);
      return { kind: "issuer", ...message.value, issuedBefore };
    }
    case "certificate":
      return { kind: "certificate", thumbprint: message.value };
  }
}

function targetMessage(target: RevocationTarget): tokenApi.RevocationTarget["target"] {
  switch (target.kind) {
    case "token":
      return { $case: "token", value: { issuer: target.issuer, tokenId: target.tokenId } };
    case "subject": {
      const { issuer, subject } = target;
      const issuedBefore = BigInt(target.issuedBefore);
      return { $case: "subject", value: { issuer, subject, issuedBefore } };
    }
    case "issuer": {
      const issuedBefore = BigInt(target.issuedBefore);
      return { $case: "issuer", value: { issuer: target.issuer, issuedBefore } };
    }
    case "certificate":
      return { $case: "certificate", value: target.thumbprint };
  }
}

function present<T>(value: T | undefined): T {
  if (value !== undefined) return value;
  throw new CofferError("internal", "the server's reply lacks a part");
}
