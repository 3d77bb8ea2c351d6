/**
 * Verified tokens by their digest, bounded in all and fair among tenants: while it is full, a tenant
 * that holds more than its share loses its own oldest, so a flood of one tenant's tokens does not make
 * the others' be verified again and again.
 */
export class TokenCache<Entry extends { readonly tenant: string }> {
  readonly #max: number;
  readonly #entries = new Map<string, Entry>();
  /** Digests by tenant, the oldest first. Invariant: exactly those in `#entries`, none empty. */
  readonly #tenants = new Map<string, Set<string>>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(digest: string): Entry | undefined {
    return this.#entries.get(digest);
  }

  set(digest: string, entry: Entry): void {
    this.delete(digest);
    this.#entries.set(digest, entry);
    const own = this.#tenants.get(entry.tenant) ?? new Set();
    this.#tenants.set(entry.tenant, own.add(digest));
    if (this.#entries.size > this.#max) this.#evict(own);
  }

  delete(digest: string): void {
    const known = this.#entries.get(digest);
    if (known === undefined) return;
    this.#entries.delete(digest);
    const own = this.#tenants.get(known.tenant);
    own?.delete(digest);
    if (own?.size === 0) this.#tenants.delete(known.tenant);
  }

  #evict(own: ReadonlySet<string>): void {
    let from = own;
    if (own.size <= this.#max / this.#tenants.size) {
      for (const digests of this.#tenants.values()) if (digests.size > from.size) from = digests;
    }
    for (const oldest of from) {
      this.delete(oldest);
      break;
    }
  }
}
