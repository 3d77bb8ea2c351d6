import {
  type Key,
  type KeyRange,
  type KeyValue,
  type RangeRequest,
  type RangeResult,
  type ReadResult,
  isEmptyRange,
  isSingleKey,
  keyAfter,
  keyRange,
} from "../types/mod.ts";
import type { ErrorCode } from "../../errors.ts";
import { assert } from "../../stdx/mod.ts";
import type { KeyReader, TenantView } from "./backend.ts";

/** The keys of a request at one moment, latest or past. */
interface Moment {
  readonly reader: KeyReader;
  readonly view: TenantView;
  readonly range: KeyRange;
  /** `undefined`: the latest. */
  readonly past: number | undefined;
}

export interface PageRequest {
  readonly range: KeyRange;
  /** 0: the latest. */
  readonly revision: number;
  /** At least 1. */
  readonly limit: number;
}

/**
 * Answers a range as etcd does (server/etcdserver/txn/range.go): fetch, filter by revisions, sort,
 * limit; `count` before all of them. A range sorted by value is answered unsorted, unlimited and with
 * values, even under `keysOnly`: values are opaque here, so the edge opens, sorts and limits them.
 *
 * Refuses with `key-empty`, `future-revision` or `compacted`.
 */
export function readRange(
  reader: KeyReader,
  view: TenantView,
  request: RangeRequest,
): ReadResult<RangeResult> {
  if (request.key === "") return { ok: false, code: "key-empty" };
  const code = checkRevision(view, request.revision);
  if (code !== undefined) return { ok: false, code };
  const past = pastOf(view, request.revision);
  const range = keyRange(request.key, request.rangeEnd);
  const moment: Moment = { reader, view, range, past };
  if (isSingleKey(range)) return { ok: true, value: readOne(moment, request) };
  if (isEmptyRange(range)) return { ok: true, value: { kvs: [], more: false, count: 0 } };
  if (request.countOnly) {
    return { ok: true, value: { kvs: [], more: false, count: countAll(moment) } };
  }
  return { ok: true, value: readMany(moment, request) };
}

/** Whether a revision can be read: 0 or less is the latest. */
function checkRevision(view: TenantView, revision: number): ErrorCode | undefined {
  if (revision > view.revision) return "future-revision";
  return revision > 0 && revision < view.compactRevision ? "compacted" : undefined;
}

function pastOf(view: TenantView, revision: number): number | undefined {
  return revision > 0 && revision < view.revision ? revision : undefined;
}

/** One page of a range in key order, and where to go on; counts nothing beyond it. */
export function readPage(
  reader: KeyReader,
  view: TenantView,
  page: PageRequest & { readonly keysOnly: boolean },
): ReadResult<{ readonly kvs: readonly KeyValue[]; readonly next: Key | undefined }> {
  const { range, revision, limit } = page;
  assert(limit > 0, "A page needs a limit");
  const code = checkRevision(view, revision);
  if (code !== undefined) return { ok: false, code };
  if (isEmptyRange(range)) return { ok: true, value: { kvs: [], next: undefined } };
  const moment: Moment = { reader, view, range, past: pastOf(view, revision) };
  const kvs = scan(moment, { limit, descending: false, withValues: !page.keysOnly });
  const last = kvs.length < limit ? undefined : kvs.at(-1);
  const next = last === undefined ? undefined : keyAfter(last.key);
  return { ok: true, value: { kvs, next } };
}

/**
 * Counts the keys of one page of a range likewise: a page of the latest keys, less what was created in
 * its span since, plus what was deleted. So a page of the past may count more or fewer than `limit`;
 * the pages of a range add up. Not for the middle of a transaction, whose changes history lacks yet.
 */
export function countPage(
  reader: KeyReader,
  view: TenantView,
  page: PageRequest,
): ReadResult<{ readonly count: number; readonly next: Key | undefined }> {
  const { range, revision, limit } = page;
  assert(limit > 0, "A page needs a limit");
  const code = checkRevision(view, revision);
  if (code !== undefined) return { ok: false, code };
  if (isEmptyRange(range)) return { ok: true, value: { count: 0, next: undefined } };
  const { count, last } = reader.count(view.slot, range, limit);
  const next = count === limit && last !== undefined ? keyAfter(last) : undefined;
  const past = pastOf(view, revision);
  if (past === undefined) return { ok: true, value: { count, next } };
  const span: KeyRange = { lo: range.lo, hi: next ?? range.hi };
  const since = reader.netCreated(view.slot, span, { after: past, upTo: view.revision });
  return { ok: true, value: { count: count - since, next } };
}

