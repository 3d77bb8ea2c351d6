import assert from "node:assert/strict";
import { test } from "node:test";
import type { TenantId } from "../../src/core/types/mod.ts";
import { type RequestContext, linearize } from "../../src/edge/gate.ts";
import { CofferError } from "../../src/errors.ts";

/** What a member learns while a request waits for it to catch up. */

interface Learned {
  readonly failure?: CofferError;
  readonly suspended?: boolean;
  /** Of the tenant that has the name now. */
  readonly id?: string;
}

/** A request in a scope of a member that learns `learned` before it has caught up. */
function waiting(scope: string, learned: Learned): RequestContext {
  let known: Learned = {};
  const readIndex = async (): Promise<void> => {
    await Promise.resolve();
    known = learned;
  };
  const state = {
    tenantByName: () => ({ id: known.id ?? "t1", suspended: known.suspended ?? false }),
    credentialRevision: () => 1,
  };
  const deps = {
    node: { readIndex, state },
    identity: { recheck: () => known.failure },
    formerTenants: { lastOf: () => undefined },
  };
  const principal = { tenant: "acme", tenants: "*" };
  const context = { deps, caller: {}, principal, scope: scope as TenantId };
  return context as unknown as RequestContext;
}

test("refusal 33: credentials that were revoked while a member caught up are refused by it", async () => {
  const failure = new CofferError("invalid-token");
  await assert.rejects(linearize(waiting("t1", { failure })), failure);
  await linearize(waiting("t1", {}));
  // The scope is still to be found: it is asked about when it is.
  await linearize(waiting("", { failure }));
});

test("a tenant that was suspended while a member caught up is not served by it", async () => {
  await assert.rejects(linearize(waiting("t1", { suspended: true })), { code: "tenant-suspended" });
});

test("a tenant that another has the name of meanwhile is not served under that name", async () => {
  await linearize(waiting("t1", { id: "t1" }));
  await assert.rejects(linearize(waiting("t1", { id: "t2" })), { code: "permission-denied" });
});
