/** Everything for a laptop, and the files of a cluster on machines of its own. */
export {
  type ClusterFile,
  type ClusterFolderOptions,
  type ClusterPlan,
  ensureClusterFolder,
  NATS_CONFIG_NAME,
  type NatsPlace,
  readPlan,
} from "./cluster-folder.ts";
export { type ClusterOrder, initCluster, type InitOutcome } from "./init-cluster.ts";
export { Leash } from "./leash.ts";
export type { DevCluster, DevHost } from "./dev-host.ts";
export { startDev } from "./run-dev.ts";
