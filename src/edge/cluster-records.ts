import { CLUSTER_SCOPE, type RecordChange } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import {
  type RequestContext,
  authoriseOperator,
  linearize,
  proposeChecked,
  resultOf,
} from "./gate.ts";
import type { AdminMatter } from "./ports.ts";

/** Records that are the cluster's: issuers, certificate rules, keys. */

/** Goes to the cluster's scope, whichever tenant the operator came by. */
export async function enterCluster(context: RequestContext): Promise<void> {
  await linearize(context);
  context.scope = CLUSTER_SCOPE;
}

/**
 * Changes one record as the operator that may administer `matter`. `check` is asked before each try. Where
 * the record is not as `wanted.expect` says, `unexpected` is thrown.
 */
export async function changeClusterRecord(
  context: RequestContext,
  change: {
    readonly matter: AdminMatter;
    readonly wanted: RecordChange;
    readonly check?: () => void;
    readonly unexpected: () => CofferError;
  },
): Promise<void> {
  const { matter, wanted, check, unexpected } = change;
  try {
    const result = await proposeChecked(context, () => {
      authoriseOperator(context, matter);
      check?.();
      return { kind: "records", changes: [wanted] };
    });
    resultOf(result, "done");
  } catch (error) {
    const isUnexpected =
      error instanceof CofferError && ["already-exists", "not-found"].includes(error.code);
    throw isUnexpected ? unexpected() : error;
  }
}
