import { CofferError } from "../errors.ts";
import {
  type ClusterFile,
  type ClusterPlan,
  ensureClusterFolder,
  readPlan,
} from "./cluster-folder.ts";

/**
 * What `coffer pki init` was told; what it was not is as it was the last time, or the default. Hosts
 * are kept for each name on its own.
 */
export interface ClusterOrder {
  readonly folder: string;
  readonly members: readonly string[] | undefined;
  readonly nats: readonly string[] | undefined;
  readonly hosts: ClusterPlan["hosts"] | undefined;
  readonly clusterToken: string | undefined;
  readonly force: boolean;
}

export interface InitOutcome {
  readonly folder: string;
  readonly members: readonly string[];
  readonly nats: readonly string[];
  readonly files: readonly ClusterFile[];
}

const DEFAULT_MEMBERS = ["m1", "m2", "m3"];
const DEFAULT_NATS = ["n1", "n2", "n3"];
const DEFAULT_TOKEN = "coffer";

/** `coffer pki init`. Throws `invalid-argument`. */
export function initCluster(order: ClusterOrder): InitOutcome {
  const { folder, force } = order;
  const last = readPlan(folder);
  const members = order.members ?? last?.members ?? DEFAULT_MEMBERS;
  const nats = order.nats ?? last?.nats ?? (members.length > 1 ? DEFAULT_NATS : []);
  const known = Object.entries(last?.hosts ?? {}).filter(([name]) =>
    [...members, ...nats].includes(name),
  );
  const plan: ClusterPlan = {
    clusterToken: order.clusterToken ?? last?.clusterToken ?? DEFAULT_TOKEN,
    members,
    nats,
    hosts: { ...Object.fromEntries(known), ...order.hosts },
  };
  if (last !== undefined && plan.clusterToken !== last.clusterToken && !force) {
    throw new CofferError(
      "invalid-argument",
      `'${folder}' was made with --cluster-token ${last.clusterToken}, and its members answer to ` +
        "that; name another --out, or give --force",
    );
  }
  const files = ensureClusterFolder(folder, plan, { now: Date.now(), force });
  return { folder, members: plan.members, nats: plan.nats, files };
}
