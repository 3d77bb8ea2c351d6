import assert from "node:assert/strict";
import { mvcc, rpc } from "../../src/proto/mod.ts";
import { type Request, type Resolve, type Revision, STREAMS } from "./random-requests.ts";
import { RawClient, type RawStream, type RawTarget } from "./raw-grpc.ts";

/** One of two servers that are asked the same; its answers are made comparable. */

/** An answer as plain text: revisions count from the start of the run, ids and terms are gone. */
export type Answer = string;

interface Codec<Q, R> {
  readonly path: string;
  readonly request: { create(fields: unknown): Q; encode(message: Q): { finish(): Uint8Array } };
  readonly response: { decode(bytes: Uint8Array): R };
}

const unaryCodecs = {
  range: codec("KV/Range", rpc.RangeRequest, rpc.RangeResponse),
  put: codec("KV/Put", rpc.PutRequest, rpc.PutResponse),
  delete: codec("KV/DeleteRange", rpc.DeleteRangeRequest, rpc.DeleteRangeResponse),
  txn: codec("KV/Txn", rpc.TxnRequest, rpc.TxnResponse),
  compact: codec("KV/Compact", rpc.CompactionRequest, rpc.CompactionResponse),
  grant: codec("Lease/LeaseGrant", rpc.LeaseGrantRequest, rpc.LeaseGrantResponse),
  revoke: codec("Lease/LeaseRevoke", rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse),
  leases: codec("Lease/LeaseLeases", rpc.LeaseLeasesRequest, rpc.LeaseLeasesResponse),
  "time-to-live": codec(
    "Lease/LeaseTimeToLive",
    rpc.LeaseTimeToLiveRequest,
    rpc.LeaseTimeToLiveResponse,
  ),
} as const;

function codec<Q, R>(
  method: string,
  request: Codec<Q, R>["request"],
  response: Codec<Q, R>["response"],
): Codec<unknown, unknown> {
  return { path: `/etcdserverpb.${method}`, request, response } as Codec<unknown, unknown>;
}

const { DELETE: DELETED } = mvcc.Event_EventType;

const ALL = { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) };

/** An answer to what would show a known fault of that etcd. */
const NOT_ASKED: Answer = "not asked";

/** What is due comes within the 100 ms between etcd's looks at new watches, on an idle machine. */
const SILENCE_MS_MAX = 20_000;

/** A watch that runs, and what it should be told. */
interface Watch {
  readonly stream: number;
  readonly id: string;
  readonly request: rpc.WatchCreateRequest;
  /** The first revision that it may see. */
  readonly from: bigint;
  readonly events: string[];
}

export class DifferentialPeer implements AsyncDisposable {
  readonly name: string;
  readonly #client: RawClient;
  /** The revision at the start of the run. */
  #base = 0n;
  #revision = 0n;
  #compactRevision = 0n;
  #streams: RawStream[] = [];
  #watches: Watch[] = [];
  /** Everything that happened in this run, from a watch over all keys. */
  #history: mvcc.Event[] = [];
  #historyStream: RawStream | undefined;
  /** What was said at the end of watches. */
  #ended: { readonly watch: string; readonly said: Answer }[] = [];
  /** Watches that compaction ended and nobody has cancelled yet, as "stream id". */
  #compacted = new Set<string>();

  private constructor(name: string, client: RawClient) {
    this.name = name;
    this.#client = client;
  }

  static async connect(name: string, target: RawTarget): Promise<DifferentialPeer> {
    return new DifferentialPeer(name, await RawClient.connect(target));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closeStreams();
    await this.#client[Symbol.asyncDispose]();
  }

