import {
  CLUSTER_SCOPE,
  NO_LEASE,
  key,
  leaseId,
  memberId,
  revision,
  tenantId,
  type Command,
  type LimitChanges,
  type Proposal,
} from "../../src/core/types/mod.ts";
import type { BatchHeader } from "../../src/wire/mod.ts";

/** One proposal of each kind, for the golden of the format. */

const tenant = tenantId("00112233-4455-6677-8899-aabbccddeeff");

const commands: readonly Command[] = [
  {
    kind: "put",
    request: {
      key: key("/db/url"),
      value: Buffer.from("sealed record"),
      lease: leaseId(-2n),
      prevKv: true,
      ignoreValue: false,
      ignoreLease: false,
    },
  },
  {
    kind: "delete-range",
    request: { key: key("/a/"), rangeEnd: key("/a0"), prevKv: true },
  },
  {
    kind: "txn",
    request: {
      compare: [
        { target: "mod", operand: 300, key: key("k"), rangeEnd: key(""), result: "equal" },
        { target: "version", operand: -1, key: key("k"), rangeEnd: key("l"), result: "less" },
        {
          target: "create",
          operand: Number.MAX_SAFE_INTEGER,
          key: key("k"),
          rangeEnd: key("\0"),
          result: "greater",
        },
        {
          target: "lease",
          operand: leaseId(7n),
          key: key("k"),
          rangeEnd: key(""),
          result: "not-equal",
        },
        { target: "decided", holds: true },
      ],
      success: [
        {
          kind: "put",
          request: {
            key: key("\xff"),
            value: Buffer.alloc(0),
            lease: NO_LEASE,
            prevKv: false,
            ignoreValue: true,
            ignoreLease: true,
          },
        },
        {
          kind: "range",
          request: {
            key: key("a"),
            rangeEnd: key("b"),
            limit: 10,
            revision: -1,
            sortOrder: "descend",
            sortTarget: "mod",
            serializable: true,
            keysOnly: true,
            countOnly: false,
            minModRevision: 1,
            maxModRevision: 2,
            minCreateRevision: 3,
            maxCreateRevision: 4,
          },
        },
        { kind: "empty" },
      ],
      failure: [
        {
          kind: "txn",
          request: {
            compare: [],
            success: [
              {
                kind: "delete-range",
                request: { key: key("x"), rangeEnd: key(""), prevKv: false },
              },
            ],
            failure: [],
          },
        },
      ],
    },
    guards: [
      { range: { lo: key("a"), hi: key("b") }, revision: revision(5) },
      { range: { lo: key("c"), hi: undefined }, revision: revision(0) },
    ],
  },
  { kind: "compact", revision: 1234567 },
  { kind: "lease-grant", id: leaseId(2n ** 62n), ttl: 60 },
  { kind: "lease-revoke", id: leaseId(1n), cause: "expired" },
  { kind: "lease-renew", id: leaseId(1n) },
  {
    kind: "tenant-create",
    id: tenant,
    name: "team-ä",
    records: [{ table: "wrapped-key", id: "1", data: Buffer.of(1, 2, 3), expect: "absent" }],
  },
  { kind: "tenant-delete", id: tenant },
  {
    kind: "records",
    changes: [
      { table: "policy", id: "p, role:reader, /a, read, allow", data: undefined, expect: "any" },
      { table: "setting", id: "quota", data: Buffer.alloc(0), expect: "present" },
    ],
  },
  {
    kind: "member",
    member: {
      id: memberId(2n ** 64n - 1n),
      name: "m1",
      peerUrls: ["nats://127.0.0.1:4222"],
      clientUrls: ["https://127.0.0.1:2379", "https://[::1]:2379"],
      isLearner: true,
    },
  },
  {
    kind: "member-add",
    member: {
      id: memberId(2n ** 63n),
      name: "m4",
      peerUrls: ["https://m4:2380"],
      clientUrls: [],
      isLearner: true,
    },
  },
  { kind: "member-remove", id: memberId(2n ** 64n - 2n) },
  { kind: "member-promote", id: memberId(2n ** 63n) },
  { kind: "member-update", id: memberId(1n), peerUrls: ["https://a:2380", "https://b:2380"] },
  {
    kind: "tenant-create",
    id: tenant,
    name: "limited",
    records: [],
    limits: {
      bytesMax: 2 ** 40,
      keysMax: 1000,
      leasesMax: 0,
      keyBytesMax: 256,
      valueBytesMax: 65_536,
      requestsPerSecond: 100,
      requestBurst: 200,
      watchesMax: 10,
    },
    compaction: { kind: "age", seconds: 3600 },
  },
  { kind: "tenant-update", id: tenant, name: "team-b", suspended: true },
  {
    kind: "tenant-update",
    id: tenant,
    suspended: false,
    limits: { keysMax: 5, watchesMax: 1 },
    compaction: { kind: "count", revisions: 10_000 },
  },
  {
    kind: "records",
    changes: [
      { table: "former-tenant", id: "team-ä", data: Buffer.from("1763000000000"), expect: "any" },
      { table: "certificate-rule", id: "1", data: undefined, expect: "present" },
    ],
  },
  // What follows is not in the golden of version 2.
  { kind: "tenant-update", id: tenant, limits: { keysMax: undefined, bytesMax: 7 } },
];
const COMMANDS_OF_VERSION_2 = commands.length - 1;

const NOT_LIMITED: LimitChanges = {
  bytesMax: undefined,
  keysMax: undefined,
  leasesMax: undefined,
  keyBytesMax: undefined,
  valueBytesMax: undefined,
  requestsPerSecond: undefined,
  requestBurst: undefined,
  watchesMax: undefined,
};

export const goldenHeader: BatchHeader = {
  time: 1_763_000_000_000,
  leaseTime: 86_400_123,
  origin: memberId(2n ** 64n - 3n),
  life: 0xfffffffe,
  seq: 258,
};

function proposalOf(command: Command): Proposal {
  const ofTenant = !command.kind.startsWith("member") && !command.kind.startsWith("tenant");
  return {
    tenant: ofTenant ? tenant : CLUSTER_SCOPE,
    policyRevision: command.kind === "lease-revoke" ? undefined : 9,
    credentialRevision: command.kind === "lease-revoke" ? undefined : 300,
    actor: { issuer: "https://issuer.test", subject: "user:alice", requestId: "r-1" },
    command,
  };
}

/** By kind; the second and later ones of a kind have a number behind it. */
export const goldenProposals: ReadonlyMap<string, Proposal> = new Map(
  commands.map((command, at) => {
    const earlier = commands.slice(0, at).filter(({ kind }) => kind === command.kind).length;
    const label = earlier === 0 ? command.kind : `${command.kind} ${earlier + 1}`;
    return [label, proposalOf(plain(command))];
  }),
);

/** What version 2 wrote of them: no credential revision, and of a tenant's limits all or none. */
export const goldenProposals2: readonly Proposal[] = [...goldenProposals.values()]
  .slice(0, COMMANDS_OF_VERSION_2)
  .map((now) => {
    const former = { ...now, credentialRevision: undefined };
    if (now.command.kind !== "tenant-update" || now.command.limits === undefined) return former;
    const limits = { ...NOT_LIMITED, ...now.command.limits };
    return { ...former, command: { ...now.command, limits } };
  });

/** Buffers become plain arrays, as the decoder gives them. */
function plain<T>(value: T): T {
  if (value instanceof Uint8Array) return Uint8Array.from(value) as T;
  if (Array.isArray(value)) return value.map(plain) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)])) as T;
}
