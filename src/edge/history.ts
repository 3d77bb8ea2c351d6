import { type HistoryItem, type Key, keyAfter } from "../core/types/mod.ts";
import {
  type EdgeDeps,
  authorise,
  currentRevision,
  linearize,
  requireTenant,
  runRequest,
} from "./gate.ts";
import type { HistoryEdge } from "./history-requests.ts";
import { checkKey } from "./kv.ts";
import type { Caller, Reply } from "./requests.ts";
import { openKeyValue } from "./sealed-values.ts";

const HISTORY_ITEMS_MAX = 1000;

export function historyEdge(deps: EdgeDeps): HistoryEdge {
  return { history: (caller, request) => history(deps, caller, request) };
}

function history(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly key: Key; readonly before: number; readonly limit: number },
): Promise<Reply<readonly HistoryItem[]>> {
  const what = { action: "history", target: { key: request.key, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    checkKey(deps, request.key);
    const tenant = requireTenant(context);
    await linearize(context);
    authorise(context, "read", { lo: request.key, hi: keyAfter(request.key) });
    const limit = Math.min(
      request.limit > 0 ? request.limit : HISTORY_ITEMS_MAX,
      HISTORY_ITEMS_MAX,
    );
    const items = deps.node.state.history(tenant, request.key, Math.max(0, request.before), limit);
    const opened = items.map((item) => ({ ...item, kv: openKeyValue(deps.seal, tenant, item.kv) }));
    return { body: opened, revision: currentRevision(context) };
  });
}
