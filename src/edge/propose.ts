import type { ApplyResult, Command } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { refuseMeanwhile } from "./credentials.ts";
import { type RequestContext, isDenied, linearize } from "./gate.ts";

/** The one way to change state for a caller: at the policy and the credentials that it was checked by. */

/** How often a write is checked and proposed again because what it was checked by moved under it. */
const STALE_RETRIES_MAX = 64;

type Stale = { readonly kind: "stale-policy" } | { readonly kind: "stale-credentials" };

/**
 * Checks, then proposes at the revisions of the check; apply refuses stale ones. Then the caller's
 * credentials are asked for again in the newest state, and the check runs again. `prepare` authorises and
 * returns the command. It refuses by the newest policy only: a right that another member has just granted
 * may not have come here yet. Rejects with `timeout` past STALE_RETRIES_MAX.
 */
export async function proposeChecked(
  context: RequestContext,
  prepare: () => Command | Promise<Command>,
): Promise<Exclude<ApplyResult, { kind: "error" } | Stale>> {
  const { deps } = context;
  const noted = context.rights.length;
  let isNewest = false;
  for (let tries = 0; tries < STALE_RETRIES_MAX; tries++) {
    // The check notes what it asks anew.
    context.rights.length = noted;
    let command: Command;
    try {
      const prepared = prepare();
      command = prepared instanceof Promise ? await prepared : prepared;
    } catch (error) {
      if (isNewest || !isDenied(error)) throw error;
      isNewest = true;
      await linearize(context);
      continue;
    }
    const result = await deps.node.propose({
      tenant: context.scope,
      policyRevision: context.policyRevision,
      credentialRevision: context.credentialRevision,
      actor: context.actor,
      command,
    });
    if (result.kind === "error") throw new CofferError(result.code, result.detail);
    if (result.kind === "stale-policy") deps.metrics.policyRetries.inc();
    else if (result.kind === "stale-credentials") deps.metrics.credentialRetries.inc();
    else return result;
    await linearize(context);
    // A member that is alone waits for nothing, and has not asked.
    refuseMeanwhile(context);
  }
  throw new CofferError("timeout");
}
