import {
  CLUSTER_SCOPE,
  NO_LEASE,
  key,
  leaseId,
  memberId,
  revision,
  type Actor,
  type Command,
  type Compare,
  type DeleteRangeRequest,
  type Guard,
  type Key,
  type LimitChanges,
  type PutRequest,
  type Proposal,
  type RangeRequest,
  type RecordChange,
  type RequestOp,
  type TenantCompaction,
  type TenantId,
  type TenantLimits,
  type TxnRequest,
} from "../core/types/mod.ts";
import { assertNever } from "../stdx/mod.ts";
import { ByteReader } from "./byte-reader.ts";
import { BATCH_HEADER_BYTES, type BatchHeader, readHeader } from "./batch-header.ts";
import { BATCH_BYTES_MAX, PROPOSALS_VERSION_OLDEST, TXN_DEPTH_MAX } from "./limits.ts";
import { readMember, readTexts } from "./member.ts";
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

const proposalFlags = 63;
const putFlags = 15;
const rangeFlags = 15;
const tenantFlags = 63;
const limitFlags = (1 << tenantLimits.length) - 1;

/** A batch as it was encoded. */
export interface DecodedBatch {
  readonly header: BatchHeader;
  readonly proposals: readonly Proposal[];
  /** False of version 2: see `CommittedEntry` of core/fsm. */
  readonly movesCredentials: boolean;
}

/**
 * The batch that `encodeProposals` wrote, of this build or of an earlier one. Values are views of `bytes`,
 * which must not change afterwards. Errors: `corrupt` for anything malformed, `unimplemented` for another
 * format version.
 */
export function decodeBatch(bytes: Uint8Array): DecodedBatch {
  const from = new ByteReader(bytes, "a batch of proposals");
  if (bytes.length > BATCH_BYTES_MAX) {
    throw from.malformed(`it is longer than the limit of ${BATCH_BYTES_MAX} bytes`);
  }
  const { header, version } = readHeader(bytes, PROPOSALS_VERSION_OLDEST);
  from.bytes(BATCH_HEADER_BYTES);
  const proposals: Proposal[] = [];
  let before: Proposal | undefined;
  for (let left = from.count(); left > 0; left--) {
    before = readProposal(from, before);
    proposals.push(before);
  }
  if (from.remaining > 0) throw from.malformed("bytes follow the last proposal");
  return { header, proposals, movesCredentials: version > 2 };
}

function readProposal(from: ByteReader, before: Proposal | undefined): Proposal {
  const flags = readFlags(from, proposalFlags);
  const tenant = readTenant(from, flags, before);
  const hasPolicyRevision = (flags & proposalFlag.hasPolicyRevision) !== 0;
  const policyRevision = hasPolicyRevision ? from.uint() : undefined;
  const hasCredentialRevision = (flags & proposalFlag.hasCredentialRevision) !== 0;
  const credentialRevision = hasCredentialRevision ? from.uint() : undefined;
  const actor = readActor(from, flags, before);
  return { tenant, policyRevision, credentialRevision, actor, command: readCommand(from) };
}

function readTenant(from: ByteReader, flags: number, before: Proposal | undefined): TenantId {
  const clusterScope = (flags & proposalFlag.clusterScope) !== 0;
  if ((flags & proposalFlag.sameTenant) === 0) {
    return clusterScope ? CLUSTER_SCOPE : readTenantId(from);
  }
  if (clusterScope || before === undefined)
    throw from.malformed("a tenant is named twice or never");
  return before.tenant;
}

function readActor(from: ByteReader, flags: number, before: Proposal | undefined): Actor {
  const shared = flags & (proposalFlag.sameIssuer | proposalFlag.sameSubject);
  if (shared !== 0 && before === undefined) throw from.malformed("an actor repeats none");
  const sameIssuer = (flags & proposalFlag.sameIssuer) !== 0;
  const issuer = sameIssuer && before !== undefined ? before.actor.issuer : from.text();
  const sameSubject = (flags & proposalFlag.sameSubject) !== 0;
  const subject = sameSubject && before !== undefined ? before.actor.subject : from.text();
  return { issuer, subject, requestId: from.text() };
}

