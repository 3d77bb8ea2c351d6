import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Versions } from "../api/mod.ts";

/** Coffer's own version, as package.json has it. */
export const COFFER_VERSION: string = readVersion();

/** What clients are told: kube-apiserver and kubeadm decide by these. */
export const VERSIONS: Versions & { readonly storage: string } = {
  etcd: "3.6.14",
  cluster: "3.6.0",
  storage: "3.6.0",
  coffer: COFFER_VERSION,
};

function readVersion(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const manifest = read(join(at, "package.json"));
    if (manifest !== undefined) {
      return String((JSON.parse(manifest) as { readonly version?: unknown }).version ?? "unknown");
    }
    if (dirname(at) === at) return "unknown";
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
