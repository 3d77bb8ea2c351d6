import {
  CLUSTER_SCOPE,
  NO_LEASE,
  type Command,
  type Compare,
  type DeleteRangeRequest,
  type Guard,
  type LimitChanges,
  type PutRequest,
  type Proposal,
  type RangeRequest,
  type RecordChange,
  type RequestOp,
  type TenantCompaction,
  type TxnRequest,
} from "../core/types/mod.ts";
import { assert, assertNever } from "../stdx/mod.ts";
import { CofferError } from "../errors.ts";
import { ByteWriter } from "./byte-writer.ts";
import { BATCH_HEADER_BYTES, type BatchHeader, writeHeader } from "./batch-header.ts";
import { BATCH_BYTES_MAX, TXN_DEPTH_MAX } from "./limits.ts";
import { writeMember, writeTexts } from "./member.ts";
import {
  commandKinds,
  compactionKinds,
  compareResults,
  compareTargets,
  expectations,
  opKinds,
  proposalFlag,
  putFlag,
  rangeFlag,
  recordTables,
  revokeCauses,
  sortOrders,
  sortTargets,
  tenantFlag,
  tenantLimits,
} from "./tags.ts";

/**
 * One batch as the data of one log entry. Errors: `invalid-argument` for a number that is no safe
 * integer, a text without UTF-8 or transactions nested deeper than TXN_DEPTH_MAX;
 * `request-too-large` past BATCH_BYTES_MAX.
 */
export function encodeProposals(header: BatchHeader, proposals: readonly Proposal[]): Uint8Array {
  let size = BATCH_HEADER_BYTES + 8;
  for (const proposal of proposals) size += proposalBytes(proposal);
  const to = new ByteWriter(size);
  writeHeader(to, header);
  to.uint(proposals.length);
  let before: Proposal | undefined;
  for (const proposal of proposals) {
    writeProposal(to, proposal, before);
    before = proposal;
  }
  if (to.length > BATCH_BYTES_MAX) throw new CofferError("request-too-large");
  return to.finish();
}

/**
 * About how many bytes `proposal` takes in a batch: never less, unless its texts are not ASCII. For
 * bounding a batch before it is encoded.
 */
export function proposalBytes(proposal: Proposal): number {
  const { issuer, subject, requestId } = proposal.actor;
  return 56 + issuer.length + subject.length + requestId.length + commandBytes(proposal.command);
}

type CommandOf<Kind extends Command["kind"]> = Extract<Command, { readonly kind: Kind }>;

function commandBytes(command: Command): number {
  switch (command.kind) {
    case "put":
      return putBytes(command.request);
    case "delete-range":
      return 16 + command.request.key.length + command.request.rangeEnd.length;
    case "txn": {
      let size = txnBytes(command.request, 0);
      for (const { range } of command.guards) {
        size += 20 + range.lo.length + (range.hi?.length ?? 0);
      }
      return size;
    }
    case "tenant-create":
      return TENANT_BYTES + command.name.length + recordsBytes(command.records);
    case "tenant-update":
      return TENANT_BYTES + (command.name?.length ?? 0);
    case "records":
      return recordsBytes(command.changes);
    case "member":
    case "member-add": {
      const { name, peerUrls, clientUrls } = command.member;
      return 24 + name.length + textsBytes(peerUrls) + textsBytes(clientUrls);
    }
    case "member-update":
      return 24 + textsBytes(command.peerUrls);
    default:
      return 24;
  }
}

/** Of a tenant's id, lengths, limits (nine bytes each at most) and compaction. */
const TENANT_BYTES = 26 + 9 * 9 + 10;

function putBytes(request: PutRequest): number {
  return 24 + request.key.length + request.value.length;
}

function recordsBytes(changes: readonly RecordChange[]): number {
  let size = 8;
  for (const { id, data } of changes) size += 24 + id.length + (data?.length ?? 0);
  return size;
}

function textsBytes(texts: readonly string[]): number {
  let size = 8;
  for (const text of texts) size += 8 + text.length;
  return size;
}

/** Past the depth limit the answer does not matter: writing will refuse the transaction. */
function txnBytes(txn: TxnRequest, depth: number): number {
  if (depth > TXN_DEPTH_MAX) return 0;
  let size = 24;
  for (const compare of txn.compare) {
    size += compare.target === "decided" ? 2 : 24 + compare.key.length + compare.rangeEnd.length;
  }
  for (const op of txn.success) size += opBytes(op, depth);
  for (const op of txn.failure) size += opBytes(op, depth);
  return size;
}

