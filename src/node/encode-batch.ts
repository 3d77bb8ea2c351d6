import { CofferError } from "../errors.ts";
import { type BatchHeader, encodeProposals } from "../wire/mod.ts";
import type { Waiting } from "./proposal-queue.ts";

/**
 * One entry's data. A proposal that cannot be written is refused by itself: what one client sent must
 * not take the others' writes with it.
 */
export function encodeBatch(
  header: BatchHeader,
  batch: readonly Waiting[],
): {
  readonly data: Uint8Array;
  readonly good: readonly Waiting[];
  readonly bad: readonly Waiting[];
} {
  try {
    return { data: encode(header, batch), good: batch, bad: [] };
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
  }
  const good: Waiting[] = [];
  const bad: Waiting[] = [];
  for (const waiting of batch) {
    try {
      encode(header, [waiting]);
      good.push(waiting);
    } catch (error) {
      if (!(error instanceof CofferError)) throw error;
      waiting.reject(error);
      bad.push(waiting);
    }
  }
  return { data: encode(header, good), good, bad };
}

function encode(header: BatchHeader, batch: readonly Waiting[]): Uint8Array {
  return encodeProposals(
    header,
    batch.map((waiting) => waiting.proposal),
  );
}
