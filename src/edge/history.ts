import {
  type HistoryItem,
  type Key,
  type KeyRange,
  type TenantId,
  keyAfter,
} from "../core/types/mod.ts";
import {
  type EdgeDeps,
  type RequestContext,
  authoriseAll,
  currentRevision,
  linearize,
  requireTenant,
  runRequest,
} from "./gate.ts";
import type { HistoryEdge, HistoryEntry, HistoryPage } from "./history-requests.ts";
import { checkKey, withoutValue } from "./kv.ts";
import type { Caller, Reply } from "./requests.ts";
import { openKeyValue } from "./sealed-values.ts";

const HISTORY_ITEMS_MAX = 1000;
/** Of the values of one answer, past which it ends: a client takes 4 MiB by default. */
const HISTORY_BYTES_MAX = 2 * 1024 * 1024;
/** What one turn reads of the store: items, and bytes by the size of those before. */
const TURN_ITEMS = 64;
const TURN_BYTES = 1024 * 1024;

type HistoryRequest = Parameters<HistoryEdge["history"]>[1];

export function historyEdge(deps: EdgeDeps): HistoryEdge {
  return { history: (caller, request) => history(deps, caller, request) };
}

/** When a key was changed, by whom and how is `list`; what it held is `read`, which tells all of it. */
function history(
  deps: EdgeDeps,
  caller: Caller,
  request: HistoryRequest,
): Promise<Reply<HistoryPage>> {
  const what = { action: "history", target: { key: request.key, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    checkKey(deps, request.key);
    const tenant = requireTenant(context);
    await linearize(context);
    const mayRead = authoriseHistory(context, request.key);
    const revision = currentRevision(context);
    const page = await readHistory(deps, tenant, {
      ...request,
      limit: Math.min(request.limit > 0 ? request.limit : HISTORY_ITEMS_MAX, HISTORY_ITEMS_MAX),
      values: request.values && mayRead,
    });
    return { body: { ...page, valuesWithheld: request.values && !mayRead }, revision };
  });
}

/** Whether the caller may read the key; refuses who may not even list it. */
function authoriseHistory(context: RequestContext, k: Key): boolean {
  const range: KeyRange = { lo: k, hi: keyAfter(k) };
  const { deps, principal, scope } = context;
  authoriseAll(context, [{ kind: "any-of", actions: ["read", "list"], range }]);
  return deps.access.check(principal, scope, "read", range).allowed;
}

async function readHistory(
  deps: EdgeDeps,
  tenant: TenantId,
  { key, before, limit, values }: HistoryRequest,
): Promise<Omit<HistoryPage, "valuesWithheld">> {
  const items: HistoryEntry[] = [];
  let below = Math.max(0, before);
  let bytes = 0;
  // The first step is of one item, which tells how large the others may be.
  let step = 1;
  for (;;) {
    // One more than is wanted tells whether there are older ones.
    const found = deps.node.state.history(
      tenant,
      key,
      below,
      Math.min(step, limit + 1 - items.length),
    );
    for (const item of found) {
      if (items.length === limit || bytes >= HISTORY_BYTES_MAX) return { items, more: true };
      items.push(entryOf(deps, tenant, item, values));
      if (values) bytes += item.kv.value.length;
    }
    const last = found.at(-1);
    if (last === undefined || found.length < step) return { items, more: false };
    below = last.kv.modRevision;
    step = Math.min(TURN_ITEMS, Math.max(1, Math.floor(TURN_BYTES / (last.kv.value.length + 1))));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function entryOf(
  { seal }: EdgeDeps,
  tenant: TenantId,
  item: HistoryItem,
  values: boolean,
): HistoryEntry {
  const valueBytes = item.type === "delete" ? 0 : seal.valueBytes(item.kv.value);
  const kv = values ? openKeyValue(seal, tenant, item.kv) : withoutValue(item.kv);
  return { ...item, kv, valueBytes };
}