function readOne(moment: Moment, request: RangeRequest): RangeResult {
  const { reader, view, past } = moment;
  const kv =
    past === undefined
      ? reader.get(view.slot, request.key)
      : reader.getAt(view.slot, request.key, past);
  if (kv === undefined) return { kvs: [], more: false, count: 0 };
  if (request.countOnly || !passes(request, kv)) return { kvs: [], more: false, count: 1 };
  const strip = request.keysOnly && request.sortTarget !== "value";
  return { kvs: [strip ? withoutValue(kv) : kv], more: false, count: 1 };
}

function readMany(moment: Moment, request: RangeRequest): RangeResult {
  const limit = request.limit > 0 ? request.limit : 0;
  const byValue = request.sortTarget === "value";
  const wantValues = byValue || !request.keysOnly;
  const filtered = hasFilters(request);
  const descendingKeys = request.sortTarget === "key" && request.sortOrder === "descend";
  // etcd limits before it sorts when no order was asked for (range.go: limit+1 keys are fetched in
  // key order and only those are sorted), so a resort with order "none" sees the first keys alone.
  const limitFirst =
    limit > 0 &&
    !filtered &&
    !byValue &&
    (request.sortOrder === "none" || request.sortTarget === "key");
  // When only some of the rows will be kept, values are read for those alone.
  const late = limit > 0 && !limitFirst && !byValue && wantValues;
  const rows = scan(moment, {
    limit: limitFirst ? limit + 1 : 0,
    descending: descendingKeys && !byValue,
    withValues: wantValues && !late,
  });
  const count = limitFirst && rows.length > limit ? countAll(moment) : rows.length;
  let kvs = filtered ? rows.filter((kv) => passes(request, kv)) : rows;
  kvs = sorted(kvs, request);
  const more = !byValue && limit > 0 && kvs.length > limit;
  if (more) kvs = kvs.slice(0, limit);
  if (late) kvs = kvs.map((kv) => withValue(moment, kv));
  return { kvs, more, count };
}

function scan(
  moment: Moment,
  options: { limit: number; descending: boolean; withValues: boolean },
): readonly KeyValue[] {
  const { reader, view, range, past } = moment;
  return past === undefined
    ? reader.scan(view.slot, range, options)
    : reader.scanAt(view.slot, range, { ...options, revision: past });
}

function countAll(moment: Moment): number {
  const { reader, view, range, past } = moment;
  return past === undefined
    ? reader.count(view.slot, range, 0).count
    : reader.countAt(view.slot, range, past);
}

function withValue(moment: Moment, kv: KeyValue): KeyValue {
  const { reader, view, past } = moment;
  const full =
    past === undefined ? reader.get(view.slot, kv.key) : reader.getAt(view.slot, kv.key, past);
  return full ?? kv;
}

function withoutValue(kv: KeyValue): KeyValue {
  return { ...kv, value: NO_VALUE };
}

const NO_VALUE: Uint8Array = new Uint8Array(0);

function hasFilters(request: RangeRequest): boolean {
  return (
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0
  );
}

function passes(request: RangeRequest, kv: KeyValue): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  if (maxModRevision !== 0 && kv.modRevision > maxModRevision) return false;
  if (minModRevision !== 0 && kv.modRevision < minModRevision) return false;
  if (maxCreateRevision !== 0 && kv.createRevision > maxCreateRevision) return false;
  return minCreateRevision === 0 || kv.createRevision >= minCreateRevision;
}

/** Stable, so equal rows stay in key order, as etcd's do for short results. */
function sorted(kvs: readonly KeyValue[], request: RangeRequest): readonly KeyValue[] {
  const sign = request.sortOrder === "descend" ? -1 : 1;
  switch (request.sortTarget) {
    case "version":
      return kvs.toSorted((a, b) => sign * (a.version - b.version));
    case "create":
      return kvs.toSorted((a, b) => sign * (a.createRevision - b.createRevision));
    case "mod":
      return kvs.toSorted((a, b) => sign * (a.modRevision - b.modRevision));
    default:
      return kvs;
  }
}
