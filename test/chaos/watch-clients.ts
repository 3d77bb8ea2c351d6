import type { rpc } from "../../src/client/mod.ts";
import type { Prng } from "../../src/stdx/mod.ts";
import type { WatchSpec, WatchedEvent } from "./history.ts";
import { KEYS } from "./kv-clients.ts";
import { KEY_PREFIX, KEY_PREFIX_END, keyStateOf } from "./kv-plans.ts";
import { StickyClient, type World, keyBytes, pause, textOfError } from "./world.ts";

/** Clients that watch, and go on behind the last revision they were told of when a stream breaks. */

const PROGRESS_MS = 700;
/** A stream that says nothing for so long, though asked for its progress, is left. */
const SILENCE_MS_MAX = 4000;
const AGAIN_MS = 200;

export type WatchRange = Omit<WatchSpec, "session" | "start">;

const ALL = { key: "\0", rangeEnd: "\0", prevKv: false, noPut: false, noDelete: false };
const PREFIX = { ...ALL, key: KEY_PREFIX, rangeEnd: KEY_PREFIX_END };

/** One of each kind. */
export const WATCHES: readonly WatchRange[] = [
  { ...ALL, prevKv: true },
  { ...PREFIX, prevKv: true, noDelete: true },
  { ...PREFIX, noPut: true, prevKv: true },
  { ...ALL, key: KEYS[0] ?? "", rangeEnd: "", prevKv: true },
  { ...ALL, key: KEYS[1] ?? "", rangeEnd: KEYS[4] ?? "" },
];

interface Session extends WatchRange {
  readonly session: string;
  readonly process: number;
  /** All of the range up to here has been told. */
  told: number | undefined;
  /** Where it begins; 0: from now on. */
  readonly start: number;
}

export interface WatchClientOptions {
  readonly range: WatchRange;
  readonly first: number;
  /** Resolves to the revision that has to be told before it ends; asked when the world stops. */
  readonly last: Promise<number>;
}

/** One session from now to the end of the run. Resolves when all is told, or time is up. Never rejects. */
export async function runWatchClient(world: World, options: WatchClientOptions): Promise<void> {
  const session = newSession(world, options.range, 0);
  const sticky = new StickyClient(world.target, options.first);
  let last = Infinity;
  const ended = new AbortController();
  const done = (): boolean => ended.signal.aborted || (session.told ?? 0) >= last;
  void options.last.then((revision) => {
    last = revision;
    setTimeout(() => ended.abort(), CATCH_UP_MS_MAX).unref();
  });
  while (!done()) {
    await runStream(world, { session, sticky, done });
    if (done()) break;
    sticky.move();
    await pause(AGAIN_MS, ended.signal);
  }
  await sticky.close();
}

const CATCH_UP_MS_MAX = 60_000;

/** Short sessions from the past, one after the other, until the world stops. Never rejects. */
export async function runPastWatches(
  world: World,
  { prng, first }: { readonly prng: Prng; readonly first: number },
): Promise<void> {
  const sticky = new StickyClient(world.target, first);
  while (!world.stop.aborted) {
    const now = await currentRevision(sticky);
    if (now !== undefined && now > 2) {
      const range = WATCHES[prng.below(WATCHES.length)] ?? ALL;
      const session = newSession(world, range, Math.max(2, now - prng.below(PAST_MAX)));
      await runPast(world, { session, sticky, until: now + 20 });
    }
    sticky.move();
    await pause(1000 + prng.below(3000), world.stop);
  }
  await sticky.close();
}

/** Revisions back from now: the whole history of half an hour takes too long again and again. */
const PAST_MAX = 5000;
const PAST_MS_MAX = 15_000;