  /** Empties the store, and begins to count revisions anew. */
  async begin(): Promise<void> {
    assert.ok(this.#client.isOpen, `${this.name} has closed the connection in an earlier run`);
    this.#closeStreams();
    const { leases } = (await this.#must("leases", {})) as rpc.LeaseLeasesResponse;
    for (const { ID } of leases) await this.#must("revoke", { ID });
    await this.#must("delete", ALL);
    // Revisions below the start of the run that requests name must exist and hold nothing else.
    for (let i = 0; i < 3; i++) await this.#must("put", { key: Buffer.from("before") });
    const { header } = (await this.#must("delete", ALL)) as rpc.DeleteRangeResponse;
    this.#base = header?.revision ?? 0n;
    this.#revision = this.#base;
    this.#compactRevision = this.#base - 1n;
    await this.#must("compact", { revision: this.#compactRevision, physical: true });
    this.#streams = Array.from({ length: STREAMS }, () => this.#openWatchStream());
    this.#watches = [];
    this.#ended = [];
    this.#compacted.clear();
    this.#history = [];
    this.#historyStream = this.#openWatchStream();
    this.#historyStream.send(createMessage({ ...ALL, startRevision: this.#base - 1n }));
    await this.#next(this.#historyStream);
  }

  /** Asks, and answers what came back. */
  async ask(request: Request): Promise<Answer> {
    switch (request.kind) {
      case "keep-alive":
        return this.#keepAlive(request.id);
      case "watch":
        return this.#watch(request.stream, rpc.WatchCreateRequest.create(request.make(this.#at)));
      case "cancel":
        return this.#cancel(request.stream, String(request.watchId));
      default:
        if (request.kind === "compact") {
          // It ends the watches that are behind.
          await this.settle();
          await this.#synced();
        }
        return this.#unary(request);
    }
  }

  /** Waits until every watch has been told all that happened; answers what each was told. */
  async settle(): Promise<Answer> {
    await this.#readHistory();
    for (const watch of this.#watches) {
      const expected = this.#history.filter((event) => wants(watch, event)).length;
      while (watch.events.length < expected) await this.#readStream(watch.stream);
    }
    const told = this.#watches.map(({ stream, id, events }) => ({ stream, id, events }));
    return shown({ told, ended: this.#ended });
  }

  /**
   * Waits until no watch is behind, those too that are told nothing: etcd reads history for all new
   * ones at once, each 100 ms (mvcc/watchable_store.go syncWatchers), so that one that is told
   * something speaks for those before it.
   */
  async #synced(): Promise<void> {
    // Then the newest change may be gone too, and no compaction can go further.
    if (this.#compactRevision === this.#revision) return;
    const stream = this.#openWatchStream();
    stream.send(createMessage({ ...ALL, startRevision: this.#revision }));
    await this.#next(stream);
    await this.#next(stream);
    stream.close();
  }

  readonly #at: Resolve = (revision: Revision) => {
    if ("absolute" in revision) {
      return revision.absolute > 0
        ? this.#base + BigInt(revision.absolute)
        : BigInt(revision.absolute);
    }
    return this.#base + BigInt(revision.since);
  };

  async #unary(request: Extract<Request, { make: unknown }>): Promise<Answer> {
    const { kind } = request;
    assert.ok(kind !== "watch");
    const { path, request: encoder, response } = unaryCodecs[kind];
    const message = encoder.encode(encoder.create(request.make(this.#at))).finish();
    const reply = await this.#client.call(path, message);
    if (reply.status !== 0) return `${reply.status} ${reply.message}`;
    const body = response.decode(reply.body ?? Buffer.alloc(0));
    this.#note(body);
    if (request.kind === "compact") {
      this.#compactRevision = BigInt(request.make(this.#at).revision ?? 0);
    }
    return shown(this.#comparable(inOneOrder(kind, body)));
  }

  async #must(kind: keyof typeof unaryCodecs, fields: unknown): Promise<unknown> {
    const { path, request, response } = unaryCodecs[kind];
    const reply = await this.#client.call(path, request.encode(request.create(fields)).finish());
    assert.equal(reply.status, 0, `${this.name} ${kind}: ${reply.message}`);
    return response.decode(reply.body ?? Buffer.alloc(0));
  }

  async #keepAlive(id: bigint): Promise<Answer> {
    const stream = this.#client.stream("/etcdserverpb.Lease/LeaseKeepAlive");
    stream.send(rpc.LeaseKeepAliveRequest.encode({ ID: id }).finish());
    const reply = rpc.LeaseKeepAliveResponse.decode(await this.#next(stream));
    stream.close();
    return shown(this.#comparable(reply));
  }

  async #watch(stream: number, request: rpc.WatchCreateRequest): Promise<Answer> {
    if (await this.#isOfLostDelete(request)) return NOT_ASKED;
    this.#streams[stream]?.send(createMessage(request));
    let created: rpc.WatchResponse | undefined;
    while (created === undefined) created = await this.#readStream(stream);
    if (!created.canceled) {
      const current = created.header?.revision ?? 0n;
      const from = request.startRevision === 0n ? current + 1n : request.startRevision;
      const id = String(created.watchId);
      this.#watches.push({ stream, id, request, from, events: [] });
      if (from < this.#compactRevision) {
        await this.#readEnd(stream, id);
        this.#compacted.add(`${stream} ${id}`);
      }
    }
    return shown(this.#comparable(created));
  }

  /**
   * Whether the watch starts at the compacted revision and is due a delete of it: etcd forgot those
   * until 3.4.34 (pull request 18475); Coffer tells of them, as etcd does since.
   */
  async #isOfLostDelete(request: rpc.WatchCreateRequest): Promise<boolean> {
    const from = request.startRevision;
    if (from !== this.#compactRevision) return false;
    await this.#readHistory();
    const at = this.#history.filter(({ kv }) => kv?.modRevision === from);
    return at.some((event) => event.type === DELETED && wants({ request, from }, event));
  }

  async #cancel(stream: number, id: string): Promise<Answer> {
    await this.settle();
    const message = rpc.WatchRequest.fromPartial({
      requestUnion: { $case: "cancelRequest", value: { watchId: BigInt(id) } },
    });
    this.#streams[stream]?.send(rpc.WatchRequest.encode(message).finish());
    const isKnown = this.#find(stream, id) !== undefined;
    if (!isKnown && !this.#compacted.has(`${stream} ${id}`)) return "unknown";
    return this.#readEnd(stream, id);
  }

  /** Reads until the watch is told that it ended. */
  async #readEnd(stream: number, id: string): Promise<Answer> {
    const before = this.#ended.length;
    for (;;) {
      const end = this.#ended.slice(before).find(({ watch }) => watch === `${stream} ${id}`);
      if (end !== undefined) return end.said;
      await this.#readStream(stream);
    }
  }

  #find(stream: number, id: string): Watch | undefined {
    return this.#watches.find((watch) => watch.stream === stream && watch.id === id);
  }

  /** Takes one response of a stream; answers it if it says that a watch was created. */
  async #readStream(stream: number): Promise<rpc.WatchResponse | undefined> {
    const response = rpc.WatchResponse.decode(await this.#next(this.#streams[stream]));
    if (response.created) return response;
    const id = String(response.watchId);
    const name = `${stream} ${id}`;
    if (response.canceled && this.#compacted.delete(name)) {
      this.#ended.push({ watch: name, said: shown(this.#comparable(response)) });
      return undefined;
    }
    const watch = this.#find(stream, id);
    assert.ok(watch !== undefined, `${this.name} spoke of watch ${id}, which does not run`);
    for (const event of response.events) {
      assert.ok(wants(watch, event), `${this.name} told watch ${id} of ${shown(event)}`);
      watch.events.push(shown(this.#comparable(event)));
    }
    if (response.canceled) {
      this.#watches = this.#watches.filter((one) => one !== watch);
      const said = shown({ ...(this.#comparable(response) as object), told: watch.events });
      this.#ended.push({ watch: name, said });
    }
    return undefined;
  }

  async #readHistory(): Promise<void> {
    const last = (): bigint => this.#history.at(-1)?.kv?.modRevision ?? 0n;
    while (last() < this.#revision) {
      const bytes = await this.#next(this.#historyStream);
      this.#history.push(...rpc.WatchResponse.decode(bytes).events);
    }
  }

  /** The stream's next message; fails if there is none for long, as a difference may be that. */
  async #next(stream: RawStream | undefined): Promise<Buffer> {
    assert.ok(stream !== undefined);
    const silence = setTimeout(() => stream.close(), SILENCE_MS_MAX);
    try {
      return await stream.next();
    } catch (cause) {
      throw new Error(`${this.name} does not say what it should`, { cause });
    } finally {
      clearTimeout(silence);
    }
  }

  #note(body: unknown): void {
    const { header } = body as { readonly header?: rpc.ResponseHeader };
    if (header !== undefined && header.revision > this.#revision) this.#revision = header.revision;
  }

  #openWatchStream(): RawStream {
    return this.#client.stream("/etcdserverpb.Watch/Watch");
  }

  #closeStreams(): void {
    for (const stream of this.#streams) stream.close();
    this.#historyStream?.close();
  }

  /** Copies a message: revisions from the start of the run on, no ids and terms, bytes as text. */
  #comparable(message: unknown): unknown {
    if (message instanceof Uint8Array) return Buffer.from(message).toString("latin1");
    if (Array.isArray(message)) return message.map((item) => this.#comparable(item));
    if (typeof message !== "object" || message === null) return message;
    const copy: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(message)) {
      if (name === "clusterId" || name === "memberId" || name === "raftTerm") continue;
      if (name === "TTL" && typeof value === "bigint" && value > 0n) copy[name] = "some";
      else if (/revision$/i.test(name) && typeof value === "bigint" && value > 0n) {
        copy[name] = value - this.#base;
      } else copy[name] = this.#comparable(value);
    }
    return copy;
  }
}

function createMessage(fields: unknown): Uint8Array {
  const value = rpc.WatchCreateRequest.fromPartial(fields as rpc.WatchCreateRequest);
  return rpc.WatchRequest.encode({ requestUnion: { $case: "createRequest", value } }).finish();
}

/** Whether the watch is told of the event. */
function wants(
  { request, from }: Pick<Watch, "request" | "from">,
  { type, kv }: mvcc.Event,
): boolean {
  if (kv === undefined || kv.modRevision < from) return false;
  const filters: readonly number[] = request.filters;
  if (filters.includes(type)) return false;
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
  const [key, end, at] = [text(request.key), text(request.rangeEnd), text(kv.key)];
  // An empty key of a watch is the lowest one.
  const low = key === "" ? "\0" : key;
  if (end === "") return at === low;
  return at >= low && (end === "\0" || at < end);
}

/** Sorts what etcd gives in no order: leases with equal time left, and the keys of a lease. */
function inOneOrder(kind: keyof typeof unaryCodecs, body: unknown): unknown {
  if (kind === "leases") {
    const { header, leases } = body as rpc.LeaseLeasesResponse;
    return { header, leases: leases.map(({ ID }) => ID).sort((a, b) => (a < b ? -1 : 1)) };
  }
  if (kind !== "time-to-live") return body;
  const reply = body as rpc.LeaseTimeToLiveResponse;
  return { ...reply, keys: reply.keys.toSorted((a, b) => Buffer.compare(a, b)) };
}

function shown(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === "bigint" ? item.toString() : item,
  );
}
