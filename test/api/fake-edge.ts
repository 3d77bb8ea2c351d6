import { randomUUID } from "node:crypto";

import {
  type KeyValue,
  type LeaseId,
  type WatchCreateRequest,
  type WatchResponse,
  NO_COMPACTION,
  NO_LEASE,
  NO_LIMITS,
  NO_USAGE,
  clusterId,
  key,
  keyRange,
  leaseId,
  memberId,
  rangeHas,
  revision,
  tenantId,
} from "../../src/core/types/mod.ts";
import type {
  Caller,
  Edge,
  HealthResult,
  IssuerInfo,
  Reply,
  ReplyHeader,
  Revocation,
  RevocationTarget,
  WatchSession,
} from "../../src/edge/mod.ts";
import { CofferError } from "../../src/errors.ts";
import type { TenantSample } from "../../src/telemetry/mod.ts";

/** An edge of a few lines, for tests of what lies above it: keys in a map, no history, no identity. */
export class FakeEdge implements Edge {
  readonly store: Map<string, KeyValue> = new Map();
  readonly leases: Map<LeaseId, number> = new Map();
  readonly sessions: FakeWatchSession[] = [];
  /** The last caller, and all methods called. */
  caller: Caller | undefined;
  readonly calls: string[] = [];
  revision = 1;
  failure: string | undefined;
  /** Awaited by `put` and `leaseKeepAlive` before they answer. */
  hold: Promise<void> | undefined;
  /** Called as a put comes. */
  onPut: () => void = () => undefined;
  /** Called when a watch was created. */
  onWatch: () => void = () => undefined;
  /** Thrown by the next call. */
  nextError: unknown;

  header(): ReplyHeader {
    return {
      clusterId: clusterId(0xcdf818194e3a8c32n),
      memberId: memberId(0x8e9e05c52164694dn),
      revision: revision(this.revision),
      term: 2,
    };
  }