function opBytes(op: RequestOp, depth: number): number {
  switch (op.kind) {
    case "put":
      return putBytes(op.request);
    case "range":
      return 80 + op.request.key.length + op.request.rangeEnd.length;
    case "delete-range":
      return 16 + op.request.key.length + op.request.rangeEnd.length;
    case "txn":
      return txnBytes(op.request, depth + 1);
    case "empty":
      return 1;
    default:
      return assertNever(op);
  }
}

function writeProposal(to: ByteWriter, proposal: Proposal, before: Proposal | undefined): void {
  const { tenant, actor, policyRevision, credentialRevision } = proposal;
  const sameTenant = before !== undefined && before.tenant === tenant;
  const sameIssuer = before !== undefined && before.actor.issuer === actor.issuer;
  const sameSubject = before !== undefined && before.actor.subject === actor.subject;
  const clusterScope = !sameTenant && tenant === CLUSTER_SCOPE;
  to.byte(
    (sameTenant ? proposalFlag.sameTenant : 0) |
      (sameIssuer ? proposalFlag.sameIssuer : 0) |
      (sameSubject ? proposalFlag.sameSubject : 0) |
      (policyRevision !== undefined ? proposalFlag.hasPolicyRevision : 0) |
      (clusterScope ? proposalFlag.clusterScope : 0) |
      (credentialRevision !== undefined ? proposalFlag.hasCredentialRevision : 0),
  );
  if (!sameTenant && !clusterScope) to.uuid(tenant);
  if (policyRevision !== undefined) to.uint(policyRevision);
  if (credentialRevision !== undefined) to.uint(credentialRevision);
  if (!sameIssuer) to.text(actor.issuer);
  if (!sameSubject) to.text(actor.subject);
  to.text(actor.requestId);
  writeCommand(to, proposal.command);
}

/** Plain creations keep the form they had before there were limits. */
function wordOf(command: Command): (typeof commandKinds)[number] {
  if (command.kind !== "tenant-create") return command.kind;
  const isPlain = command.limits === undefined && command.compaction === undefined;
  return isPlain ? "tenant-create" : "limited-tenant-create";
}

function writeCommand(to: ByteWriter, command: Command): void {
  to.byte(commandKinds.indexOf(wordOf(command)));
  switch (command.kind) {
    case "put":
      return writePut(to, command.request);
    case "delete-range":
      return writeDeleteRange(to, command.request);
    case "txn":
      writeTxn(to, command.request, 1);
      return writeGuards(to, command.guards);
    case "compact":
      return to.int(command.revision);
    case "lease-grant":
      to.uint64(command.id);
      return to.int(command.ttl);
    case "lease-revoke":
      to.uint64(command.id);
      return to.byte(revokeCauses.indexOf(command.cause));
    case "lease-renew":
      return to.uint64(command.id);
    case "tenant-create":
      to.uuid(command.id);
      to.text(command.name);
      writeRecords(to, command.records);
      if (wordOf(command) === "limited-tenant-create") writeNewTenant(to, command);
      return;
    case "tenant-update":
      to.uuid(command.id);
      return writeTenantUpdate(to, command);
    case "tenant-delete":
      return to.uuid(command.id);
    case "records":
      return writeRecords(to, command.changes);
    case "member":
    case "member-add":
      return writeMember(to, command.member);
    case "member-remove":
    case "member-promote":
      return to.uint64(command.id);
    case "member-update":
      to.uint64(command.id);
      return writeTexts(to, command.peerUrls);
    default:
      return assertNever(command);
  }
}

function writePut(to: ByteWriter, request: PutRequest): void {
  const hasLease = request.lease !== NO_LEASE;
  to.byte(
    (request.prevKv ? putFlag.prevKv : 0) |
      (request.ignoreValue ? putFlag.ignoreValue : 0) |
      (request.ignoreLease ? putFlag.ignoreLease : 0) |
      (hasLease ? putFlag.hasLease : 0),
  );
  to.byteString(request.key);
  to.blob(request.value);
  if (hasLease) to.uint64(request.lease);
}

function writeDeleteRange(to: ByteWriter, request: DeleteRangeRequest): void {
  to.byteString(request.key);
  to.byteString(request.rangeEnd);
  to.bool(request.prevKv);
}

function writeTxn(to: ByteWriter, txn: TxnRequest, depth: number): void {
  if (depth > TXN_DEPTH_MAX) {
    const detail = `transactions are nested deeper than ${TXN_DEPTH_MAX}`;
    throw new CofferError("invalid-argument", detail);
  }
  to.uint(txn.compare.length);
  for (const compare of txn.compare) writeCompare(to, compare);
  to.uint(txn.success.length);
  for (const op of txn.success) writeOp(to, op, depth);
  to.uint(txn.failure.length);
  for (const op of txn.failure) writeOp(to, op, depth);
}

