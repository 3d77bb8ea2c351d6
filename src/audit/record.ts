import { hash } from "node:crypto";
import { quoteBytes, quoteText } from "./escape.ts";

/** Who asked. Kept as one object between the requests of a verified identity, it is rendered once. */
export interface AuditActor {
  /** "", as the subject is, where nobody is known to ask. */
  readonly issuer: string;
  readonly subject: string;
  readonly groups: readonly string[];
  /** The token's `jti`, of which only the hash is written. */
  readonly tokenId?: string | undefined;
}

/** One request, refusal or login, as the edge tells it. Never holds a value or a token. */
export interface AuditEvent {
  /** "" when the request reached none. */
  readonly tenant: string;
  /** The tenant's revision that the request saw or made; 0 if it reached none. */
  readonly revision: number;
  readonly policyRevision: number;
  readonly requestId: string;
  readonly actor: AuditActor;
  /** x5t#S256; "": no certificate. */
  readonly certThumbprint: string;
  readonly peerAddress: string;
  readonly action: string;
  /** Byte strings, one char per byte. */
  readonly key: string;
  readonly rangeEnd: string;
  /**
   * What was asked of the policy: `[action]` on the record's own key and range, or
   * `[action, key, rangeEnd]`, byte strings.
   */
  readonly rights?: readonly (readonly string[])[];
  /**
   * `unknown`: nobody knows what its client was answered. A write that was committed while its member
   * stopped, whose record was made at the next start; or a request that was under way as the log could
   * not be written, and was recorded later.
   */
  readonly outcome: "ok" | "refused" | "failed" | "unknown";
  readonly reason: string;
}

/** The action of records in which a member notes how far it is in the log of the cluster. */
export const MARK_ACTION = "log-mark";

/** A place in a chain: the record `seq` has the hash `hash` (SHA-256, hexadecimal). */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** What the first record of a chain points back to. */
export const GENESIS: ChainHead = { seq: 0, hash: "0".repeat(64) };

/** The names of a tenant's view of a line in their order; the order is part of the format. */
const VIEW_NAMES: readonly string[] = [
  "time",
  "member",
  "tenant",
  "tenantSeq",
  "revision",
  "policyRevision",
  "requestId",
  "actor",
  "certThumbprint",
  "peer",
  "action",
  "key",
  "rangeEnd",
  "rights",
  "outcome",
  "reason",
  "tenantPrevHash",
  "recordHash",
];
/** And what a member's own line has after them. */
const LINE_NAMES: readonly string[] = [...VIEW_NAMES, "seq", "prevHash", "hash"];

/** What is the same in many lines, rendered once: the member, this millisecond, who asked. */
export interface LineContext {
  /** The member's id as a JSON string. */
  readonly member: string;
  readonly timeOf: (now: number) => string;
  readonly actorOf: (actor: AuditActor) => string;
}

export function createLineContext(memberId: string): LineContext {
  let lastMs = Number.NaN;
  let lastText = "";
  const rendered = new WeakMap<AuditActor, string>();
  return {
    member: quoteText(memberId),
    timeOf: (now) => {
      if (now !== lastMs) {
        lastMs = now;
        lastText = new Date(now).toISOString();
      }
      return lastText;
    },
    actorOf: (actor) => {
      const known = rendered.get(actor);
      if (known !== undefined) return known;
      const made = renderActor(actor);
      rendered.set(actor, made);
      return made;
    },
  };
}

function renderActor({ issuer, subject, groups, tokenId = "" }: AuditActor): string {
  return (
    `{"issuer":${quoteText(issuer)},"subject":${quoteText(subject)}` +
    `,"groups":${renderGroups(groups)},"jtiHash":"${tokenId === "" ? "" : tokenIdHash(tokenId)}"}`
  );
}

/** Groups that a line names: more than any token within its size limit holds of sensible names. */
const GROUPS_MAX = 128;

function renderGroups(groups: readonly string[]): string {
  const kept = groups.slice(0, GROUPS_MAX).map(quoteText);
  if (groups.length > GROUPS_MAX) kept.push(quoteText(`\\...(${groups.length} groups)`));
  return `[${kept.join(",")}]`;
}

/** Rights, and characters of them, that a line names; those of a larger transaction are cut with a note. */
const RIGHTS_MAX = 64;
const RIGHTS_CHARS_MAX = 32 * 1024;

function renderRights(rights: readonly (readonly string[])[]): string {
  let text = "";
  let count = 0;
  for (const right of rights) {
    if (count === RIGHTS_MAX || text.length > RIGHTS_CHARS_MAX) {
      return `[${text},["...",${quoteText(`${rights.length} rights`)}]]`;
    }
    text += `${count === 0 ? "" : ","}[${right.map(quoteBytes).join(",")}]`;
    count++;
  }
  return `[${text}]`;
}

/** The `jtiHash` of a token id, so that one who has a token can find its records. */
export function tokenIdHash(tokenId: string): string {
  return hash("sha256", tokenId, "hex");
}

/** The place of a record in both its chains. */
export interface RecordPlace {
  /** In the chain of the member. */
  readonly member: ChainHead;
  readonly tenant: string;
  /** In the chain of the tenant's records on this member; its hash is the record's own. */
  readonly ofTenant: ChainHead;
}