  #enter<T>(name: string, caller: Caller, body: () => T): Promise<Reply<T>> {
    this.calls.push(name);
    this.caller = caller;
    const error = this.nextError;
    this.nextError = undefined;
    if (error !== undefined) return Promise.reject(error as Error);
    try {
      const answer = body();
      return Promise.resolve({ header: this.header(), body: answer });
    } catch (thrown) {
      return Promise.reject(thrown as Error);
    }
  }

  range: Edge["range"] = (caller, request) =>
    this.#enter("range", caller, () => {
      if (request.key === "") throw new CofferError("key-empty");
      const range = keyRange(request.key, request.rangeEnd);
      const all = [...this.store.values()].filter((kv) => rangeHas(range, kv.key));
      all.sort((a, b) => (a.key < b.key ? -1 : 1));
      const kvs = request.limit > 0 ? all.slice(0, request.limit) : all;
      return {
        kvs: request.countOnly ? [] : kvs,
        more: kvs.length < all.length,
        count: all.length,
      };
    });

  put: Edge["put"] = async (caller, request) => {
    this.onPut();
    await this.hold;
    return this.#enter("put", caller, () => {
      if (request.key === "") throw new CofferError("key-empty");
      const old = this.store.get(request.key);
      const modRevision = revision(++this.revision);
      const kv = {
        key: request.key,
        createRevision: old?.createRevision ?? modRevision,
        modRevision,
        version: (old?.version ?? 0) + 1,
        lease: request.lease,
        value: Buffer.from(request.value),
      };
      this.store.set(request.key, kv);
      for (const session of this.sessions) session.feed(kv, old);
      return { prevKv: request.prevKv ? old : undefined };
    });
  };

  deleteRange: Edge["deleteRange"] = (caller, request) =>
    this.#enter("deleteRange", caller, () => {
      const range = keyRange(request.key, request.rangeEnd);
      const gone = [...this.store.values()].filter((kv) => rangeHas(range, kv.key));
      for (const kv of gone) this.store.delete(kv.key);
      if (gone.length > 0) this.revision++;
      return { deleted: gone.length, prevKvs: request.prevKv ? gone : [] };
    });

  txn: Edge["txn"] = (caller, request) =>
    this.#enter("txn", caller, () => ({
      succeeded: request.compare.length === 0,
      responses: request.success.map((op) => ({
        kind: "put" as const,
        revision: revision(op.kind === "put" ? ++this.revision : this.revision),
        response: { prevKv: undefined },
      })),
    }));

  compact: Edge["compact"] = (caller) => this.#enter("compact", caller, () => undefined);

  watch: Edge["watch"] = async (caller) => {
    await this.#enter("watch", caller, () => undefined);
    const session = new FakeWatchSession(this);
    this.sessions.push(session);
    return session;
  };

  leaseGrant: Edge["leaseGrant"] = (caller, { id, ttl }) =>
    this.#enter("leaseGrant", caller, () => {
      const drawn = id === NO_LEASE ? leaseId(0x694d_8e9e_05c5_0001n) : id;
      this.leases.set(drawn, ttl);
      return { id: drawn, ttl };
    });

  leaseRevoke: Edge["leaseRevoke"] = (caller, id) =>
    this.#enter("leaseRevoke", caller, () => {
      if (!this.leases.delete(id)) throw new CofferError("lease-not-found");
      return undefined;
    });

  leaseKeepAlive: Edge["leaseKeepAlive"] = async (caller, id) => {
    const reply = this.#enter("leaseKeepAlive", caller, () => ({ ttl: this.leases.get(id) ?? 0 }));
    await this.hold;
    return reply;
  };

  leaseTimeToLive: Edge["leaseTimeToLive"] = (caller, { id }) =>
    this.#enter("leaseTimeToLive", caller, () => {
      const ttl = this.leases.get(id);
      if (ttl === undefined) return { lease: undefined, remaining: -1 };
      const lease = { id, grantedTtl: ttl, deadline: 0, keys: [key("a"), key("b")] };
      return { lease, remaining: ttl - 0.5 };
    });

  leaseLeases: Edge["leaseLeases"] = (caller) =>
    this.#enter("leaseLeases", caller, () => [...this.leases.keys()]);

  status: Edge["status"] = (caller) =>
    this.#enter("status", caller, () => ({
      version: "3.6.14",
      cofferVersion: "0.1.0",
      storageVersion: "3.6.0",
      dbSize: 20480,
      dbSizeInUse: 16384,
      dbSizeQuota: 2 * 1024 ** 3,
      leader: this.header().memberId,
      raftIndex: 10,
      raftTerm: 2,
      raftAppliedIndex: 10,
      isLearner: false,
      errors: [],
    }));

  memberList: Edge["memberList"] = (caller) =>
    this.#enter("memberList", caller, () => [
      {
        id: this.header().memberId,
        name: "m1",
        peerUrls: ["nats://m1"],
        clientUrls: ["https://127.0.0.1:2379"],
        isLearner: false,
      },
    ]);

  readonly #member = {
    id: memberId(0xabcn),
    name: "",
    peerUrls: ["https://m2:2380"],
    clientUrls: [],
    isLearner: true,
  };

  clusterStatus: Edge["clusterStatus"] = (caller) =>
    this.#enter("clusterStatus", caller, () => {
      const { id, name, clientUrls, isLearner } = this.#member;
      const other = { id, name, clientUrls, isLearner };
      const report = {
        version: "0.1.0",
        leader: this.header().memberId,
        raftTerm: 2,
        raftIndex: 10,
        raftAppliedIndex: 9,
        dbSize: 20480,
        dbSizeInUse: 16384,
      };
      return [
        { ...other, report, roundTripMs: 0.4 },
        { ...other, report: undefined, roundTripMs: undefined },
      ];
    });
  memberAdd: Edge["memberAdd"] = (caller, { peerUrls, isLearner }) =>
    this.#enter("memberAdd", caller, () => {
      const member = { ...this.#member, peerUrls, isLearner };
      return { member, members: [member] };
    });
  memberRemove: Edge["memberRemove"] = (caller, id) =>
    this.#enter("memberRemove", caller, () => {
      if (id !== this.#member.id) throw new CofferError("member-not-found");
      return { members: [] };
    });
  memberUpdate: Edge["memberUpdate"] = (caller, { id, peerUrls }) =>
    this.#enter("memberUpdate", caller, () => ({ members: [{ ...this.#member, id, peerUrls }] }));
  memberPromote: Edge["memberPromote"] = (caller, id) =>
    this.#enter("memberPromote", caller, () => ({
      members: [{ ...this.#member, id, isLearner: false }],
    }));
  moveLeader: Edge["moveLeader"] = (caller, target) =>
    this.#enter("moveLeader", caller, () => {
      if (target !== this.#member.id) throw new CofferError("bad-leader-transferee");
      return undefined;
    });
  hashKv: Edge["hashKv"] = (caller, { revision: at }) =>
    this.#enter("hashKv", caller, () => ({
      hash: 0xfedcba98,
      compactRevision: -1,
      hashRevision: at === 0 ? this.revision : at,
    }));
  /** Ends, with `no-leader`, the streams that wait for it. */
  readonly losses: Set<(error: CofferError) => void> = new Set();
  whileLeader: Edge["whileLeader"] = (caller, lost) => {
    if (caller.requireLeader) this.losses.add(lost);
    return () => void this.losses.delete(lost);
  };

  alarms: Edge["alarms"] = (caller) => this.#enter("alarms", caller, () => []);

  health: Edge["health"] = (checks) =>
    Promise.resolve(checks.map((check): HealthResult => ({ check, failure: this.failure })));

  #tenant = {
    id: tenantId(randomUUID()),
    name: "default",
    created: 1_700_000_000_000,
    revision: revision(7),
    compactRevision: 3,
    policyRevision: 2,
    suspended: false,
    limits: NO_LIMITS,
    compaction: NO_COMPACTION,
    usage: NO_USAGE,
    watches: 0,
    requestsRefused: 0,
  };
  /** What operators may see of tenants in the metrics; undefined: the caller is none. */
  tenantSamples: readonly TenantSample[] | undefined;

  tenantCreate: Edge["tenantCreate"] = (caller, { name, limits, compaction }) =>
    this.#enter("tenantCreate", caller, () => ({ ...this.#tenant, name, limits, compaction }));
  tenantList: Edge["tenantList"] = (caller) =>
    this.#enter("tenantList", caller, () => ({ tenants: [this.#tenant], more: false }));
  tenantUpdate: Edge["tenantUpdate"] = (caller, request) => {
    const { newName, suspended = false, limits = {}, compaction = NO_COMPACTION } = request;
    const set = Object.entries(limits).filter(([, value]) => value !== undefined);
    const next = { suspended, limits: Object.fromEntries(set), compaction };
    const name = newName ?? request.name;
    return this.#enter("tenantUpdate", caller, () => ({ ...this.#tenant, ...next, name }));
  };
  tenantMetrics: Edge["tenantMetrics"] = (caller) =>
    this.#enter("tenantMetrics", caller, () => this.tenantSamples);
  tenantShow: Edge["tenantShow"] = (caller, name) =>
    this.#enter("tenantShow", caller, () => {
      if (name !== "default") throw new CofferError("not-found", `tenant "${name}"`);
      return this.#tenant;
    });
  tenantDelete: Edge["tenantDelete"] = (caller) =>
    this.#enter("tenantDelete", caller, () => undefined);

  policyList: Edge["policyList"] = (caller) =>
    this.#enter("policyList", caller, () => ({
      policyRevision: 2,
      rows: [["p", "user:alice", "/*", "read", "allow"]],
    }));
  policyChange: Edge["policyChange"] = (caller, { add }) =>
    this.#enter("policyChange", caller, () => ({ policyRevision: 2 + add.length }));
  policyAsk: Edge["policyAsk"] = (caller, { action }) =>
    this.#enter("policyAsk", caller, () => ({
      allowed: action === "read",
      row: action === "read" ? ["p", "user:alice", "/*", "read", "allow"] : undefined,
    }));
  policyWhoCan: Edge["policyWhoCan"] = (caller, { after }) =>
    this.#enter("policyWhoCan", caller, () => ({
      holders: [{ subject: "user:alice", row: ["p", "user:alice", "/*", "read", "allow"] }],
      more: after === "",
      next: "user:alice",
      policyRevision: 2,
    }));
  policyExplain: Edge["policyExplain"] = (caller, { subject, groups, key: of, rangeEnd }) =>
    this.#enter("policyExplain", caller, () => ({
      subject,
      groups,
      allowed: false,
      reason: "no-row-allows",
      grounds: [{ row: ["p", "role:r", "/a", "read", "allow"], via: [subject, "role:r"] }],
      missing: keyRange(of, rangeEnd),
    }));
  policyTry: Edge["policyTry"] = (caller, { add, remove, last }) =>
    this.#enter("policyTry", caller, () => ({
      problems: add.map((row) => row.join()),
      records: last,
      judged: remove.length,
      moved: 1,
      cut: 2,
      oldest: 3,
      changes: [
        {
          subject: "user:alice",
          groups: ["dev"],
          action: "put",
          key: "/a\xff",
          rangeEnd: "/b",
          allowedNow: true,
          count: 4,
          lastSeen: 5,
        },
      ],
      changesTotal: 6,
      locksOut: true,
    }));

  tokenIssue: Edge["tokenIssue"] = (caller, { ttlSeconds }) =>
    this.#enter("tokenIssue", caller, () => {
      return { token: "t.t.t", tokenId: "jti-1", expires: ttlSeconds * 1000 };
    });
  tokenRotateKey: Edge["tokenRotateKey"] = (caller, { dropFormer }) =>
    this.#enter("tokenRotateKey", caller, () => ({ keyId: dropFormer ? "only" : "next" }));
  tokenRevoke: Edge["tokenRevoke"] = (caller, { target, certificateEnds }) =>
    this.#enter("tokenRevoke", caller, () => {
      if (target === undefined) throw new CofferError("invalid-argument");
      return { tenant: "", revocation: revocationOf(target, certificateEnds) };
    });
  tokenRevocations: Edge["tokenRevocations"] = (caller, { after }) =>
    this.#enter("tokenRevocations", caller, () => {
      const target = { kind: "certificate", thumbprint: `after ${after}` } as const;
      return { tenant: "blue", revocations: [revocationOf(target, 0)], next: after ? "" : "id" };
    });
  tokenUnrevoke: Edge["tokenUnrevoke"] = (caller, id) =>
    this.#enter("tokenUnrevoke", caller, () => {
      const target = { kind: "token", issuer: "coffer", tokenId: id } as const;
      return { tenant: "blue", revocation: revocationOf(target, 0) };
    });

  certificateRuleAdd: Edge["certificateRuleAdd"] = (caller, { record, authority, replace }) =>
    this.#enter("certificateRuleAdd", caller, () => {
      const asked = { name: Buffer.from(record).toString(), authority, replace };
      return { name: asked.name, record: JSON.stringify(asked) };
    });
  certificateRuleList: Edge["certificateRuleList"] = (caller) =>
    this.#enter("certificateRuleList", caller, () => [{ name: "a", record: "{}" }]);
  certificateRuleRemove: Edge["certificateRuleRemove"] = (caller) =>
    this.#enter("certificateRuleRemove", caller, () => undefined);
  certificateTest: Edge["certificateTest"] = (caller, certificate) =>
    this.#enter("certificateTest", caller, () => {
      const subject = `cert:${Buffer.from(certificate).toString()}`;
      const verdict = { rule: "a", refusal: "", subject, distrust: "far" };
      return { ...verdict, groups: ["g"], tenants: "*" as const };
    });
  issuerAdd: Edge["issuerAdd"] = (caller, { record, replace }) =>
    this.#enter("issuerAdd", caller, () => issuerOf(Buffer.from(record).toString(), replace));
  issuerList: Edge["issuerList"] = (caller) =>
    this.#enter("issuerList", caller, () => [issuerOf("{}", false)]);
  issuerShow: Edge["issuerShow"] = (caller, issuer) =>
    this.#enter("issuerShow", caller, () => issuerOf(JSON.stringify({ issuer }), false));
  issuerRemove: Edge["issuerRemove"] = (caller) =>
    this.#enter("issuerRemove", caller, () => undefined);

  whoAmI: Edge["whoAmI"] = (caller) =>
    this.#enter("whoAmI", caller, () => ({
      actor: { issuer: "test", subject: "user:alice", requestId: caller.requestId },
      tenant: caller.tenantName ?? "default",
      groups: ["dev"],
    }));

  history: Edge["history"] = (caller, { key: of, values }) =>
    this.#enter("history", caller, () => {
      const kv = this.store.get(of);
      if (kv === undefined) return { items: [], more: false, valuesWithheld: false };
      const actor = { issuer: "test", subject: "user:alice", requestId: "r" };
      const value = values ? kv.value : new Uint8Array(0);
      const item = { type: "put" as const, kv: { ...kv, value }, actor, time: 1_700_000_000_123 };
      const items = [{ ...item, valueBytes: kv.value.length }];
      return { items, more: true, valuesWithheld: !values };
    });
  auditSearch: Edge["auditSearch"] = (caller) =>
    this.#enter("auditSearch", caller, () => ({
      lines: ['{"seq":1}', '{"seq":2}'],
      next: "n",
      done: true,
      end: "e",
    }));
  auditCheckpoints: Edge["auditCheckpoints"] = (caller) =>
    this.#enter("auditCheckpoints", caller, () => ["{}"]);
}

