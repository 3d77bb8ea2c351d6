import { assertNever } from "../../stdx/mod.ts";
import type {
  DeleteRangeResult,
  KeyValue,
  PutResult,
  RangeResult,
  ResponseOp,
  TxnResult,
  WatchEvent,
  WatchResponse,
} from "../../core/types/mod.ts";
import { ReverseWriter, FRAME_PREFIX_BYTES, fillPrefix } from "../../proto/mod.ts";
import type { Reply, ReplyHeader } from "../../edge/mod.ts";

/**
 * The KV and watch responses, written from the edge's plain replies straight into gRPC frames.
 * Fields go from last to first: see ReverseWriter. The generated code is the judge in tests.
 */

/** Encoding is synchronous, so one writer serves all. */
const writer = new ReverseWriter();

export function frameRange(reply: Reply<RangeResult>): Buffer {
  return frame(reply, writeRange);
}

export function framePut(reply: Reply<PutResult>): Buffer {
  return frame(reply, writePut);
}

export function frameDeleteRange(reply: Reply<DeleteRangeResult>): Buffer {
  return frame(reply, writeDeleteRange);
}

export function frameTxn(reply: Reply<TxnResult>): Buffer {
  return frame(reply, writeTxn);
}

/** The revision in the header is the response's own: 0 where etcd sends 0. */
export function frameWatch(reply: Reply<WatchResponse>): Buffer {
  return frame(
    { header: { ...reply.header, revision: reply.body.revision }, body: reply.body },
    writeWatch,
  );
}

function frame<T>(reply: Reply<T>, write: (body: T) => void): Buffer {
  writer.reset();
  write(reply.body);
  writeHeader(reply.header);
  return fillPrefix(writer.take(FRAME_PREFIX_BYTES));
}

function writeRange(body: RangeResult): void {
  writer.int(4, body.count);
  writer.bool(3, body.more);
  writeKeyValues(2, body.kvs);
}

function writePut(body: PutResult): void {
  if (body.prevKv !== undefined) writeKeyValue(2, body.prevKv);
}

function writeDeleteRange(body: DeleteRangeResult): void {
  writeKeyValues(3, body.prevKvs);
  writer.int(2, body.deleted);
}

function writeTxn(body: TxnResult): void {
  for (let i = body.responses.length - 1; i >= 0; i--) {
    const response = body.responses[i];
    if (response === undefined) continue;
    const mark = writer.written;
    writeResponseOp(response);
    writer.close(3, mark);
  }
  writer.bool(2, body.succeeded);
}

/** The header of a sub-response holds only the revision, and a nested transaction's is empty. */
function writeResponseOp(op: ResponseOp): void {
  const mark = writer.written;
  switch (op.kind) {
    case "range":
      writeRange(op.response);
      writeSubHeader(op.revision);
      return writer.close(1, mark);
    case "put":
      writePut(op.response);
      writeSubHeader(op.revision);
      return writer.close(2, mark);
    case "delete-range":
      writeDeleteRange(op.response);
      writeSubHeader(op.revision);
      return writer.close(3, mark);
    case "txn":
      writeTxn(op.response);
      writeSubHeader(0);
      return writer.close(4, mark);
    default:
      return assertNever(op);
  }
}

function writeWatch(body: WatchResponse): void {
  for (let i = body.events.length - 1; i >= 0; i--) {
    const event = body.events[i];
    if (event !== undefined) writeEvent(event);
  }
  writer.bool(7, body.fragment);
  writer.text(6, body.cancelReason);
  writer.int(5, body.compactRevision);
  writer.bool(4, body.canceled);
  writer.bool(3, body.created);
  writer.int(2, body.watchId);
}

function writeEvent(event: WatchEvent): void {
  const mark = writer.written;
  if (event.prevKv !== undefined) writeKeyValue(3, event.prevKv);
  writeKeyValue(2, event.kv);
  writer.bool(1, event.type === "delete");
  writer.close(11, mark);
}

function writeKeyValues(field: number, kvs: readonly KeyValue[]): void {
  for (let i = kvs.length - 1; i >= 0; i--) {
    const kv = kvs[i];
    if (kv !== undefined) writeKeyValue(field, kv);
  }
}

function writeKeyValue(field: number, kv: KeyValue): void {
  const mark = writer.written;
  writer.big(6, kv.lease);
  writer.bytes(5, kv.value);
  writer.int(4, kv.version);
  writer.int(3, kv.modRevision);
  writer.int(2, kv.createRevision);
  writer.byteString(1, kv.key);
  writer.close(field, mark);
}

function writeSubHeader(revision: number): void {
  const mark = writer.written;
  writer.int(3, revision);
  writer.close(1, mark);
}

function writeHeader(header: ReplyHeader): void {
  const mark = writer.written;
  writer.int(4, header.term);
  writer.int(3, header.revision);
  writer.raw(idBytes(header));
  writer.close(1, mark);
}

let idsOf: { readonly clusterId: bigint; readonly memberId: bigint; readonly bytes: Buffer } = {
  clusterId: 0n,
  memberId: 0n,
  bytes: Buffer.alloc(0),
};

/** The two ids are the same in every reply of a member, and bigints are slow: kept as bytes. */
function idBytes(header: ReplyHeader): Buffer {
  const { clusterId, memberId } = header;
  if (idsOf.clusterId === clusterId && idsOf.memberId === memberId) return idsOf.bytes;
  const ids = new ReverseWriter();
  ids.big(2, memberId);
  ids.big(1, clusterId);
  idsOf = { clusterId, memberId, bytes: ids.take(0) };
  return idsOf.bytes;
}
