import type { Channel } from "./ports.ts";

/**
 * Where members talk on NATS: `coffer.<cluster>.<group>.<channel>.<to>.<from>`. The server's
 * permissions hold each member to its own name as `<from>` when it publishes and as `<to>` when it
 * subscribes, so a subject says truly who sent a frame.
 */

export const CHANNELS: readonly Channel[] = ["raft", "fwd", "snap"];

/** Which cluster and Raft group the members talk in. */
export interface Place {
  /** The cluster id in 16 hex digits. */
  readonly cluster: string;
  readonly group: string;
}

const NAME = /^[a-z0-9-]{1,63}$/;

/** Whether `name` may name a member: it is a word of subjects and a label of a DNS name. */
export function isMemberName(name: string): boolean {
  return NAME.test(name);
}

export function subjectOf(
  place: Place,
  channel: Channel,
  route: { readonly to: string; readonly from: string },
): string {
  return `coffer.${place.cluster}.${place.group}.${channel}.${route.to}.${route.from}`;
}

/** All that others send to `name`: what it subscribes to. */
export function inboundSubject(place: Place, name: string): string {
  return `coffer.${place.cluster}.${place.group}.*.${name}.*`;
}

/** All that `name` sends to others: what it may publish to. */
export function outboundSubject(place: Place, name: string): string {
  return `coffer.${place.cluster}.${place.group}.*.*.${name}`;
}
