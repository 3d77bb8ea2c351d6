import { type ChainHead, GENESIS } from "./record.ts";

/**
 * Where each tenant's chain ends on this member: about 300 bytes for each tenant that was ever recorded
 * and whose records are still kept.
 */
export class TenantHeads {
  readonly #heads = new Map<string, ChainHead>();
  /** What `undo` puts back: pairs of a tenant and its head before. */
  #journal: (readonly [string, ChainHead | undefined])[] = [];

  get size(): number {
    return this.#heads.size;
  }

  get(tenant: string): ChainHead {
    return this.#heads.get(tenant) ?? GENESIS;
  }

  /** Moves a head; it holds once it is kept. */
  advance(tenant: string, head: ChainHead): void {
    this.#journal.push([tenant, this.#heads.get(tenant)]);
    this.#heads.set(tenant, head);
  }

  /** What was advanced has been written. */
  keep(): void {
    this.#journal = [];
  }

  /** What was advanced since the last `keep` was not written. */
  undo(): void {
    for (const [tenant, before] of this.#journal.toReversed()) {
      if (before === undefined) this.#heads.delete(tenant);
      else this.#heads.set(tenant, before);
    }
    this.#journal = [];
  }

  /** Sets heads without a journal: at the start. */
  adopt(heads: Iterable<readonly [string, ChainHead]>): void {
    for (const [tenant, head] of heads) this.#heads.set(tenant, head);
  }

  forget(tenant: string): void {
    this.#heads.delete(tenant);
  }

  entries(): readonly (readonly [string, ChainHead])[] {
    return [...this.#heads];
  }
}
