import { key, type WatchCreateRequest, type WatchResponse } from "../../src/core/types/mod.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import {
  createWatchHub,
  type WatchHub,
  type WatchHubOptions,
  type WatchStream,
} from "../../src/core/watch/mod.ts";
import { FakeStore, TENANT, type Write } from "./fake-store.ts";

/** A hub over a fake store, driven by hand. */
export interface Stand {
  readonly store: FakeStore;
  readonly hub: WatchHub;
  open(): WatchStream;
  /** Writes one transaction and publishes it. */
  write(...writes: readonly Write[]): void;
}

export function stand(options: Partial<WatchHubOptions> = {}): Stand {
  const store = new FakeStore();
  const hub = createWatchHub(store, { prng: createPrng(7), ...options });
  return {
    store,
    hub,
    open: () => hub.openStream(TENANT),
    write: (...writes) => {
      const change = store.write(...writes);
      if (change !== undefined) hub.publish([change]);
    },
  };
}

export function createRequest(
  name: string,
  more: Partial<WatchCreateRequest> = {},
): WatchCreateRequest {
  return {
    key: key(name),
    rangeEnd: key(""),
    startRevision: 0,
    progressNotify: false,
    noPut: false,
    noDelete: false,
    prevKv: false,
    watchId: 0,
    fragment: false,
    ...more,
  };
}

/** Reads until nothing waits, letting the hub catch up as a server would. */
export function drain(hub: WatchHub, stream: WatchStream): WatchResponse[] {
  const all: WatchResponse[] = [];
  for (;;) {
    for (let one = stream.next(); one !== undefined; one = stream.next()) all.push(one);
    const before = all.length;
    const more = hub.tick(0);
    for (let one = stream.next(); one !== undefined; one = stream.next()) all.push(one);
    if (!more && all.length === before) return all;
  }
}

/** One line for each response: only what it says beyond the defaults. */
export function show(response: WatchResponse): string {
  const words = [`#${response.watchId}`, `@${response.revision}`];
  if (response.created) words.push("created");
  if (response.canceled) words.push("canceled");
  if (response.compactRevision !== 0) words.push(`compact=${response.compactRevision}`);
  if (response.cancelReason !== "") words.push(`"${response.cancelReason}"`);
  if (response.fragment) words.push("fragment");
  for (const { type, kv, prevKv } of response.events) {
    const before = prevKv === undefined ? "" : `<${Buffer.from(prevKv.value).toString()}`;
    const value = Buffer.from(kv.value).toString();
    const short = value.length > 20 ? `${value.length}B` : value;
    const change = type === "put" ? `${kv.key}=${short}` : `${kv.key} gone`;
    words.push(`${change}${before}@${kv.modRevision}`);
  }
  return words.join(" ");
}

export function showAll(hub: WatchHub, stream: WatchStream): string[] {
  return drain(hub, stream).map(show);
}
