/**
 * Messages above what NATS takes at once are cut into parts, sent one behind the other. The receiver
 * puts them together again, one message at a time for each peer and channel: a gap or the next
 * message ends the one under way, since frames are never sent twice.
 */

/** The longest message. Memory for one is held per peer and channel, as its parts arrive. */
export const MESSAGE_BYTES_MAX: number = 80 * 1024 * 1024;

export type Joined =
  | { readonly kind: "whole"; readonly message: Uint8Array }
  | { readonly kind: "waiting" }
  | { readonly kind: "too-large" };

export class PartJoiner {
  #parts: Uint8Array[] = [];
  #total = 0;
  #bytes = 0;

  /** Takes the part that begins at `offset` of a message of `total` bytes. */
  add(part: Uint8Array, total: number, offset: number): Joined {
    if (total > MESSAGE_BYTES_MAX) {
      this.clear();
      return { kind: "too-large" };
    }
    if (offset === 0) {
      this.clear();
      this.#total = total;
    }
    const fits = offset === this.#bytes && total === this.#total && offset + part.length <= total;
    if (!fits || part.length === 0) {
      this.clear();
      return { kind: "waiting" };
    }
    this.#parts.push(part);
    this.#bytes += part.length;
    if (this.#bytes < total) return { kind: "waiting" };
    const message = Buffer.concat(this.#parts);
    this.clear();
    return { kind: "whole", message };
  }

  clear(): void {
    this.#parts = [];
    this.#total = 0;
    this.#bytes = 0;
  }
}