function readCommand(from: ByteReader): Command {
  const kind = from.word(commandKinds);
  switch (kind) {
    case "put":
      return { kind, request: readPut(from) };
    case "delete-range":
      return { kind, request: readDeleteRange(from) };
    case "txn":
      return { kind, request: readTxn(from, 1), guards: readList(from, readGuard) };
    case "compact":
      return { kind, revision: from.int() };
    case "lease-grant":
      return { kind, id: leaseId(from.uint64()), ttl: from.int() };
    case "lease-revoke":
      return { kind, id: leaseId(from.uint64()), cause: from.word(revokeCauses) };
    case "lease-renew":
      return { kind, id: leaseId(from.uint64()) };
    case "tenant-create":
      return {
        kind,
        id: readTenantId(from),
        name: from.text(),
        records: readList(from, readRecordChange),
      };
    case "limited-tenant-create":
      return {
        kind: "tenant-create",
        id: readTenantId(from),
        name: from.text(),
        records: readList(from, readRecordChange),
        ...readNewTenantSettings(from),
      };
    case "tenant-update":
      return { kind, id: readTenantId(from), ...readTenantUpdate(from) };
    case "tenant-delete":
      return { kind, id: readTenantId(from) };
    case "records":
      return { kind, changes: readList(from, readRecordChange) };
    case "member":
    case "member-add":
      return { kind, member: readMember(from) };
    case "member-remove":
    case "member-promote":
      return { kind, id: memberId(from.uint64()) };
    case "member-update":
      return { kind, id: memberId(from.uint64()), peerUrls: readTexts(from) };
    default:
      return assertNever(kind);
  }
}

function readPut(from: ByteReader): PutRequest {
  const flags = readFlags(from, putFlags);
  const putKey = readKey(from);
  const value = from.blob();
  const lease = (flags & putFlag.hasLease) === 0 ? NO_LEASE : leaseId(from.uint64());
  if ((flags & putFlag.hasLease) !== 0 && lease === NO_LEASE) throw from.malformed("a lease is 0");
  return {
    key: putKey,
    value,
    lease,
    prevKv: (flags & putFlag.prevKv) !== 0,
    ignoreValue: (flags & putFlag.ignoreValue) !== 0,
    ignoreLease: (flags & putFlag.ignoreLease) !== 0,
  };
}

function readDeleteRange(from: ByteReader): DeleteRangeRequest {
  return { key: readKey(from), rangeEnd: readKey(from), prevKv: from.bool() };
}

function readTxn(from: ByteReader, depth: number): TxnRequest {
  if (depth > TXN_DEPTH_MAX) {
    throw from.malformed(`transactions are nested deeper than ${TXN_DEPTH_MAX}`);
  }
  const readOperation = (at: ByteReader): RequestOp => readOp(at, depth);
  return {
    compare: readList(from, readCompare),
    success: readList(from, readOperation),
    failure: readList(from, readOperation),
  };
}

function readCompare(from: ByteReader): Compare {
  const target = from.word(compareTargets);
  if (target === "decided") return { target, holds: from.bool() };
  const result = from.word(compareResults);
  const on = { result, key: readKey(from), rangeEnd: readKey(from) };
  if (target === "lease") return { target, ...on, operand: leaseId(from.uint64()) };
  return { target, ...on, operand: from.int() };
}

function readOp(from: ByteReader, depth: number): RequestOp {
  const kind = from.word(opKinds);
  switch (kind) {
    case "range":
      return { kind, request: readRange(from) };
    case "put":
      return { kind, request: readPut(from) };
    case "delete-range":
      return { kind, request: readDeleteRange(from) };
    case "txn":
      return { kind, request: readTxn(from, depth + 1) };
    case "empty":
      return { kind };
    default:
      return assertNever(kind);
  }
}

function readRange(from: ByteReader): RangeRequest {
  const flags = readFlags(from, rangeFlags);
  const hasBounds = (flags & rangeFlag.hasBounds) !== 0;
  return {
    key: readKey(from),
    rangeEnd: readKey(from),
    limit: from.int(),
    revision: from.int(),
    sortOrder: from.word(sortOrders),
    sortTarget: from.word(sortTargets),
    serializable: (flags & rangeFlag.serializable) !== 0,
    keysOnly: (flags & rangeFlag.keysOnly) !== 0,
    countOnly: (flags & rangeFlag.countOnly) !== 0,
    minModRevision: hasBounds ? from.int() : 0,
    maxModRevision: hasBounds ? from.int() : 0,
    minCreateRevision: hasBounds ? from.int() : 0,
    maxCreateRevision: hasBounds ? from.int() : 0,
  };
}

