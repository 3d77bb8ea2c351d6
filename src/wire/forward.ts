import {
  type Actor,
  type ClusterId,
  type MemberChange,
  type MemberId,
  type MemberInfo,
  type MemberReport,
  clusterId,
  memberId,
} from "../core/types/mod.ts";
import { assertNever } from "../stdx/mod.ts";
import { type ErrorCode, isErrorCode } from "../errors.ts";
import type { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { type FrameFormat, decodeFrame } from "./frame.ts";
import { FORWARD_BYTES_MAX, FORWARD_VERSION, LIST_MAX } from "./limits.ts";
import { readMember, readTexts, writeMember, writeTexts } from "./member.ts";
import { forwardKinds, memberChanges, reportRoles, replyKinds, requestKinds } from "./tags.ts";

/** What one member's node asks of another's, beside raft's own messages. */
export type ForwardMessage =
  /** A batch for the leader of `term`, which drops it when it leads in another. */
  | { readonly kind: "propose"; readonly term: number; readonly data: Uint8Array }
  /** The batch of that name was not appended, and will not be. */
  | {
      readonly kind: "propose-refused";
      readonly term: number;
      readonly life: number;
      readonly seq: number;
      readonly code: ErrorCode;
    }
  /** `id` is the asker's, and comes back with the reply. */
  | { readonly kind: "request"; readonly id: number; readonly body: ForwardRequest }
  | { readonly kind: "reply"; readonly id: number; readonly body: ForwardReply }
  /** Told to a member that was removed and still talks. */
  | { readonly kind: "removed"; readonly member: MemberId };

export type ForwardRequest =
  | { readonly kind: "change-members"; readonly change: MemberChange; readonly actor: Actor }
  /** Who has a name, and who else there is, as far as the one that is asked has applied. */
  | { readonly kind: "who-am-i"; readonly name: string }
  | { readonly kind: "status" }
  /** The same, but as of now, for a member without data that takes the id it is told. */
  | { readonly kind: "join"; readonly name: string };

export type ForwardReply =
  | { readonly kind: "done" }
  | { readonly kind: "error"; readonly code: ErrorCode; readonly detail: string }
  | {
      readonly kind: "member";
      /** `undefined`: none has that name. */
      readonly member: MemberInfo | undefined;
      readonly clusterId: ClusterId;
      /** Whether that member has been heard of before, so that it should have data. */
      readonly started: boolean;
      readonly members: readonly MemberInfo[];
    }
  | { readonly kind: "status"; readonly report: MemberReport };

const FORWARD: FrameFormat = {
  what: "a request of another member",
  bytesMax: FORWARD_BYTES_MAX,
  version: FORWARD_VERSION,
};

/** Errors: `invalid-argument` for what has no encoding. */
export function encodeForward(message: ForwardMessage): Uint8Array {
  const to = new ByteWriter(message.kind === "propose" ? 32 + message.data.length : 256);
  to.byte(FORWARD_VERSION);
  to.byte(forwardKinds.indexOf(message.kind));
  switch (message.kind) {
    case "propose":
      to.uint(message.term);
      to.blob(message.data);
      break;
    case "propose-refused":
      to.uint(message.term);
      to.uint(message.life);
      to.uint(message.seq);
      to.text(message.code);
      break;
    case "request":
      to.uint(message.id);
      writeRequest(to, message.body);
      break;
    case "reply":
      to.uint(message.id);
      writeReply(to, message.body);
      break;
    case "removed":
      to.uint64(message.member);
      break;
    default:
      return assertNever(message);
  }
  return to.finish();
}

/**
 * The data of a batch is a view of `bytes`. Errors: `corrupt` for anything malformed, `unimplemented`
 * for a newer version.
 */
export function decodeForward(bytes: Uint8Array): ForwardMessage {
  return decodeFrame(bytes, FORWARD, readForward);
}

function readForward(from: ByteReader): ForwardMessage {
  const kind = from.word(forwardKinds);
  switch (kind) {
    case "propose":
      return { kind, term: from.uint(), data: from.blob() };
    case "propose-refused": {
      const name = { term: from.uint(), life: from.uint(), seq: from.uint() };
      return { kind, ...name, code: readCode(from) };
    }
    case "request":
      return { kind, id: from.uint(), body: readRequest(from) };
    case "reply":
      return { kind, id: from.uint(), body: readReply(from) };
    case "removed":
      return { kind, member: memberId(from.uint64()) };
    default:
      return assertNever(kind);
  }
}

function writeRequest(to: ByteWriter, request: ForwardRequest): void {
  to.byte(requestKinds.indexOf(request.kind));
  switch (request.kind) {
    case "change-members":
      writeChange(to, request.change);
      to.text(request.actor.issuer);
      to.text(request.actor.subject);
      return to.text(request.actor.requestId);
    case "who-am-i":
    case "join":
      return to.text(request.name);
    case "status":
      return;
    default:
      return assertNever(request);
  }
}

function readRequest(from: ByteReader): ForwardRequest {
  const kind = from.word(requestKinds);
  switch (kind) {
    case "change-members": {
      const change = readChange(from);
      const actor = { issuer: from.text(), subject: from.text(), requestId: from.text() };
      return { kind, change, actor };
    }
    case "who-am-i":
    case "join":
      return { kind, name: from.text() };
    case "status":
      return { kind };
    default:
      return assertNever(kind);
  }
}

function writeChange(to: ByteWriter, change: MemberChange): void {
  to.byte(memberChanges.indexOf(change.kind));
  to.uint64(change.id);
  if (change.kind === "add" || change.kind === "update") writeTexts(to, change.peerUrls);
  if (change.kind === "add") to.bool(change.isLearner);
}

function readChange(from: ByteReader): MemberChange {
  const kind = from.word(memberChanges);
  const id = memberId(from.uint64());
  switch (kind) {
    case "add":
      return { kind, id, peerUrls: readTexts(from), isLearner: from.bool() };
    case "update":
      return { kind, id, peerUrls: readTexts(from) };
    case "remove":
    case "promote":
      return { kind, id };
    default:
      return assertNever(kind);
  }
}

function writeReply(to: ByteWriter, reply: ForwardReply): void {
  to.byte(replyKinds.indexOf(reply.kind));
  switch (reply.kind) {
    case "done":
      return;
    case "error":
      to.text(reply.code);
      return to.text(reply.detail);
    case "member":
      to.bool(reply.member !== undefined);
      if (reply.member !== undefined) writeMember(to, reply.member);
      to.uint64(reply.clusterId);
      to.bool(reply.started);
      to.listLength(reply.members.length, LIST_MAX);
      for (const member of reply.members) writeMember(to, member);
      return;
    case "status":
      return writeReport(to, reply.report);
    default:
      return assertNever(reply);
  }
}

function readReply(from: ByteReader): ForwardReply {
  const kind = from.word(replyKinds);
  switch (kind) {
    case "done":
      return { kind };
    case "error":
      return { kind, code: readCode(from), detail: from.text() };
    case "member": {
      const member = from.bool() ? readMember(from) : undefined;
      const cluster = clusterId(from.uint64());
      const started = from.bool();
      const members: MemberInfo[] = [];
      for (let left = from.listLength(LIST_MAX); left > 0; left--) members.push(readMember(from));
      return { kind, member, clusterId: cluster, started, members };
    }
    case "status":
      return { kind, report: readReport(from) };
    default:
      return assertNever(kind);
  }
}

function writeReport(to: ByteWriter, report: MemberReport): void {
  to.uint64(report.member);
  to.text(report.name);
  to.byte(reportRoles.indexOf(report.role));
  to.uint(report.term);
  to.uint64(report.leader);
  to.uint(report.raftIndex);
  to.uint(report.commitIndex);
  to.uint(report.appliedIndex);
  to.bool(report.isLearner);
  to.text(report.version);
  to.uint(report.dbBytes);
  to.uint(report.dbBytesInUse);
}

function readReport(from: ByteReader): MemberReport {
  return {
    member: memberId(from.uint64()),
    name: from.text(),
    role: from.word(reportRoles),
    term: from.uint(),
    leader: memberId(from.uint64()),
    raftIndex: from.uint(),
    commitIndex: from.uint(),
    appliedIndex: from.uint(),
    isLearner: from.bool(),
    version: from.text(),
    dbBytes: from.uint(),
    dbBytesInUse: from.uint(),
  };
}

/** A newer build may know codes that this one does not: the refusal still is one. */
function readCode(from: ByteReader): ErrorCode {
  const text = from.text();
  return isErrorCode(text) ? text : "internal";
}
