import {
  type KeyRange,
  type TenantId,
  type WatchResponse,
  key,
  keyRange,
  rangeHas,
} from "../../src/core/types/mod.ts";
import type { WatchStream } from "../../src/core/watch/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { anyLive, guard } from "./calls.ts";
import type { Life } from "./life.ts";
import type { SimMember } from "./member.ts";
import { check } from "./truth.ts";
import { TENANT, type World } from "./world.ts";

/**
 * Watches: ordered, unique, complete, resumable at any member, and no event at or before a revision
 * that progress was told of. Each goes on from its last event at another member when its own ends.
 */
export class Watcher {
  readonly name: string;
  readonly #world: World;
  readonly #tenant: TenantId = TENANT;
  readonly #range: KeyRange;
  readonly #request: { readonly key: string; readonly rangeEnd: string };
  /** The place of the next event among the true ones. */
  #at = 0;
  /** The next revision that it has not seen all of. */
  #next = 2;
  #stream: WatchStream | undefined;
  #life: Life | undefined;
  #off: () => void = () => undefined;

  constructor(world: World, name: string, request: { key: string; rangeEnd: string }) {
    this.#world = world;
    this.name = name;
    this.#request = request;
    this.#range = keyRange(key(request.key), key(request.rangeEnd));
  }

  /** Whether it has told of all that there is to tell. */
  get isComplete(): boolean {
    return this.#nextEvent() === undefined;
  }

  async run(): Promise<void> {
    const { engine, random } = this.#world;
    while (!this.#world.isOver) {
      const member = anyLive(this.#world);
      if (member !== undefined && this.#stream === undefined) await this.#open(member);
      const patience = this.#world.isCalm ? 3000 : 1500 + random.below(3000);
      await engine.sleep(this.#stream === undefined ? 100 : patience);
      // Sometimes it moves to another member by itself.
      if (!this.#world.isCalm && random.below(2) === 0) this.#close();
    }
    this.#close();
  }

  #open(member: SimMember): Promise<void> {
    const { engine } = this.#world;
    const life = member.life!;
    return new Promise((resolve) => {
      const off = life.onEnd(resolve);
      engine.after(1, life, () => {
        off();
        if (!this.#world.isOver) guard(this.#world, () => this.#start(life));
        resolve();
      });
    });
  }

  #start(life: Life): void {
    const stream = streamOf(life, this.#tenant);
    if (stream === undefined) return;
    this.#world.coverage.add("watches opened");
    this.#world.engine.note(`${this.name} watches at ${life.name} from ${this.#next}`);
    this.#stream = stream;
    this.#life = life;
    this.#off = life.onEnd(() => this.#close());
    stream.create({
      key: key(this.#request.key),
      rangeEnd: key(this.#request.rangeEnd),
      startRevision: this.#next,
      progressNotify: true,
      noPut: false,
      noDelete: false,
      prevKv: false,
      watchId: 0,
      fragment: false,
    });
    stream.onReadable = () => guard(this.#world, () => this.#take());
    this.#take();
  }

  #take(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#life?.isAlive !== true) return;
    if (this.#world.random.below(4) === 0) stream.progress();
    for (let one = stream.next(); one !== undefined; one = stream.next()) {
      this.#hear(one);
      if (this.#stream === undefined) return;
    }
    if (stream.ended !== undefined) this.#close();
  }

  #hear(response: WatchResponse): void {
    const { events, canceled, compactRevision, created, revision } = response;
    if (canceled) {
      this.#compacted(compactRevision);
      this.#close();
      return;
    }
    if (created) return;
    if (events.length === 0) {
      this.#world.coverage.add("watch progress told");
      const missing = this.#nextEvent();
      check(
        missing === undefined || missing.revision > revision,
        () => `${this.name} was told of progress to ${revision} before event ${missing?.revision}`,
      );
      this.#next = Math.max(this.#next, revision + 1);
      return;
    }
    for (const { type, kv } of events) {
      const expected = this.#nextEvent();
      const value = type === "put" ? Buffer.from(kv.value).toString() : "";
      const isRight =
        expected?.revision === kv.modRevision &&
        expected.type === type &&
        expected.key === kv.key &&
        expected.value === value;
      check(
        isRight,
        () =>
          `${this.name} was told of ${type} ${kv.key} at ${kv.modRevision}, and not of ` +
          `${expected?.type} ${expected?.key} at ${expected?.revision}`,
      );
      this.#at += 1;
      this.#next = kv.modRevision + 1;
      this.#world.coverage.add("watch events");
    }
  }

  /** What it missed is gone: it goes on from there, as etcd's clients do. */
  #compacted(compactRevision: number): void {
    const { truth, coverage } = this.#world;
    check(
      compactRevision > this.#next && compactRevision <= truth.compactedOf(this.#tenant),
      () => `${this.name} at ${this.#next} was told that ${compactRevision} is compacted`,
    );
    coverage.add("watches behind the compaction");
    this.#next = compactRevision;
    const events = truth.events(this.#tenant);
    while ((events[this.#at]?.revision ?? this.#next) < this.#next) this.#at += 1;
  }

  /** The next true event of its range. */
  #nextEvent(): { revision: number; type: string; key: string; value: string } | undefined {
    const events = this.#world.truth.events(this.#tenant);
    for (;;) {
      const event = events[this.#at];
      if (event === undefined || rangeHas(this.#range, key(event.key))) return event;
      this.#at += 1;
    }
  }

  #close(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#off();
    if (this.#life?.isAlive === true) stream?.close();
    this.#life = undefined;
  }
}

function streamOf(life: Life, tenant: TenantId): WatchStream | undefined {
  try {
    return life.node?.openWatch(tenant);
  } catch (error) {
    // A member that has not come so far knows nothing of the tenant.
    if (error instanceof CofferError && error.code === "not-found") return undefined;
    throw error;
  }
}
