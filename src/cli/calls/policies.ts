import type { Client, policyApi } from "../../client/mod.ts";
import type { PolicyPort, PolicyRow, PolicyTrial } from "../client-port.ts";
import { countOf, keyFrom, replyOf } from "../from-message.ts";
import { bytesOfKey } from "../keys.ts";

export function policyCalls(client: Client): PolicyPort {
  return {
    policyList: async () => {
      const response = await client.policyList();
      const rows = response.rows.map(({ fields }) => fields);
      return replyOf(response, { policyRevision: countOf(response.policyRevision), rows });
    },
    policyChange: async ({ add, remove }) => {
      const rows = { add: add.map(fieldsOf), remove: remove.map(fieldsOf) };
      const response = await client.policyChange(rows);
      return replyOf(response, { policyRevision: countOf(response.policyRevision) });
    },
    policyAsk: async ({ key, rangeEnd, groups, ...question }) => {
      const range = { key: bytesOfKey(key), rangeEnd: bytesOfKey(rangeEnd) };
      const response = await client.policyAsk({ ...question, groups: [...groups], ...range });
      return replyOf(response, { allowed: response.allowed, row: response.row?.fields });
    },
    policyWhoCan: async ({ key, rangeEnd, ...question }) => {
      const range = { key: bytesOfKey(key), rangeEnd: bytesOfKey(rangeEnd) };
      const response = await client.policyWhoCan({ ...question, ...range });
      const { more, next } = response;
      const holders = response.holders.map(({ subject, row }) => ({ subject, row: rowFrom(row) }));
      const policyRevision = countOf(response.policyRevision);
      return replyOf(response, { holders, more, next, policyRevision });
    },
    policyExplain: async ({ key, rangeEnd, groups, ...question }) => {
      const range = { key: bytesOfKey(key), rangeEnd: bytesOfKey(rangeEnd) };
      const response = await client.policyExplain({ ...question, groups: [...groups], ...range });
      const { subject, allowed, reason } = response;
      return replyOf(response, {
        subject,
        groups: response.groups,
        allowed,
        reason,
        grounds: response.grounds.map(({ row, via }) => ({ row: rowFrom(row), via })),
        missing: {
          key: keyFrom(response.missingKey),
          rangeEnd: keyFrom(response.missingRangeEnd),
        },
      });
    },
    policyTry: async ({ add, remove, last }) => {
      const rows = { add: add.map(fieldsOf), remove: remove.map(fieldsOf) };
      const response = await client.policyTry({ ...rows, last: BigInt(last) });
      return replyOf(response, trialOf(response));
    },
  };
}

function fieldsOf(row: PolicyRow): { fields: string[] } {
  return { fields: [...row] };
}

function rowFrom(row: policyApi.PolicyRow | undefined): PolicyRow {
  return row?.fields ?? [];
}

function trialOf(response: policyApi.PolicyTryResponse): PolicyTrial {
  const { problems, locksOut } = response;
  return {
    problems,
    locksOut,
    records: countOf(response.records),
    judged: countOf(response.judged),
    moved: countOf(response.moved),
    cut: countOf(response.cut),
    oldest: countOf(response.oldest),
    changesTotal: countOf(response.changesTotal),
    changes: response.changes.map(({ subject, groups, action, allowedNow, ...change }) => ({
      subject,
      groups,
      action,
      allowedNow,
      key: keyFrom(change.key),
      rangeEnd: keyFrom(change.rangeEnd),
      count: countOf(change.count),
      lastSeen: countOf(change.lastSeen),
    })),
  };
}
