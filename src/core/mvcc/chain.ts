import type { Actor, TenantId, WatchEvent } from "../types/mod.ts";

/** SHA-256 of bytes: 32 bytes. Injected, as the core imports nothing. */
export type Hash = (bytes: Uint8Array) => Uint8Array;

/** Records longer than this enter the chain by their own hash instead of whole. */
const INLINE_RECORD_BYTES = 4096;

/** What a revision says, in the order it is hashed. */
export interface ChainLink {
  readonly previous: Uint8Array;
  readonly revision: number;
  readonly actor: Actor;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly events: readonly Pick<WatchEvent, "type" | "kv">[];
}

export interface Chain {
  /** The hash at revision 1, before any change. */
  first(tenant: TenantId): Uint8Array;
  /** H(r) of all changes of revision r: one hash, as hashing each change alone costs twice. */
  next(link: ChainLink): Uint8Array;
}

/**
 * The hash chain of a tenant's history (design.md section 5). Every field is of fixed width or has its
 * length before it, so no two different histories give the same bytes. Texts go in as UTF-16 units.
 */
export function createChain(hash: Hash): Chain {
  const buffer = new ChainBuffer();
  return {
    first(tenant) {
      buffer.reset();
      buffer.text("coffer history v1");
      buffer.text(tenant);
      return hash(buffer.bytes());
    },
    next(link) {
      buffer.reset();
      buffer.blob(link.previous);
      buffer.integer(link.revision);
      buffer.integer(link.time);
      buffer.text(link.actor.issuer);
      buffer.text(link.actor.subject);
      buffer.text(link.actor.requestId);
      buffer.integer(link.events.length);
      for (const { type, kv } of link.events) {
        buffer.integer(type === "put" ? 1 : 2);
        buffer.byteString(kv.key);
        buffer.integer(kv.createRevision);
        buffer.integer(kv.version);
        buffer.signed(kv.lease);
        const inline = kv.value.length <= INLINE_RECORD_BYTES;
        buffer.integer(kv.value.length);
        buffer.blob(inline ? kv.value : hash(kv.value));
      }
      return hash(buffer.bytes());
    },
  };
}

/** A growing buffer, used again for each link. */
class ChainBuffer {
  #bytes = new Uint8Array(8192);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  reset(): void {
    this.#length = 0;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A non-negative safe integer in eight bytes. */
  integer(value: number): void {
    this.#reserve(8);
    this.#view.setUint32(this.#length, Math.floor(value / 4294967296));
    this.#view.setUint32(this.#length + 4, value >>> 0);
    this.#length += 8;
  }

  signed(value: bigint): void {
    if (value === 0n) return this.integer(0);
    this.#reserve(8);
    this.#view.setBigInt64(this.#length, value);
    this.#length += 8;
  }

  blob(value: Uint8Array): void {
    this.integer(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  byteString(value: string): void {
    this.integer(value.length);
    this.#reserve(value.length);
    const bytes = this.#bytes;
    const start = this.#length;
    for (let i = 0; i < value.length; i++) bytes[start + i] = value.charCodeAt(i);
    this.#length += value.length;
  }

  text(value: string): void {
    this.integer(value.length);
    this.#reserve(value.length * 2);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i);
      bytes[at++] = unit >>> 8;
      bytes[at++] = unit & 0xff;
    }
    this.#length = at;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    grown.set(this.bytes());
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