async function runPast(
  world: World,
  about: { readonly session: Session; readonly sticky: StickyClient; readonly until: number },
): Promise<void> {
  const { session, sticky, until } = about;
  const end = Date.now() + PAST_MS_MAX;
  const done = (): boolean =>
    (session.told ?? 0) >= until || Date.now() > end || world.stop.aborted;
  while (!done()) {
    await runStream(world, { session, sticky, done });
    if (done()) break;
    sticky.move();
    await pause(AGAIN_MS, world.stop);
  }
  say(world, session, { f: "watch-end", deliberate: true });
}

async function currentRevision({ client }: StickyClient): Promise<number | undefined> {
  try {
    const { header } = await client.range({ key: keyBytes(KEY_PREFIX), serializable: true });
    return Number(header?.revision ?? 0n);
  } catch {
    return undefined; // It is one of those that are down.
  }
}

function newSession(world: World, range: WatchRange, start: number): Session {
  const process = world.nextProcess();
  const told = start === 0 ? undefined : start - 1;
  return { ...range, session: `w${process}`, process, told, start };
}

function say(world: World, { session, process }: Session, line: object): void {
  const time = world.history.now();
  world.history.append({ type: "ok", ...line, session, process, time } as never);
}

/** One stream, until it breaks, falls silent, or `done` holds. */
async function runStream(
  world: World,
  about: { readonly session: Session; readonly sticky: StickyClient; readonly done: () => boolean },
): Promise<void> {
  const { session, sticky, done } = about;
  const { key, rangeEnd, prevKv, noPut, noDelete } = session;
  const { member } = sticky;
  const start = session.told === undefined ? 0 : session.told + 1;
  const spec = { key, rangeEnd, prevKv, noPut, noDelete, start };
  say(world, session, { type: "invoke", f: "watch-start", ...spec, member });
  const stream = sticky.client.watch();
  let heard = Date.now();
  const timer = setInterval(() => {
    if (done() || Date.now() - heard > SILENCE_MS_MAX) stream.close();
    else stream.requestProgress();
  }, PROGRESS_MS);
  let error = "it ended or fell silent";
  try {
    stream.create(requestOf(spec));
    // Before it can have caught up: an answer now must wait for the events before it.
    stream.requestProgress();
    for await (const response of stream.responses()) {
      heard = Date.now();
      if (response.canceled) {
        error = `canceled: ${response.cancelReason}, compacted at ${response.compactRevision}`;
        break;
      }
      hear(world, session, response);
      if (done()) break;
    }
  } catch (cause) {
    error = textOfError(cause);
  } finally {
    clearInterval(timer);
    stream.close();
  }
  say(world, session, { f: "watch-end", error });
}

function requestOf(spec: WatchRange & { readonly start: number }) {
  return {
    key: keyBytes(spec.key),
    rangeEnd: keyBytes(spec.rangeEnd),
    startRevision: BigInt(spec.start),
    prevKv: spec.prevKv,
    filters: [...(spec.noPut ? [0 as const] : []), ...(spec.noDelete ? [1 as const] : [])],
  };
}

function hear(world: World, session: Session, response: rpc.WatchResponse): void {
  const rev = Number(response.header?.revision ?? 0n);
  if (response.created) {
    session.told ??= rev;
    say(world, session, { f: "watch-created", rev });
    return;
  }
  if (response.events.length === 0) {
    session.told = Math.max(session.told ?? 0, rev);
    say(world, session, { f: "watch-progress", rev });
    return;
  }
  const events = response.events.map((event) => eventOf(event, session.prevKv));
  session.told = Math.max(session.told ?? 0, events.at(-1)?.kv.mod ?? 0);
  say(world, session, { f: "watch-events", rev, events });
}

/** An event in the form of the history; `prev` is there where it was asked for or came unasked. */
export function eventOf(
  { type, kv, prevKv }: rpc.WatchResponse["events"][number],
  asked: boolean,
): WatchedEvent {
  if (kv === undefined) throw new Error("An event has no key");
  const event = { type: type === 1 ? "delete" : "put", kv: keyStateOf(kv) } as const;
  if (prevKv !== undefined) return { ...event, prev: keyStateOf(prevKv) };
  return asked ? { ...event, prev: null } : event;
}
