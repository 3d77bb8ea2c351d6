import type { EdgeVersions } from "../edge/mod.ts";
import type { Versions } from "../api/mod.ts";

/** What clients are told beside Coffer's own version: kube-apiserver and kubeadm decide by these. */
export function versionsOf(coffer: string): Versions & EdgeVersions {
  return { etcd: "3.6.14", cluster: "3.6.0", storage: "3.6.0", coffer };
}
