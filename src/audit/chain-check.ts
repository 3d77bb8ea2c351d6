import { type ChainHead, GENESIS } from "./record.ts";

export interface ChainExpectation {
  /** Places that trusted checkpoints name. */
  readonly checkpoints: readonly SignedPlace[];
  /** What a first record that is not record 1 may follow beside them: any, where nothing can tell. */
  readonly anyBegin?: boolean;
}

export interface SignedPlace extends ChainHead {
  /** When it was signed: milliseconds since the epoch. */
  readonly time: number;
}

/** What a record says beside its place. */
export interface Said {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** It tells of no request: see MARK_ACTION. */
  readonly isMark: boolean;
}

/** Judges the records of one chain in their order. */
export class ChainCheck {
  /** Records that the checkpoints name, and that have not come yet. */
  readonly #expected: Set<number>;
  readonly #places: ReadonlyMap<number, SignedPlace>;
  readonly #anyBegin: boolean;
  /** The first record; 0 before there is one. */
  first = 0;
  head: ChainHead = GENESIS;
  records = 0;
  /** The last record that a checkpoint proves, and all before it with it; 0: none. */
  proven = 0;
  /** When that checkpoint was signed. */
  provenTime: number | undefined;
  /** Records after it, without marks. */
  unsigned = 0;
  /** The time of the first of those. */
  unsignedSince: number | undefined;

  constructor({ checkpoints, anyBegin = false }: ChainExpectation) {
    this.#places = new Map(checkpoints.map((place) => [place.seq, place]));
    this.#expected = new Set(this.#places.keys());
    this.#anyBegin = anyBegin;
  }

  /** Takes the next record; the reason why it is bad. */
  next({ seq, hash }: ChainHead, prevHash: string, said: Said): string | undefined {
    const begins = this.records === 0 && this.#mayBegin(seq, prevHash);
    const wanted = this.head.seq + 1;
    if (!begins) {
      if (seq > wanted) return this.#missing(wanted, seq);
      if (seq < wanted) return `it is out of order: record ${seq} where ${wanted} should be`;
      if (prevHash !== this.head.hash) {
        return "it does not follow the record before it, which was edited or replaced";
      }
    }
    const checkpoint = this.#places.get(seq);
    if (checkpoint !== undefined && checkpoint.hash !== hash) {
      return `it is not the record ${seq} that the checkpoint signed`;
    }
    const before = this.#places.get(seq - 1);
    if (begins && before?.hash === prevHash) this.#prove(before);
    this.#count(said);
    this.#prove(checkpoint);
    if (this.records === 0) {
      this.first = seq;
      // What lies before the beginning was removed, and cannot be looked for.
      for (const named of this.#expected) if (named < seq) this.#expected.delete(named);
    }
    this.#expected.delete(seq);
    this.head = { seq, hash };
    this.records++;
    return undefined;
  }

  end(): string | undefined {
    const lost = [...this.#expected].find((seq) => seq > this.head.seq);
    if (lost === undefined) return undefined;
    return `the log ends at record ${this.head.seq}, but a checkpoint signed record ${lost}`;
  }

  #prove(checkpoint: SignedPlace | undefined): void {
    if (checkpoint === undefined) return;
    this.proven = checkpoint.seq;
    this.provenTime = checkpoint.time;
    this.unsigned = 0;
    this.unsignedSince = undefined;
  }

  #count({ time, isMark }: Said): void {
    if (isMark) return;
    this.unsigned++;
    this.unsignedSince ??= time;
  }

  #mayBegin(seq: number, prevHash: string): boolean {
    if (seq === 1) return prevHash === GENESIS.hash;
    return this.#anyBegin || this.#places.get(seq - 1)?.hash === prevHash;
  }

  #missing(wanted: number, seq: number): string {
    const text = `records ${wanted} to ${seq - 1} before it are missing`;
    return this.records > 0 ? text : `${text}, and no checkpoint of record ${seq - 1} is known`;
  }
}
