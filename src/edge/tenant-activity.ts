import { setTimeout as delay } from "node:timers/promises";
import type { TenantId, TenantInfo, TenantLimits } from "../core/types/mod.ts";
import { CofferError, type ErrorCode } from "../errors.ts";
import type { Node } from "../node/mod.ts";
import type { Clock } from "./ports.ts";
import { RequestRate } from "./request-rate.ts";
import type { Caller } from "./requests.ts";

/**
 * What each tenant does on this member, and the limits that every member counts by itself: requests and
 * watches. Something is kept only of tenants that exist, from their first request that needs it on until
 * they are deleted: names that nobody has cost nothing.
 */

/** Refusals of one tenant that are held back, each a stream of its connection; past it none is. */
const HELD_MAX = 4096;
/** Of all tenants together. */
const ALL_HELD_MAX = 8192;
/** Seconds that a refusal of a flood is held back, a quarter more or less: as many as keep to a rate. */
const FLOOD_HOLD_SECONDS = { min: 1, max: 4 } as const;
const FLOOD_REFUSALS_PER_SECOND = 200;
/** Its multiples, taken modulo 1, spread evenly however many there are. */
const GOLDEN_RATIO = 0.618_033_988_75;

/** Why requests of a tenant are refused, for its metrics. */
export type RefusalCause = "rate" | "space" | "quota" | "suspended";

const CAUSES: Partial<Record<ErrorCode, RefusalCause>> = {
  "too-many-requests": "rate",
  "no-space": "space",
  "quota-exceeded": "quota",
  "tenant-suspended": "suspended",
};

interface Activity {
  readonly rate: RequestRate;
  readonly refused: Map<RefusalCause, number>;
  /** Open watch streams, and what ends each. */
  readonly streams: Set<StreamPlace>;
  watches: number;
  /** Refusals that are held back. */
  held: number;
}

/** A flood's connection keeps as many streams as its tenant's rate takes at this many seconds for each. */
const STREAM_SECONDS = 0.02;
const STREAMS_MIN = 1;

function streamsFor({ requestsPerSecond = 0 }: TenantLimits): number {
  return Math.max(STREAMS_MIN, Math.ceil(requestsPerSecond * STREAM_SECONDS));
}

/** The place of one watch stream among its tenant's. */
export interface StreamPlace {
  /** Throws `quota-exceeded` if the tenant may have no further watch. */
  refuseWatch(): void;
  /** The stream has this many watches now. */
  hold(watches: number): void;
  leave(): void;
  /** Ends the stream from this side. */
  readonly end: (error: CofferError) => void;
}

export interface ActivityNow {
  readonly watches: number;
  readonly refused: ReadonlyMap<RefusalCause, number>;
}

const IDLE: ActivityNow = { watches: 0, refused: new Map() };

export interface TenantActivityDeps {
  readonly node: Pick<Node, "state" | "onTenantChanged">;
  readonly clock: Clock;
  /** Calls back after a tenant was deleted. */
  readonly onTenantDeleted: (listener: (tenant: TenantId) => void) => void;
}

export class TenantActivity {
  readonly #deps: TenantActivityDeps;
  readonly #of = new Map<TenantId, Activity>();
  readonly #unsubscribe: () => void;
  #held = 0;
  #spread = 0;

  constructor(deps: TenantActivityDeps) {
    this.#deps = deps;
    this.#unsubscribe = deps.node.onTenantChanged((id) => this.#changed(id));
    deps.onTenantDeleted((id) => this.#of.delete(id));
  }

  /** Tenants that something is kept of. */
  get size(): number {
    return this.#of.size;
  }

  now(tenant: TenantId): ActivityNow {
    return this.#of.get(tenant) ?? IDLE;
  }

  /** Whether the tenant may make this request, by its requests per second. */
  takeRequest({ id, limits }: TenantInfo): boolean {
    if (limits.requestsPerSecond === undefined) return true;
    return this.#open(id).rate.take(limits, this.#deps.clock.now());
  }

  /** Resolves when the refusal of a request that was over the rate may leave. */
  async holdRefusal(tenant: TenantId, { connection }: Caller): Promise<void> {
    const activity = this.#of.get(tenant);
    if (activity === undefined || activity.held >= HELD_MAX || this.#held >= ALL_HELD_MAX) return;
    const limits = this.#limitsOf(tenant);
    let ms = activity.rate.pace(limits, this.#deps.clock.now());
    if (ms === undefined) {
      ms = this.#floodHoldMs(activity.held);
      // One that others share would hold them back as well.
      if (connection?.scope === tenant) connection.slowDown(streamsFor(limits));
    }
    if (ms < 1) return;
    activity.held++;
    this.#held++;
    await delay(ms, undefined, { ref: false });
    activity.held--;
    this.#held--;
  }

  /** Spread, so that what came at once does not come back at once. */
  #floodHoldMs(held: number): number {
    const { min, max } = FLOOD_HOLD_SECONDS;
    const seconds = Math.min(max, Math.max(min, held / FLOOD_REFUSALS_PER_SECOND));
    this.#spread = (this.#spread + GOLDEN_RATIO) % 1;
    return 1000 * seconds * (0.75 + this.#spread / 2);
  }

  /** Counts a request of the tenant that failed with `code`. */
  countFailure(tenant: TenantId, code: ErrorCode): void {
    const cause = CAUSES[code];
    if (cause === undefined || this.#deps.node.state.tenant(tenant) === undefined) return;
    const { refused } = this.#open(tenant);
    refused.set(cause, (refused.get(cause) ?? 0) + 1);
  }

  /** Throws `quota-exceeded`: there are no more streams than watches that the tenant may have. */
  refuseStream(tenant: TenantId): void {
    this.#refuseAt(tenant, this.#of.get(tenant)?.streams.size ?? 0);
  }

  /** Takes a place for a watch stream of a tenant that exists. */
  openStream(tenant: TenantId, end: (error: CofferError) => void): StreamPlace {
    const activity = this.#open(tenant);
    let held = 0;
    const hold = (watches: number): void => {
      activity.watches += watches - held;
      held = watches;
    };
    const place: StreamPlace = {
      refuseWatch: () => this.#refuseAt(tenant, activity.watches),
      hold,
      leave: () => {
        hold(0);
        activity.streams.delete(place);
      },
      end,
    };
    activity.streams.add(place);
    return place;
  }

  close(): void {
    this.#unsubscribe();
  }

  #open(tenant: TenantId): Activity {
    let activity = this.#of.get(tenant);
    if (activity === undefined) {
      const counts = { refused: new Map<RefusalCause, number>(), watches: 0, held: 0 };
      activity = { rate: new RequestRate(), streams: new Set(), ...counts };
      this.#of.set(tenant, activity);
    }
    return activity;
  }

  #refuseAt(tenant: TenantId, count: number): void {
    const { watchesMax } = this.#limitsOf(tenant);
    if (watchesMax === undefined || count < watchesMax) return;
    throw new CofferError("quota-exceeded", `watches: ${watchesMax}`);
  }

  #limitsOf(tenant: TenantId): TenantLimits {
    return this.#deps.node.state.tenant(tenant)?.limits ?? {};
  }

  #changed(tenant: TenantId): void {
    if (this.#deps.node.state.tenant(tenant)?.suspended !== true) return;
    const streams = this.#of.get(tenant)?.streams ?? [];
    for (const { end } of streams) end(new CofferError("tenant-suspended"));
  }
}
