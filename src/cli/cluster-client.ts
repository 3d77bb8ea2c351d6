import { type Client, connect } from "../client/mod.ts";
import type { ClientConfig } from "../config/mod.ts";
import { type LeaseId, leaseId } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { auditCalls } from "./calls/audit.ts";
import { certificateCalls } from "./calls/certificates.ts";
import { historyCalls } from "./calls/history.ts";
import { issuerCalls } from "./calls/issuers.ts";
import { policyCalls } from "./calls/policies.ts";
import { tenantCalls } from "./calls/tenants.ts";
import { tokenCalls } from "./calls/tokens.ts";
import type { CofferClient, Reply } from "./client-port.ts";
import {
  countOf,
  deleteOf,
  fleetMemberOf,
  keyFrom,
  memberOf,
  putOf,
  rangeOf,
  replyOf,
  statusOf,
  txnOf,
  watchOf,
} from "./from-message.ts";
import { deleteMessage, putMessage, rangeMessage, txnMessage, watchMessage } from "./to-message.ts";

/** The port of the commands over the client of the API. `readText` reads the PEM files. */
export function openClusterClient(
  config: ClientConfig,
  readText: (path: string) => string,
): CofferClient {
  const pem = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : readPem(path, readText);
  const client = connect({
    endpoints: config.endpoints.map(({ url }) => url),
    ca: pem(config.caFile),
    cert: pem(config.certFile),
    key: pem(config.keyFile),
    token: config.token,
    tenant: config.tenant,
    timeoutMs: config.commandTimeoutMs,
    dialTimeoutMs: Math.min(config.commandTimeoutMs, 5000),
  });
  return {
    ...keyCalls(client),
    ...leaseCalls(client),
    ...memberCalls(client),
    ...tenantCalls(client),
    ...policyCalls(client),
    ...tokenCalls(client),
    ...issuerCalls(client),
    ...certificateCalls(client),
    ...historyCalls(client),
    ...auditCalls(client),
    close: () => client.close(),
  };
}

function readPem(path: string, readText: (path: string) => string): string {
  try {
    return readText(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : "unknown";
    throw new CofferError("invalid-argument", `${path}: cannot be read: ${reason}`);
  }
}

type KeyCalls = "range" | "put" | "deleteRange" | "txn" | "compact" | "watch";

function keyCalls(client: Client): Pick<CofferClient, KeyCalls> {
  return {
    range: async (request) => {
      const response = await client.range(rangeMessage(request));
      return replyOf(response, rangeOf(response));
    },
    put: async (request) => {
      const response = await client.put(putMessage(request));
      return replyOf(response, putOf(response));
    },
    deleteRange: async (request) => {
      const response = await client.deleteRange(deleteMessage(request));
      return replyOf(response, deleteOf(response));
    },
    txn: async (request) => {
      const response = await client.txn(txnMessage(request));
      return replyOf(response, txnOf(response));
    },
    compact: async ({ revision, physical }) =>
      replyOf(await client.compact({ revision: BigInt(revision), physical }), undefined),
    watch: async function* (request, signal) {
      const stream = client.watch();
      const stop = (): void => stream.close();
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
      try {
        stream.create(watchMessage(request));
        for await (const response of stream.responses()) yield watchOf(response);
      } finally {
        signal.removeEventListener("abort", stop);
        stop();
      }
    },
  };
}

type LeaseCalls =
  "leaseGrant" | "leaseRevoke" | "leaseKeepAlive" | "leaseTimeToLive" | "leaseLeases";

function leaseCalls(client: Client): Pick<CofferClient, LeaseCalls> {
  return {
    leaseGrant: async (ttl) => {
      const response = await client.leaseGrant({ TTL: BigInt(ttl) });
      return replyOf(response, { id: leaseId(response.ID), ttl: countOf(response.TTL) });
    },
    leaseRevoke: async (id) => replyOf(await client.leaseRevoke({ ID: id }), undefined),
    leaseKeepAlive: async (id) => await renewOnce(client, id),
    leaseTimeToLive: async (id, keys) => {
      const response = await client.leaseTimeToLive({ ID: id, keys });
      return replyOf(response, {
        grantedTtl: countOf(response.grantedTTL),
        // -1 when the lease is gone (etcdserver/v3_server.go LeaseTimeToLive).
        remaining: Number(response.TTL),
        keys: response.keys.map(keyFrom),
      });
    },
    leaseLeases: async () => {
      const response = await client.leaseLeases();
      return replyOf(
        response,
        response.leases.map(({ ID }) => leaseId(ID)),
      );
    },
  };
}

async function renewOnce(client: Client, id: LeaseId): Promise<Reply<{ readonly ttl: number }>> {
  const stream = client.keepAlive();
  try {
    stream.renew(id);
    for await (const response of stream.replies()) {
      return replyOf(response, { ttl: Number(response.TTL) });
    }
    throw new CofferError("stopped");
  } finally {
    stream.close();
  }
}

type MemberCalls =
  | "status"
  | "clusterStatus"
  | "memberList"
  | "memberAdd"
  | "memberRemove"
  | "memberUpdate"
  | "memberPromote"
  | "moveLeader";

function memberCalls(client: Client): Pick<CofferClient, MemberCalls> {
  return {
    status: async () => {
      const response = await client.status();
      return replyOf(response, statusOf(response));
    },
    clusterStatus: async () => {
      const response = await client.clusterStatus();
      return replyOf(response, response.members.map(fleetMemberOf));
    },
    memberList: async () => {
      const response = await client.memberList({ linearizable: true });
      return replyOf(response, response.members.map(memberOf));
    },
    memberAdd: async (request) => {
      const { peerUrls, isLearner } = request;
      const response = await client.memberAdd({ peerURLs: [...peerUrls], isLearner });
      const members = response.members.map(memberOf);
      return replyOf(response, { member: memberOf(response.member), members });
    },
    memberRemove: async (id) => {
      const response = await client.memberRemove({ ID: id });
      return replyOf(response, response.members.map(memberOf));
    },
    memberUpdate: async ({ id, peerUrls }) => {
      const response = await client.memberUpdate({ ID: id, peerURLs: [...peerUrls] });
      return replyOf(response, response.members.map(memberOf));
    },
    memberPromote: async (id) => {
      const response = await client.memberPromote({ ID: id });
      return replyOf(response, response.members.map(memberOf));
    },
    moveLeader: async (target) => {
      await client.moveLeader({ targetID: target });
    },
  };
}
