import { CofferError, errorRow } from "../errors.ts";
import {
  FROM_KEY,
  type KeyRange,
  type TenantId,
  type WatchCreateRequest,
  type WatchEvent,
  type WatchResponse,
  keyRange,
} from "../core/types/mod.ts";
import type { Node } from "../node/mod.ts";
import {
  type EdgeDeps,
  type RequestContext,
  auditEvent,
  authoriseAll,
  authoriseNewest,
  currentRevision,
  replyHeader,
  requireTenant,
  runRequest,
} from "./gate.ts";
import { checkKey } from "./kv.ts";
import type { Caller, Reply, WatchSession } from "./requests.ts";
import type { Right } from "./rights.ts";
import { openKeyValue } from "./sealed-values.ts";

/** One watch stream through the gate: each watcher is authorised when made and when policy moves. */

/** Requests of one stream that wait for their audit record; a client beyond it is cut off. */
const QUEUED_REQUESTS_MAX = 10_000;

export async function watch(deps: EdgeDeps, caller: Caller): Promise<WatchSession> {
  // The opening itself is recorded by the watchers made on it; a refused one here.
  let context: RequestContext | undefined;
  await runRequest(
    deps,
    caller,
    { action: "watch-open", target: { key: "", rangeEnd: "" } },
    (opened) => {
      context = opened;
      requireTenant(opened);
      return Promise.resolve({ body: undefined, revision: currentRevision(opened) });
    },
  );
  if (context === undefined) throw new CofferError("internal");
  return new GatedWatchSession(context);
}

type Stream = ReturnType<Node["openWatch"]>;

class GatedWatchSession implements WatchSession {
  onReadable: () => void = () => undefined;
  ended: CofferError | undefined;
  readonly #context: RequestContext;
  readonly #tenant: TenantId;
  readonly #stream: Stream;
  readonly #endings: (() => void)[] = [];
  /** Requests take effect in order, each after its audit record. */
  #queue: Promise<void> = Promise.resolve();
  #queued = 0;
  #closed = false;

