import { CLUSTER_SCOPE, type RecordChange } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { proposeCredentials } from "./credential-turns.ts";
import { admit } from "./credentials.ts";
import { type RequestContext, authoriseOperator, linearize, resultOf } from "./gate.ts";
import type { AdminMatter } from "./ports.ts";

/** Records of the cluster that say whose credentials are good: issuers and certificate rules. */

/** Goes to the cluster's scope, whichever tenant the operator came by. */
export async function enterCluster(context: RequestContext): Promise<void> {
  await linearize(context);
  actOnCluster(context);
}

/** From here on the request is one in the cluster's scope. */
export function actOnCluster(context: RequestContext): void {
  context.scope = CLUSTER_SCOPE;
  admit(context);
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
    const authorise = (): void => authoriseOperator(context, matter);
    const result = await proposeCredentials(context, authorise, () => {
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
