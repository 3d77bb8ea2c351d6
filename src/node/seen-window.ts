/** Numbers that are told apart; of one that is further behind the newest, nothing is known. */
const WINDOW_NUMBERS = 65_536;

/** What the leader knows of the number of a batch. */
export type Seen = "new" | "taken" | "refused" | "too-old";

/**
 * The batches that one life of another member has forwarded in this term, by their numbers: each is
 * taken at most once, however often it is sent again. A sliding window, as receivers of sealed
 * packets keep it (RFC 4303 §3.4.3): what has left it is not taken, as it may have been.
 */
export class SeenWindow {
  #newest = 0;
  readonly #seen = new Uint8Array(WINDOW_NUMBERS / 8);
  readonly #refused = new Uint8Array(WINDOW_NUMBERS / 8);

  look(seq: number): Seen {
    if (seq > this.#newest) return "new";
    if (seq <= this.#newest - WINDOW_NUMBERS) return "too-old";
    if (!has(this.#seen, seq)) return "new";
    return has(this.#refused, seq) ? "refused" : "taken";
  }

  /** The batch of a "new" number was appended, or refused: one of them for ever. */
  note(seq: number, outcome: "taken" | "refused"): void {
    this.#moveTo(seq);
    set(this.#seen, seq);
    if (outcome === "refused") set(this.#refused, seq);
  }

  #moveTo(seq: number): void {
    if (seq <= this.#newest) return;
    if (seq - this.#newest >= WINDOW_NUMBERS) {
      this.#seen.fill(0);
      this.#refused.fill(0);
    } else {
      for (let passed = this.#newest + 1; passed <= seq; passed++) {
        clear(this.#seen, passed);
        clear(this.#refused, passed);
      }
    }
    this.#newest = seq;
  }
}

function has(bits: Uint8Array, seq: number): boolean {
  const at = seq % WINDOW_NUMBERS;
  return ((bits[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
}

function set(bits: Uint8Array, seq: number): void {
  const at = seq % WINDOW_NUMBERS;
  bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
}

function clear(bits: Uint8Array, seq: number): void {
  const at = seq % WINDOW_NUMBERS;
  bits[at >> 3] = (bits[at >> 3] ?? 0) & ~(1 << (at & 7));
}