/**
 * The line of `event`, without its line feed, after `prev` in the member's chain and `tenantPrev` in its
 * tenant's. `recordHash` covers all of the line before it: what the tenant may see, the hash of its
 * record before included. `hash` covers `recordHash`, `seq` and `prevHash`.
 */
export function renderLine(
  context: LineContext,
  event: AuditEvent,
  now: number,
  { member: prev, ofTenant: tenantPrev }: Omit<RecordPlace, "tenant">,
): { readonly member: ChainHead; readonly ofTenant: ChainHead; readonly line: string } {
  const seq = prev.seq + 1;
  const tenantSeq = tenantPrev.seq + 1;
  // Concatenated by hand: JSON.stringify of the object costs three times as much, and this is on
  // the path of every request.
  const body =
    `{"time":"${context.timeOf(now)}","member":${context.member}` +
    `,"tenant":${quoteText(event.tenant)},"tenantSeq":${tenantSeq},"revision":${event.revision}` +
    `,"policyRevision":${event.policyRevision},"requestId":${quoteText(event.requestId)}` +
    `,"actor":${context.actorOf(event.actor)}` +
    `,"certThumbprint":${quoteText(event.certThumbprint)},"peer":${quoteText(event.peerAddress)}` +
    `,"action":${quoteText(event.action)},"key":${quoteBytes(event.key)}` +
    `,"rangeEnd":${quoteBytes(event.rangeEnd)},"rights":${renderRights(event.rights ?? [])}` +
    `,"outcome":"${event.outcome}"` +
    `,"reason":${quoteText(event.reason)},"tenantPrevHash":"${tenantPrev.hash}"`;
  const recordHash = hash("sha256", body, "hex");
  const place = `,"recordHash":"${recordHash}","seq":${seq},"prevHash":"${prev.hash}"`;
  const digest = hash("sha256", place, "hex");
  return {
    member: { seq, hash: digest },
    ofTenant: { seq: tenantSeq, hash: recordHash },
    line: `${body}${place},"hash":"${digest}"}`,
  };
}

/** The end of a member's line: from the hash of what the tenant sees on. */
const LINE_END =
  /,"recordHash":"([0-9a-f]{64})"(?:,"seq":(\d{1,16}),"prevHash":"([0-9a-f]{64})","hash":"([0-9a-f]{64})")?\}$/;
/** The longest that `LINE_END` matches. */
const LINE_END_CHARS = 275;

/** A line of an audit log of an early build. */
const EARLY_LINE = /^\{"seq":\d{1,16},"time".*,"prevHash":"[0-9a-f]{64}","hash":"[0-9a-f]{64}"\}$/;

export function isEarlyLine(line: string): boolean {
  return EARLY_LINE.test(line);
}

/** What a tenant may see of a member's line: all but its place among the records of others. */
export function viewOf(line: string): string {
  const end = LINE_END.exec(line.slice(-LINE_END_CHARS));
  if (end?.[1] === undefined || end[2] === undefined) return line;
  const body = line.slice(0, line.length - end[0].length);
  return `${body},"recordHash":"${end[1]}"}`;
}

export type LineReading =
  | {
      readonly ok: true;
      readonly memberId: string;
      /** The record before it in the tenant's chain. */
      readonly tenantPrevHash: string;
      readonly tenant: string;
      readonly ofTenant: ChainHead;
      /** Its place in the member's chain; undefined in a tenant's view. */
      readonly member: (ChainHead & { readonly prevHash: string }) | undefined;
      readonly record: Readonly<Record<string, unknown>>;
    }
  | { readonly ok: false; readonly reason: string };

const NO_RECORD = { ok: false, reason: "it is not an audit record" } as const;
const EDITED = { ok: false, reason: "it was edited: its hash does not match its content" } as const;

/** Checks a line, or a tenant's view of one, by itself: its own hashes, its form. */
export function readLine(line: string): LineReading {
  const end = LINE_END.exec(line.slice(-LINE_END_CHARS));
  if (end?.[1] === undefined) return NO_RECORD;
  const [text, recordHash, seq, prevHash, digest] = end;
  if (hash("sha256", line.slice(0, line.length - text.length), "hex") !== recordHash) return EDITED;
  const record = parsed(line);
  if (record === undefined) return NO_RECORD;
  const names = seq === undefined ? VIEW_NAMES : LINE_NAMES;
  if (Object.keys(record).join() !== names.join()) return NO_RECORD;
  const { tenant, tenantSeq, tenantPrevHash, member } = record;
  const isPlace = Number.isSafeInteger(tenantSeq) && typeof tenantPrevHash === "string";
  if (!isPlace || typeof tenant !== "string" || typeof member !== "string") return NO_RECORD;
  const common = {
    ok: true,
    memberId: member,
    tenant,
    tenantPrevHash,
    ofTenant: { seq: Number(tenantSeq), hash: recordHash },
    record,
  } as const;
  if (seq === undefined || prevHash === undefined || digest === undefined) {
    return { ...common, member: undefined };
  }
  const place = `,"recordHash":"${recordHash}","seq":${seq},"prevHash":"${prevHash}"`;
  if (hash("sha256", place, "hex") !== digest) return EDITED;
  return { ...common, member: { seq: Number(seq), hash: digest, prevHash } };
}

/** The member's sequence number of a line; 0 of one that is none of ours. */
export function seqOf(line: string): number {
  return Number(LINE_END.exec(line.slice(-LINE_END_CHARS))?.[2] ?? 0);
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}
