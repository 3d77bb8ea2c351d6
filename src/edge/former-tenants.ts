import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import type { Node } from "../node/mod.ts";

/**
 * When a tenant last gave a name away, by being deleted or renamed. Credentials name tenants by name,
 * so those from before that time were for another tenant. In memory, since every request asks.
 */
export interface FormerTenants {
  /** Whole seconds since the epoch; undefined: no tenant has given up that name. */
  lastOf(name: string): number | undefined;
  close(): void;
}

export function followFormerTenants(node: Pick<Node, "state" | "onRecords">): FormerTenants {
  const { state } = node;
  const times = new Map<string, number>();
  const note = (name: string, data: Uint8Array | undefined): void => {
    if (data === undefined) times.delete(name);
    else times.set(name, Math.floor(Number(Buffer.from(data).toString("latin1")) / 1000));
  };
  const readAll = (): void => {
    times.clear();
    for (const { id, data } of state.records(CLUSTER_SCOPE, "former-tenant")) note(id, data);
  };
  const close = node.onRecords(({ scope, table, ids }) => {
    if (scope !== CLUSTER_SCOPE || table !== "former-tenant") return;
    if (ids === undefined) readAll();
    else for (const id of ids) note(id, state.record(scope, table, id));
  });
  readAll();
  return { lastOf: (name) => times.get(name), close };
}