function writeCompare(to: ByteWriter, compare: Compare): void {
  assert(compare.target !== "value", "Compare on a value was not decided before it was proposed");
  to.byte(compareTargets.indexOf(compare.target));
  if (compare.target === "decided") return to.bool(compare.holds);
  to.byte(compareResults.indexOf(compare.result));
  to.byteString(compare.key);
  to.byteString(compare.rangeEnd);
  if (compare.target === "lease") to.uint64(compare.operand);
  else to.int(compare.operand);
}

function writeOp(to: ByteWriter, op: RequestOp, depth: number): void {
  to.byte(opKinds.indexOf(op.kind));
  switch (op.kind) {
    case "range":
      return writeRange(to, op.request);
    case "put":
      return writePut(to, op.request);
    case "delete-range":
      return writeDeleteRange(to, op.request);
    case "txn":
      return writeTxn(to, op.request, depth + 1);
    case "empty":
      return;
    default:
      return assertNever(op);
  }
}

function writeRange(to: ByteWriter, request: RangeRequest): void {
  const hasBounds =
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0;
  to.byte(
    (request.serializable ? rangeFlag.serializable : 0) |
      (request.keysOnly ? rangeFlag.keysOnly : 0) |
      (request.countOnly ? rangeFlag.countOnly : 0) |
      (hasBounds ? rangeFlag.hasBounds : 0),
  );
  to.byteString(request.key);
  to.byteString(request.rangeEnd);
  to.int(request.limit);
  to.int(request.revision);
  to.byte(sortOrders.indexOf(request.sortOrder));
  to.byte(sortTargets.indexOf(request.sortTarget));
  if (!hasBounds) return;
  to.int(request.minModRevision);
  to.int(request.maxModRevision);
  to.int(request.minCreateRevision);
  to.int(request.maxCreateRevision);
}

function writeGuards(to: ByteWriter, guards: readonly Guard[]): void {
  to.uint(guards.length);
  for (const { range, revision } of guards) {
    to.byteString(range.lo);
    to.bool(range.hi !== undefined);
    if (range.hi !== undefined) to.byteString(range.hi);
    to.uint(revision);
  }
}

function writeNewTenant(to: ByteWriter, { limits, compaction }: CommandOf<"tenant-create">): void {
  to.byte(
    (limits !== undefined ? tenantFlag.limits : 0) |
      (compaction !== undefined ? tenantFlag.compaction : 0),
  );
  if (limits !== undefined) writeLimits(to, limits);
  if (compaction !== undefined) writeCompaction(to, compaction);
}

function writeTenantUpdate(to: ByteWriter, command: CommandOf<"tenant-update">): void {
  const { name, suspended, limits, compaction } = command;
  to.byte(
    (name !== undefined ? tenantFlag.name : 0) |
      (suspended === true ? tenantFlag.suspends : 0) |
      (suspended === false ? tenantFlag.resumes : 0) |
      (compaction !== undefined ? tenantFlag.compaction : 0) |
      (limits !== undefined ? tenantFlag.limitChanges : 0),
  );
  if (name !== undefined) to.text(name);
  if (limits !== undefined) writeLimitChanges(to, limits);
  if (compaction !== undefined) writeCompaction(to, compaction);
}

/** Which are taken away, then those that are set. */
function writeLimitChanges(to: ByteWriter, changes: LimitChanges): void {
  let taken = 0;
  for (const [bit, name] of tenantLimits.entries()) {
    if (Object.hasOwn(changes, name) && changes[name] === undefined) taken |= 1 << bit;
  }
  to.uint(taken);
  writeLimits(to, changes);
}

function writeLimits(to: ByteWriter, limits: LimitChanges): void {
  let given = 0;
  for (const [bit, name] of tenantLimits.entries()) {
    if (limits[name] !== undefined) given |= 1 << bit;
  }
  to.uint(given);
  for (const name of tenantLimits) {
    const limit = limits[name];
    if (limit !== undefined) to.uint(limit);
  }
}

function writeCompaction(to: ByteWriter, compaction: TenantCompaction): void {
  to.byte(compactionKinds.indexOf(compaction.kind));
  switch (compaction.kind) {
    case "none":
      return;
    case "age":
      return to.uint(compaction.seconds);
    case "count":
      return to.uint(compaction.revisions);
    default:
      return assertNever(compaction);
  }
}

function writeRecords(to: ByteWriter, changes: readonly RecordChange[]): void {
  to.uint(changes.length);
  for (const { table, id, data, expect } of changes) {
    to.byte(recordTables.indexOf(table));
    to.byte(expectations.indexOf(expect));
    to.text(id);
    to.bool(data !== undefined);
    if (data !== undefined) to.blob(data);
  }
}
