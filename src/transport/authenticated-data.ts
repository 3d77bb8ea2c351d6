import { assert } from "../stdx/mod.ts";
import { HEADER_BYTES, PART_HEADER_BYTES } from "./frame.ts";
import type { Channel } from "./ports.ts";
import { CHANNELS, type Place } from "./subjects.ts";

/**
 * What is authenticated with the body of a frame: its subject, field by field, then its header.
 * There is one for each channel and direction; the header of each frame is written into it, and all
 * the views are made once, since this is on the way of every frame.
 */
export interface AuthenticatedData {
  /** Where the header begins in `withPart`. */
  readonly headerAt: number;
  /** All of it, for a part. */
  readonly withPart: Uint8Array;
  /** For any other frame. */
  readonly plain: Uint8Array;
  /** The header alone, of a part and of any other. */
  readonly partHeader: Uint8Array;
  readonly header: Uint8Array;
}

export type ByChannel = Readonly<Record<Channel, AuthenticatedData>>;

export function authenticatedData(
  place: Place,
  route: { readonly from: string; readonly to: string },
): ByChannel {
  const entries = CHANNELS.map((channel) => [channel, dataOf(place, channel, route)] as const);
  return Object.fromEntries(entries) as ByChannel;
}

function dataOf(
  place: Place,
  channel: Channel,
  route: { readonly from: string; readonly to: string },
): AuthenticatedData {
  const fields = ["coffer frame v1", place.cluster, place.group, channel, route.from, route.to];
  const prefix = Buffer.concat(fields.map(lengthPrefixed));
  const withPart = new Uint8Array(prefix.length + PART_HEADER_BYTES);
  withPart.set(prefix);
  const headerAt = prefix.length;
  return {
    headerAt,
    withPart,
    plain: withPart.subarray(0, headerAt + HEADER_BYTES),
    partHeader: withPart.subarray(headerAt),
    header: withPart.subarray(headerAt, headerAt + HEADER_BYTES),
  };
}

/** No two lists of fields give the same bytes. */
function lengthPrefixed(field: string): Buffer {
  const bytes = Buffer.from(field, "utf8");
  assert(bytes.length < 256, "Word of a subject is too long");
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}