function readGuard(from: ByteReader): Guard {
  const lo = readKey(from);
  const hi = from.bool() ? readKey(from) : undefined;
  return { range: { lo, hi }, revision: revision(from.uint()) };
}

function readRecordChange(from: ByteReader): RecordChange {
  const table = from.word(recordTables);
  const expect = from.word(expectations);
  const id = from.text();
  return { table, id, data: from.bool() ? from.blob() : undefined, expect };
}

interface TenantSettings {
  name?: string;
  suspended?: boolean;
  compaction?: TenantCompaction;
}

function readNewTenantSettings(from: ByteReader): TenantSettings & { limits?: TenantLimits } {
  const flags = readFlags(from, tenantFlag.limits | tenantFlag.compaction);
  const settings: TenantSettings & { limits?: TenantLimits } = {};
  if ((flags & tenantFlag.limits) !== 0) settings.limits = readLimits(from);
  if ((flags & tenantFlag.compaction) !== 0) settings.compaction = readCompaction(from);
  return settings;
}

function readTenantUpdate(from: ByteReader): TenantSettings & { limits?: LimitChanges } {
  const flags = readFlags(from, tenantFlags);
  const settings: TenantSettings & { limits?: LimitChanges } = {};
  if ((flags & tenantFlag.name) !== 0) settings.name = from.text();
  const suspends = (flags & tenantFlag.suspends) !== 0;
  const resumes = (flags & tenantFlag.resumes) !== 0;
  if (suspends && resumes) throw from.malformed("a tenant is suspended and resumed at once");
  if (suspends || resumes) settings.suspended = suspends;
  const whole = (flags & tenantFlag.limits) !== 0;
  const changes = (flags & tenantFlag.limitChanges) !== 0;
  if (whole && changes) throw from.malformed("limits are given twice");
  if (whole) settings.limits = { ...NOT_LIMITED, ...readLimits(from) };
  if (changes) settings.limits = readLimitChanges(from);
  if ((flags & tenantFlag.compaction) !== 0) settings.compaction = readCompaction(from);
  return settings;
}

/** Takes all limits away. */
const NOT_LIMITED: LimitChanges = Object.fromEntries(tenantLimits.map((name) => [name, undefined]));

function readLimitChanges(from: ByteReader): LimitChanges {
  const taken = from.uint();
  if (taken > limitFlags) throw from.malformed("a limit is unknown");
  const names = tenantLimits.filter((_, bit) => (taken & (1 << bit)) !== 0);
  const limits = readLimits(from);
  if (names.some((name) => limits[name] !== undefined)) {
    throw from.malformed("a limit is set and taken away at once");
  }
  return { ...limits, ...Object.fromEntries(names.map((name) => [name, undefined])) };
}

function readLimits(from: ByteReader): TenantLimits {
  const given = from.uint();
  if (given > limitFlags) throw from.malformed("a limit is unknown");
  const limits: { -readonly [name in keyof TenantLimits]: TenantLimits[name] } = {};
  for (const [bit, name] of tenantLimits.entries()) {
    if ((given & (1 << bit)) !== 0) limits[name] = from.uint();
  }
  return limits;
}

function readCompaction(from: ByteReader): TenantCompaction {
  const kind = from.word(compactionKinds);
  switch (kind) {
    case "none":
      return { kind };
    case "age":
      return { kind, seconds: from.uint() };
    case "count":
      return { kind, revisions: from.uint() };
    default:
      return assertNever(kind);
  }
}

function readKey(from: ByteReader): Key {
  return key(from.byteString());
}

function readTenantId(from: ByteReader): TenantId {
  return from.uuid() as TenantId;
}

function readFlags(from: ByteReader, known: number): number {
  const flags = from.byte();
  if ((flags & ~known) !== 0) throw from.malformed("a flag is unknown");
  return flags;
}

function readList<T>(from: ByteReader, readItem: (from: ByteReader) => T): T[] {
  const items: T[] = [];
  for (let left = from.count(); left > 0; left--) items.push(readItem(from));
  return items;
}