  constructor(context: RequestContext) {
    const { caller, deps, principal } = context;
    this.#context = context;
    this.#tenant = context.scope;
    this.#stream = deps.node.openWatch(context.scope);
    this.#stream.onReadable = () => this.#readable();
    this.#endings.push(
      deps.node.onRecords(({ scope, table }) => {
        if (scope === this.#tenant && table === "policy") this.#recheck();
      }),
    );
    this.#endings.push(deps.node.onStateReplaced(() => this.#recheck()));
    this.#endings.push(deps.leaderWatch.whileLeader(caller, (error) => this.#end(error)));
    if (principal.expires !== undefined) {
      // setTimeout takes 31 bits; no credential we accept lives longer than that many milliseconds.
      const left = Math.min(principal.expires - deps.clock.now(), 2 ** 31 - 1);
      const timer = setTimeout(() => this.#end(new CofferError("invalid-token")), left);
      timer.unref();
      this.#endings.push(() => clearTimeout(timer));
    }
  }

  create(request: WatchCreateRequest): void {
    this.#enqueue(() => this.#create(request));
  }

  cancel(watchId: number): void {
    this.#enqueue(() => this.#stream.cancel(watchId));
  }

  progress(): void {
    this.#enqueue(() => this.#stream.progress());
  }

  next(): Reply<WatchResponse> | undefined {
    if (this.ended !== undefined) return undefined;
    const response = this.#stream.next();
    if (response === undefined) {
      if (this.#stream.ended) this.#end(new CofferError("permission-denied"));
      return undefined;
    }
    const { deps } = this.#context;
    try {
      const body = { ...response, events: response.events.map((event) => this.#open(event)) };
      return { header: replyHeader(deps, response.revision), body };
    } catch (error) {
      this.#end(error instanceof CofferError ? error : new CofferError("internal"));
      deps.log.error("Watch could not open a value", { cause: error });
      return undefined;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of this.#endings) end();
    this.#stream.close();
  }

  async #create(request: WatchCreateRequest): Promise<void> {
    const { deps, caller } = this.#context;
    const what = { action: "watch", target: request };
    const reply = await runRequest(deps, caller, what, async (context) => {
      // etcd reads an empty key as "\0", and checks rights before it makes sense of the range's end.
      const asked = keyRange(request.key === "" ? FROM_KEY : request.key, request.rangeEnd);
      if (request.key !== "") checkKey(deps, request.key);
      // Replies that belong to no watch carry -1 (etcd v3rpc/watch.go), so no watch may have it.
      if (request.watchId < 0) throw new CofferError("invalid-argument", "negative watch id");
      await authoriseNewest(context, () => authoriseWatch(context, asked, request.prevKv));
      return { body: asked, revision: currentRevision(context) };
    }).catch((error: unknown) => this.#refuse(error));
    if (reply === undefined || this.#closed) return;
    // Policy may have moved while the record was written; from here to the watch nothing comes between.
    try {
      authoriseWatch(this.#context, reply.body, request.prevKv);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    this.#stream.create(request);
  }

  /** A refused watcher ends alone: created and canceled, the stream goes on (v3rpc/watch.go). */
  #refuse(error: unknown): undefined {
    if (!(error instanceof CofferError)) throw error;
    this.#stream.refuse(cancelReason(error));
    return undefined;
  }

  /** Cancels the watchers that policy no longer allows. */
  #recheck(): void {
    for (const { watchId, range, prevKv } of this.#stream.watches()) {
      try {
        authoriseWatch(this.#context, range, prevKv);
      } catch (error) {
        if (!(error instanceof CofferError)) throw error;
        this.#stream.cancelWith(watchId, error.message);
        const { deps, caller } = this.#context;
        const target = { key: range.lo, rangeEnd: range.hi ?? "\0" };
        const what = { action: "watch-recheck", target };
        deps.audit
          .append(auditEvent(caller, this.#context, what, error))
          .catch((cause: unknown) => {
            deps.log.error("Audit record of a cancelled watch was not written", { cause });
          });
      }
    }
  }

  #open(event: WatchEvent): WatchEvent {
    const { seal } = this.#context.deps;
    const { prevKv } = event;
    return {
      type: event.type,
      sub: event.sub,
      kv: openKeyValue(seal, this.#tenant, event.kv),
      prevKv: prevKv === undefined ? undefined : openKeyValue(seal, this.#tenant, prevKv),
    };
  }

  #enqueue(work: () => void | Promise<void>): void {
    if (this.#closed || this.ended !== undefined) return;
    if (++this.#queued > QUEUED_REQUESTS_MAX) {
      this.#end(new CofferError("too-many-requests"));
      return;
    }
    this.#queue = this.#queue
      .then(() => (this.#closed ? undefined : work()))
      .catch((error: unknown) => {
        this.#end(error instanceof CofferError ? error : new CofferError("internal"));
        this.#context.deps.log.error("Watch request failed", { cause: error });
      })
      .finally(() => {
        this.#queued--;
      });
  }

  #end(error: CofferError): void {
    if (this.ended !== undefined) return;
    this.ended = error;
    this.#readable();
  }

  #readable(): void {
    if (!this.#closed) this.onReadable();
  }
}

/** Seeing changes is `watch`; seeing what was there before them is `read` too. */
function authoriseWatch(context: RequestContext, range: KeyRange, prevKv: boolean): void {
  // One context serves all watches of the stream; a record is of one of them.
  context.rights.length = 0;
  const rights: readonly Right[] = [{ kind: "keys", action: "watch", range }];
  authoriseAll(context, prevKv ? [...rights, { kind: "keys", action: "read", range }] : rights);
}

/** As etcd's: the text of a gRPC error for rights, the plain text for the rest. */
function cancelReason(error: CofferError): string {
  const names: Partial<Record<CofferError["code"], string>> = {
    "permission-denied": "PermissionDenied",
    "invalid-token": "Unauthenticated",
    "no-identity": "InvalidArgument",
  };
  const name = names[error.code];
  const { text } = errorRow(error.code);
  return name === undefined ? text : `rpc error: code = ${name} desc = ${text}`;
}
