/** What a checker says. "unknown" (out of time, nothing to check) counts as a failure of the run. */
export interface Verdict {
  /** Numbers of raft.md's properties, such as "G3". */
  readonly property: string;
  readonly title: string;
  readonly state: "ok" | "violated" | "unknown";
  /** How many things were looked at. */
  readonly checked: number;
  /** The smallest explanations, at most `FINDINGS_MAX`. */
  readonly findings: readonly string[];
}

const FINDINGS_MAX = 5;

/** Collects what one check finds. */
export class Findings {
  readonly #property: string;
  readonly #title: string;
  readonly #found: string[] = [];
  #count = 0;
  #checked = 0;
  #unknown: string | undefined;

  constructor(property: string, title: string) {
    this.#property = property;
    this.#title = title;
  }

  checked(count = 1): void {
    this.#checked += count;
  }

  /** Counts a thing looked at, and a violation unless `holds`. */
  expect(holds: boolean, explain: () => string): void {
    this.#checked++;
    if (!holds) this.violated(explain());
  }

  violated(text: string): void {
    this.#count++;
    if (this.#found.length < FINDINGS_MAX) this.#found.push(text);
  }

  /** The check could not be finished. */
  unknown(text: string): void {
    this.#unknown ??= text;
  }

  get verdict(): Verdict {
    const base = { property: this.#property, title: this.#title, checked: this.#checked };
    if (this.#count > 0) {
      const more = this.#count - this.#found.length;
      const rest = more > 0 ? [`and ${more} more`] : [];
      return { ...base, state: "violated", findings: [...this.#found, ...rest] };
    }
    if (this.#unknown !== undefined) {
      return { ...base, state: "unknown", findings: [this.#unknown] };
    }
    return { ...base, state: "ok", findings: [] };
  }
}