function revocationOf(target: RevocationTarget, certificateEnds: number): Revocation {
  return { id: "id", target, by: "user:alice", created: 1000, expires: 2000 + certificateEnds };
}

function issuerOf(record: string, isBuiltin: boolean): IssuerInfo {
  return { issuer: "https://id.example", record, isBuiltin, keys: 2, failure: "down" };
}

/** Watches of one stream, with everything queued until it is pulled. */
export class FakeWatchSession implements WatchSession {
  readonly queue: WatchResponse[] = [];
  readonly #watches: Map<number, WatchCreateRequest> = new Map();
  readonly #edge: FakeEdge;
  onReadable: () => void = () => undefined;
  ended: CofferError | undefined;
  closed = false;
  pulled = 0;

  constructor(edge: FakeEdge) {
    this.#edge = edge;
  }

  create(request: WatchCreateRequest): void {
    const watchId = request.watchId === 0 ? this.#watches.size : request.watchId;
    this.#watches.set(watchId, request);
    this.push({ watchId, created: true });
    this.#edge.onWatch();
  }

  cancel(watchId: number): void {
    if (this.#watches.delete(watchId)) this.push({ watchId, canceled: true });
  }

  progress(): void {
    this.push({ watchId: -1 });
  }

  push(response: Partial<WatchResponse>): void {
    this.queue.push({
      watchId: 0,
      revision: revision(this.#edge.revision),
      created: false,
      canceled: false,
      compactRevision: 0,
      cancelReason: "",
      fragment: false,
      events: [],
      ...response,
    });
    this.onReadable();
  }

  feed(kv: KeyValue, prevKv: KeyValue | undefined): void {
    for (const [watchId, request] of this.#watches) {
      if (!rangeHas(keyRange(request.key, request.rangeEnd), kv.key)) continue;
      this.push({ watchId, events: [{ type: "put", kv, sub: 0, prevKv }] });
    }
  }

  next(): Reply<WatchResponse> | undefined {
    const body = this.queue.shift();
    if (body === undefined) return undefined;
    this.pulled++;
    return { header: this.#edge.header(), body };
  }

  end(error: CofferError): void {
    this.ended = error;
    this.onReadable();
  }

  close(): void {
    this.closed = true;
  }
}
