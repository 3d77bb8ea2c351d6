import { CofferError, errorRow } from "../errors.ts";
import {
  CLUSTER_SCOPE,
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
  type Target,
  auditEvent,
  authoriseAll,
  authoriseNewest,
  currentRevision,
  denied,
  replyHeader,
  requireTenant,
  runRequest,
} from "./gate.ts";
import { checkKey } from "./kv.ts";
import type { Caller, Reply, WatchSession } from "./requests.ts";
import type { Right } from "./rights.ts";
import { openKeyValue } from "./sealed-values.ts";
import type { StreamPlace } from "./tenant-activity.ts";

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
      deps.activity.refuseStream(requireTenant(opened));
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
  readonly #place: StreamPlace;
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
    this.#place = deps.activity.openStream(context.scope, (error) => this.#end(error));
    this.#endings.push(() => this.#place.leave());
    this.#endings.push(
      deps.node.onRecords(({ scope, table }) => {
        if (scope === this.#tenant && table === "policy") this.#recheck();
      }),
    );
    this.#endings.push(deps.node.onStateReplaced(() => this.#recheck()));
    this.#endings.push(
      deps.identity.onRevoked((scope) => {
        if (scope === this.#tenant || scope === CLUSTER_SCOPE) this.#recheckCredentials();
      }),
    );
    this.#endings.push(deps.leaderWatch.whileLeader(caller, (error) => this.#end(error)));
    if (principal.expires !== undefined) {
      // setTimeout takes 31 bits; no credential we accept lives longer than that many milliseconds.
      const left = Math.min(principal.expires - deps.clock.now(), 2 ** 31 - 1);
      const timer = setTimeout(() => this.#end(new CofferError("invalid-token")), left);
      timer.unref();
      this.#endings.push(() => clearTimeout(timer));
    }
    // It may have been revoked while the record of the opening was written.
    this.#recheckCredentials();
  }

  create(request: WatchCreateRequest): void {
    this.#enqueue(() => this.#create(request));
  }

  cancel(watchId: number): void {
    this.#enqueue(() => {
      this.#stream.cancel(watchId);
      this.#count();
    });
  }

  progress(): void {
    this.#enqueue(() => this.#stream.progress());
  }

  next(): Reply<WatchResponse> | undefined {
    if (this.ended !== undefined) return undefined;
    const response = this.#stream.next();
    // One that compaction ended says so in its reply.
    if (response?.canceled === true) this.#count();
    if (response === undefined) {
      if (this.#stream.ended) this.#end(new CofferError("permission-denied"));
      return undefined;
    }
    const { deps } = this.#context;
    try {
      const body = { ...response, events: response.events.map((event) => this.#open(event)) };
      deps.metrics.watchEvents.inc(body.events.length);
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
      // The stream's tenant was renamed or deleted, and another one has its name now.
      if (context.scope !== this.#tenant) throw denied("the stream is another tenant's");
      await authoriseNewest(context, () => authoriseWatch(context, asked, request.prevKv));
      this.#place.refuseWatch();
      return { body: asked, revision: currentRevision(context) };
    }).catch((error: unknown) => this.#refuse(error));
    if (reply === undefined || this.#closed) return;
    // Policy may have moved while the record was written; from here to the watch nothing comes between.
    try {
      authoriseWatch(this.#context, reply.body, request.prevKv);
      this.#place.refuseWatch();
    } catch (error) {
      this.#refuse(error);
      return;
    }
    this.#stream.create(request);
    this.#count();
  }

  #count(): void {
    this.#place.hold(this.#stream.size);
  }

  /** A refused watcher ends alone: created and canceled, the stream goes on (v3rpc/watch.go). */
  #refuse(error: unknown): undefined {
    if (!(error instanceof CofferError)) throw error;
    this.#stream.refuse(cancelReason(error));
    return undefined;
  }

  /** Ends the stream whose credentials are revoked, or of an issuer that is gone. */
  #recheckCredentials(): void {
    const { deps, caller, principal } = this.#context;
    const failure = deps.identity.recheck(principal, caller.certificate, this.#tenant);
    if (failure === undefined || this.ended !== undefined) return;
    this.#end(failure);
    this.#note({ key: "", rangeEnd: "" }, failure);
  }

  /** Cancels the watchers that policy no longer allows. */
  #recheck(): void {
    for (const { watchId, range, prevKv } of this.#stream.watches()) {
      try {
        authoriseWatch(this.#context, range, prevKv);
      } catch (error) {
        if (!(error instanceof CofferError)) throw error;
        this.#stream.cancelWith(watchId, error.message);
        this.#count();
        this.#note({ key: range.lo, rangeEnd: range.hi ?? "\0" }, error);
      }
    }
  }

  #note(target: Target, error: CofferError): void {
    const { deps, caller } = this.#context;
    const what = { action: "watch-recheck", target };
    deps.audit.append(auditEvent(caller, this.#context, what, error)).catch((cause: unknown) => {
      deps.log.error("Audit record of a cancelled watch was not written", { cause });
    });
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
    "quota-exceeded": "ResourceExhausted",
    "tenant-suspended": "FailedPrecondition",
  };
  const name = names[error.code];
  // Which quota is for the client to know; other details are not in etcd's words.
  const text = error.code === "quota-exceeded" ? error.message : errorRow(error.code).text;
  return name === undefined ? text : `rpc error: code = ${name} desc = ${text}`;
}
