import { CofferError } from "../errors.ts";
import {
  type Key,
  type KeyRange,
  type KeyValue,
  type RangeRequest,
  type RangeResult,
  type ReadResult,
  type StateSnapshot,
  type TenantId,
  keyRange,
} from "../core/types/mod.ts";

/**
 * Reads of large ranges in pages inside one read snapshot, with a turn of the event loop between
 * them, so that no request holds the loop (design.md section 2).
 */

const PAGE_KEYS = 256;
const COUNT_PAGE_KEYS = 20_000;

/** Whether one page may not be enough for `request`. */
export function needsPages(request: RangeRequest): boolean {
  return request.rangeEnd !== "";
}

/** Whether order and filters leave the keys in key order, so that a page is a page of the answer. */
function isPlainOrder(request: RangeRequest): boolean {
  return (
    request.sortTarget === "key" &&
    request.sortOrder !== "descend" &&
    request.minModRevision === 0 &&
    request.maxModRevision === 0 &&
    request.minCreateRevision === 0 &&
    request.maxCreateRevision === 0
  );
}

/** All keys of `range` at `revision`, page by page. */
export async function* scanPages(
  snapshot: StateSnapshot,
  tenant: TenantId,
  range: KeyRange,
  options: { readonly revision: number; readonly limit: number; readonly keysOnly: boolean },
): AsyncGenerator<readonly KeyValue[], Key | undefined> {
  let lo: Key | undefined = range.lo;
  let left = options.limit > 0 ? options.limit : Number.POSITIVE_INFINITY;
  while (lo !== undefined && left > 0) {
    const page: { readonly kvs: readonly KeyValue[]; readonly next: Key | undefined } = unwrap(
      snapshot.scan(
        tenant,
        { lo, hi: range.hi },
        {
          revision: options.revision,
          limit: Math.min(PAGE_KEYS, left),
          keysOnly: options.keysOnly,
        },
      ),
    );
    yield page.kvs;
    left -= page.kvs.length;
    lo = page.next;
    if (lo !== undefined && left > 0) await nextTurn();
  }
  return lo;
}

/** How many keys `range` has at `revision`. */
export async function countPages(
  snapshot: StateSnapshot,
  tenant: TenantId,
  range: KeyRange,
  revision: number,
): Promise<number> {
  let total = 0;
  let lo: Key | undefined = range.lo;
  for (;;) {
    const page: { readonly count: number; readonly next: Key | undefined } = unwrap(
      snapshot.count(tenant, { lo, hi: range.hi }, { revision, limit: COUNT_PAGE_KEYS }),
    );
    total += page.count;
    if (page.next === undefined) return total;
    lo = page.next;
    await nextTurn();
  }
}

/**
 * Answers `request` from `snapshot`. `keep` sees each key as it is read; what it returns is kept (the
 * edge opens values there, so that this too is spread over turns).
 */
export async function readPages(
  snapshot: StateSnapshot,
  tenant: TenantId,
  request: RangeRequest,
  keep: (kv: KeyValue) => KeyValue,
): Promise<RangeResult> {
  const range = keyRange(request.key, request.rangeEnd);
  const revision = Math.max(0, request.revision);
  if (request.countOnly) {
    return { kvs: [], more: false, count: await countPages(snapshot, tenant, range, revision) };
  }
  const { keysOnly } = request;
  if (!isPlainOrder(request)) {
    // The core fetches, filters, sorts and limits; only the opening of values is left.
    const result = unwrap(snapshot.range(tenant, request));
    const kvs: KeyValue[] = [];
    for (const kv of result.kvs) {
      if (kvs.length > 0 && kvs.length % PAGE_KEYS === 0) await nextTurn();
      kvs.push(keep(kv));
    }
    return { kvs, more: result.more, count: result.count };
  }
  const kvs: KeyValue[] = [];
  const pages = scanPages(snapshot, tenant, range, { revision, limit: request.limit, keysOnly });
  let step = await pages.next();
  for (; step.done !== true; step = await pages.next()) {
    for (const kv of step.value) kvs.push(keep(kv));
  }
  const next = step.value;
  if (next === undefined) return { kvs, more: false, count: kvs.length };
  const rest = await countPages(snapshot, tenant, { lo: next, hi: range.hi }, revision);
  return { kvs, more: rest > 0, count: kvs.length + rest };
}

/** The value of a read, or its refusal thrown. */
export function unwrap<T>(result: ReadResult<T>): T {
  if (!result.ok) throw new CofferError(result.code);
  return result.value;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
