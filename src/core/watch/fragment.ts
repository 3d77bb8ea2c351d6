import type { WatchEvent } from "../types/mod.ts";
import { FRAGMENT_BYTES } from "./options.ts";
import { eventBytes } from "./watcher.ts";

export interface FragmentPart {
  readonly events: readonly WatchEvent[];
  readonly bytes: number;
}

/** The events in order, in as few parts below FRAGMENT_BYTES as can be; an event is never split. */
export function fragmentsOf(events: readonly WatchEvent[]): FragmentPart[] {
  const parts: FragmentPart[] = [];
  let part: WatchEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = eventBytes(event);
    if (part.length > 0 && bytes + size >= FRAGMENT_BYTES) {
      parts.push({ events: part, bytes });
      part = [];
      bytes = 0;
    }
    part.push(event);
    bytes += size;
  }
  parts.push({ events: part, bytes });
  return parts;
}
