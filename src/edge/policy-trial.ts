import { CofferError } from "../errors.ts";
import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import type { RequestContext } from "./gate.ts";
import type { RecordedRequest } from "./ports.ts";
import type { PolicyChange, PolicyRow, TrialChange, TrialResult } from "./policy-requests.ts";
import { type Right, type RightsJudge, isAllowed, matterRange, rightOf } from "./rights.ts";
import { type Slices, createSlices } from "./slices.ts";

/**
 * What a change of policy would do to requests that this member has recorded. Each record names what was
 * asked of the policy (rights.ts), so the judgement is the gate's own, by the rows in force and by those
 * of the change, both as they are when the trial begins. The keys of a lease are those of now.
 */

const RECORDS_DEFAULT = 10_000;
const RECORDS_MAX = 100_000;
const PAGE_RECORDS = 500;
const CHANGES_MAX = 1000;

/** Requests that ask the same. */
interface Seen {
  readonly request: RecordedRequest;
  readonly rights: readonly Right[];
  count: number;
  refused: number;
  allowed: number;
  /** Of the newest. */
  readonly time: number;
}

interface Found {
  readonly seen: readonly Seen[];
  readonly records: number;
  readonly cut: number;
  readonly oldest: number;
}

/** The caller has been authorised. `change.last`: how many of the newest records; 0: 10,000. */
export async function tryChange(
  context: RequestContext,
  current: readonly PolicyRow[],
  change: PolicyChange & { readonly last: number },
): Promise<TrialResult> {
  const { access, clock } = context.deps;
  const slices = createSlices(clock);
  // Each step goes over all rows, up to 5,000 of them, so each has a turn of its own.
  await slices.next();
  const plan = planOf(context, current, change);
  if (plan.rows === undefined) return { ...NOTHING, problems: plan.problems };
  await slices.next();
  const now = judgeOf(context, access.trial(context.scope, current));
  await slices.next();
  const then = judgeOf(context, access.trial(context.scope, plan.rows));
  const last = Math.min(change.last > 0 ? change.last : RECORDS_DEFAULT, RECORDS_MAX);
  const found = await recordedRequests(context, last, slices);
  const changes: TrialChange[] = [];
  let judged = 0;
  let moved = 0;
  for (const one of found.seen) {
    if (slices.isOver()) await slices.next();
    const asker = { principal: one.request, scope: context.scope };
    const allowedNow = one.rights.every((right) => isAllowed(right, asker, now));
    const allowedThen = one.rights.every((right) => isAllowed(right, asker, then));
    judged += one.count;
    moved += allowedNow ? one.refused : one.allowed;
    if (allowedNow !== allowedThen) changes.push(changeOf(one, allowedNow));
  }
  changes.sort((a, b) => b.count - a.count);
  const { records, cut, oldest } = found;
  return {
    problems: [],
    records,
    judged,
    moved,
    cut,
    oldest,
    changes: changes.slice(0, CHANGES_MAX),
    changesTotal: changes.length,
    locksOut: mayChangePolicy(context, now) && !mayChangePolicy(context, then),
  };
}

const NOTHING = {
  records: 0,
  judged: 0,
  moved: 0,
  cut: 0,
  oldest: 0,
  changes: [],
  changesTotal: 0,
  locksOut: false,
} as const;

/** The rows after the change, or all that is wrong with it. */
function planOf(
  { deps: { access } }: RequestContext,
  current: readonly PolicyRow[],
  change: PolicyChange,
): { readonly rows?: readonly PolicyRow[]; readonly problems: readonly string[] } {
  const problems = change.add.flatMap((row, index) => {
    const fault = access.faultOfRow(row);
    return fault === undefined ? [] : [`policy row ${index + 1} ${fault}`];
  });
  if (problems.length > 0) return { problems };
  try {
    return { rows: access.rowsAfter(current, change), problems };
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    return { problems: [error.message] };
  }
}

async function recordedRequests(
  { deps, scope }: RequestContext,
  last: number,
  slices: Slices,
): Promise<Found> {
  const seen = new Map<string, Seen>();
  let records = 0;
  let cut = 0;
  let oldest = 0;
  let cursor = "";
  let done = false;
  while (!done && records < last) {
    const limit = Math.min(PAGE_RECORDS, last - records);
    const search = { ...ANY_RECORD, limit, cursor };
    const page = await deps.audit.search(search, { tenant: scope, asker: scope });
    await slices.next();
    for (const line of page.lines) {
      if (slices.isOver()) await slices.next();
      const request = deps.recordedRequest(line);
      if (request === undefined) continue;
      records++;
      oldest = request.time;
      const rights = rightsOf(request);
      if (rights === undefined) cut++;
      else if (rights.length > 0 && isOfScope(rights, scope)) note(seen, request, rights);
    }
    ({ done } = page);
    cursor = page.next;
  }
  return { seen: [...seen.values()], records, cut, oldest };
}

const ANY_RECORD = {
  oldestFirst: false,
  subject: "",
  action: "",
  outcome: "",
  requestId: "",
  keyPrefix: "",
  fromTime: 0,
  toTime: 0,
  tenant: "",
} as const;

/** Undefined: the record had no room for all of them. */
function rightsOf(request: RecordedRequest): readonly Right[] | undefined {
  const rights: Right[] = [];
  for (const text of request.rights ?? [undefined]) {
    const right = text === undefined ? undefined : rightOf(text, request);
    if (right === undefined) return undefined;
    rights.push(right);
  }
  return rights;
}

/** Operators are judged by the cluster's policy, wherever they are recorded. */
function isOfScope(rights: readonly Right[], scope: string): boolean {
  return scope === CLUSTER_SCOPE || rights.every(({ kind }) => kind !== "operator");
}

function note(seen: Map<string, Seen>, request: RecordedRequest, rights: readonly Right[]): void {
  const { subject, groups, action, key, rangeEnd } = request;
  const id = JSON.stringify([subject, groups, action, key, rangeEnd, request.rights]);
  let one = seen.get(id);
  if (one === undefined) {
    one = { request, rights, count: 0, refused: 0, allowed: 0, time: request.time };
    seen.set(id, one);
  }
  one.count++;
  if (request.outcome === "refused") one.refused++;
  if (request.outcome === "ok") one.allowed++;
}

function judgeOf({ deps }: RequestContext, policy: RightsJudge["policy"]): RightsJudge {
  return { policy, state: deps.node.state };
}

function mayChangePolicy({ principal, scope }: RequestContext, { policy }: RightsJudge): boolean {
  return policy.check(principal, scope, "admin", matterRange("policy/change")).allowed;
}

function changeOf({ request, count, time }: Seen, allowedNow: boolean): TrialChange {
  const { subject, groups, action, key, rangeEnd } = request;
  return { subject, groups, action, key, rangeEnd, allowedNow, count, lastSeen: time };
}
