import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ServerConfig } from "../config/mod.ts";
import { CofferError } from "../errors.ts";
import { createRootKeyFile } from "../seal/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/**
 * A new cluster of one makes its root key where the operator pointed. With data there already, a
 * missing file is a mistake that a new key would make worse; and members of a cluster have one root
 * key together, so none of them may make its own.
 */
export function ensureRootKey(config: ServerConfig, log: Logger): void {
  if (existsSync(config.rootKeyFile)) return;
  const missing = `key file '${config.rootKeyFile}' is not there`;
  const hasData = ["state.db", "raft.db"].some((name) => existsSync(join(config.dataDir, name)));
  if (hasData) {
    throw new CofferError(
      "sealed",
      `${missing}, and "${config.dataDir}" holds data that only ` +
        "its key opens; restore the file from its backup or name it with --root-key-file",
    );
  }
  if (config.initialCluster.length > 1 || config.initialClusterState === "existing") {
    throw new CofferError(
      "sealed",
      `${missing}, and all members of a cluster have the same one; make it once with ` +
        "coffer pki init, or copy it from another member",
    );
  }
  createRootKeyFile(config.rootKeyFile);
  log.warn("Root key made: back this file up, without it the data cannot be opened", {
    file: config.rootKeyFile,
  });
}
