/** Everything for a laptop. */
export { type DevCluster, type DevHost, startDev } from "./run-dev.ts";
