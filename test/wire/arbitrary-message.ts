import fc from "fast-check";
import type { ConfState, Entry, Message, SnapshotMeta } from "../../src/core/raft/mod.ts";
import {
  type Actor,
  type MemberChange,
  type MemberInfo,
  type MemberReport,
  clusterId,
  memberId,
} from "../../src/core/types/mod.ts";
import type { ErrorCode } from "../../src/errors.ts";
import type {
  ForwardMessage,
  ForwardReply,
  ForwardRequest,
  SnapshotStreamMessage,
} from "../../src/wire/mod.ts";
import { memberIds, members, natural, record, texts } from "./arbitrary-proposal.ts";

/** Messages of every kind, as fast-check draws them. A kind that is missing does not compile. */
type ByKind<T extends { readonly kind: string }> = {
  readonly [K in T["kind"]]: fc.Arbitrary<T & { readonly kind: K }>;
};

const is = <K extends string>(name: K): fc.Arbitrary<K> => fc.constant(name);
const bytes = fc.uint8Array({ maxLength: 200 });
const flag = fc.boolean();
const ids = fc.array(memberIds, { maxLength: 4 });

export const confStates: fc.Arbitrary<ConfState> = record({
  voters: ids,
  learners: ids,
  votersOutgoing: ids,
  learnersNext: ids,
  autoLeave: flag,
});

const metas: fc.Arbitrary<SnapshotMeta> = record({
  index: natural,
  term: natural,
  confState: confStates,
});

const entryKind = fc.constantFrom("normal" as const, "conf-change" as const);
const bareEntries = fc.array(record({ term: natural, kind: entryKind, data: bytes }), {
  maxLength: 5,
});

/** A few ends, so that neighbours often share theirs. */
const end = fc.oneof(memberIds, fc.constantFrom(memberId(1n), memberId(2n)));
const envelope = { from: end, to: end, term: natural };
const knowledge = { commit: natural, commitTerm: natural };
const vote = { ...envelope, ...knowledge, lastIndex: natural, lastTerm: natural, transfer: flag };
const voteResp = { ...envelope, ...knowledge, rejected: flag };

const appends = fc
  .tuple(
    record({
      ...envelope,
      kind: is("append"),
      prevIndex: fc.maxSafeNat().map((index) => Math.max(0, index - 5)),
      prevTerm: natural,
      commit: natural,
    }),
    bareEntries,
  )
  .map(([message, bare]) => {
    const entries = bare.map((one, i): Entry => ({ index: message.prevIndex + 1 + i, ...one }));
    return { ...message, entries };
  });

export const messagesByKind: ByKind<Message> = {
  append: appends,
  "append-resp": record({
    ...envelope,
    kind: is("append-resp"),
    index: natural,
    rejected: flag,
    hintIndex: natural,
    hintTerm: natural,
    needsSnapshot: flag,
  }),
  heartbeat: record({ ...envelope, kind: is("heartbeat"), commit: natural, round: natural }),
  "heartbeat-resp": record({ ...envelope, kind: is("heartbeat-resp"), round: natural }),
  vote: record({ ...vote, kind: is("vote") }),
  "pre-vote": record({ ...vote, kind: is("pre-vote") }),
  "vote-resp": record({ ...voteResp, kind: is("vote-resp") }),
  "pre-vote-resp": record({ ...voteResp, kind: is("pre-vote-resp") }),
  snapshot: record({ ...envelope, kind: is("snapshot"), snapshot: metas }),
  "timeout-now": record({ ...envelope, kind: is("timeout-now") }),
  propose: record({ ...envelope, kind: is("propose"), entryKind, data: bytes }),
  "read-index": record({ ...envelope, kind: is("read-index"), ctx: natural }),
  "read-index-resp": record({
    ...envelope,
    kind: is("read-index-resp"),
    ctx: natural,
    index: natural,
  }),
  "read-index-refused": record({ ...envelope, kind: is("read-index-refused"), ctx: natural }),
  "transfer-leader": record({ ...envelope, kind: is("transfer-leader"), transferee: memberIds }),
};

export const messageLists: fc.Arbitrary<Message[]> = fc.array(
  fc.oneof(...Object.values(messagesByKind)),
  { maxLength: 8 },
);

const urls = fc.array(texts, { maxLength: 3 });
const actors: fc.Arbitrary<Actor> = record({ issuer: texts, subject: texts, requestId: texts });
const codes = fc.constantFrom<ErrorCode>("not-leader", "no-space", "stopped", "internal");

const changesByKind: ByKind<MemberChange> = {
  add: record({ kind: is("add"), id: memberIds, peerUrls: urls, isLearner: flag }),
  remove: record({ kind: is("remove"), id: memberIds }),
  promote: record({ kind: is("promote"), id: memberIds }),
  update: record({ kind: is("update"), id: memberIds, peerUrls: urls }),
};

const requestsByKind: ByKind<ForwardRequest> = {
  "change-members": record({
    kind: is("change-members"),
    change: fc.oneof(...Object.values(changesByKind)) as fc.Arbitrary<MemberChange>,
    actor: actors,
  }),
  "who-am-i": record({ kind: is("who-am-i"), name: texts }),
  join: record({ kind: is("join"), name: texts }),
  status: record({ kind: is("status") }),
};

const reports: fc.Arbitrary<MemberReport> = record({
  member: memberIds,
  name: texts,
  role: fc.constantFrom("follower", "pre-candidate", "candidate", "leader" as const),
  term: natural,
  leader: memberIds,
  raftIndex: natural,
  commitIndex: natural,
  appliedIndex: natural,
  isLearner: flag,
  version: texts,
  dbBytes: natural,
  dbBytesInUse: natural,
});

const repliesByKind: ByKind<ForwardReply> = {
  done: record({ kind: is("done") }),
  error: record({ kind: is("error"), code: codes, detail: texts }),
  member: record({
    kind: is("member"),
    member: fc.option(members, { nil: undefined }),
    clusterId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(clusterId),
    started: flag,
    members: fc.array<MemberInfo>(members, { maxLength: 4 }),
  }),
  status: record({ kind: is("status"), report: reports }),
};

export const forwardsByKind: ByKind<ForwardMessage> = {
  propose: record({ kind: is("propose"), term: natural, data: bytes }),
  "propose-refused": record({
    kind: is("propose-refused"),
    term: natural,
    life: natural,
    seq: natural,
    code: codes,
  }),
  request: record({
    kind: is("request"),
    id: natural,
    body: fc.oneof(...Object.values(requestsByKind)) as fc.Arbitrary<ForwardRequest>,
  }),
  reply: record({
    kind: is("reply"),
    id: natural,
    body: fc.oneof(...Object.values(repliesByKind)) as fc.Arbitrary<ForwardReply>,
  }),
  removed: record({ kind: is("removed"), member: memberIds }),
};

export const snapshotsByKind: ByKind<SnapshotStreamMessage> = {
  offer: record({
    kind: is("offer"),
    stream: natural,
    term: natural,
    meta: metas,
    bytes: natural,
    sha256: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  }),
  want: record({ kind: is("want"), stream: natural, offset: natural }),
  chunk: record({ kind: is("chunk"), stream: natural, offset: natural, data: bytes }),
  end: record({ kind: is("end"), stream: natural, delivered: flag, reason: texts }),
};
