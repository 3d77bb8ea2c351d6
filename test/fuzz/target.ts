import { CofferError } from "../../src/errors.ts";
import type { Prng } from "../../src/stdx/mod.ts";

/** Something that strangers' bytes reach. */
export interface Target {
  readonly name: string;
  /**
   * Draws one input from `random` and gives it to what is tested. Throws what must not happen; the
   * refusal that a wrong input deserves is none of it.
   */
  attempt(random: Prng): void | Promise<void>;
  close?(): Promise<void> | void;
}

export type MakeTarget = () => Target | Promise<Target>;

/** A wrong outcome, with the input that led to it. */
export class Finding extends Error {
  constructor(what: string, input: Uint8Array | string, cause?: unknown) {
    const shown =
      typeof input === "string" ? JSON.stringify(input) : Buffer.from(input).toString("hex");
    super(`${what}\n  input: ${shown}`, { cause });
    this.name = "Finding";
  }
}

/** What `work` returned, or `undefined` if it refused `input` as it should: with a CofferError. */
export function unlessRefused<T>(input: Uint8Array | string, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof CofferError) return undefined;
    throw new Finding(`threw what is no CofferError: ${String(error)}`, input, error);
  }
}

export async function unlessRefusedLater<T>(
  input: Uint8Array | string,
  work: () => T | Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CofferError) return undefined;
    throw new Finding(`rejected with what is no CofferError: ${String(error)}`, input, error);
  }
}
