import { type DevFolder, writeEnv } from "./dev-folder.ts";
import type { DevHost } from "./dev-host.ts";
import type { DevPki } from "./dev-pki.ts";

/** Who may use a laptop's cluster and how: the env file, its token kept fresh. */
export interface DevAccess {
  stop(): void;
}

export interface AccessDeps {
  readonly folder: DevFolder;
  readonly pki: DevPki;
  readonly endpoints: readonly string[];
  readonly issueToken: (order: {
    readonly subject: string;
    readonly tenants: readonly string[];
    readonly ttlSeconds: number;
  }) => Promise<string>;
  readonly host: Pick<DevHost, "log" | "print">;
}

const TOKEN_TTL_SECONDS = 30 * 24 * 3600;
const TOKEN_RENEWAL_MS = 24 * 3600 * 1000;

/** Writes the env file, tells that the cluster is ready, and renews the token each day. */
export async function keepAccess(deps: AccessDeps): Promise<DevAccess> {
  const { folder, endpoints, host } = deps;
  await writeAccess(deps);
  // The token of a cluster that runs for weeks must not end under its user.
  const renewal = setInterval(() => {
    writeAccess(deps).catch((cause: unknown) => {
      host.log.warn("The token in the env file could not be renewed", { cause });
    });
  }, TOKEN_RENEWAL_MS);
  renewal.unref();
  host.print(`data in ${folder.path}; root key ${folder.rootKey}: lose it and the data is lost`);
  host.print(`in another terminal: source ${folder.env}`);
  host.print("then: npx coffer put greeting hello; npx coffer get greeting; or use etcdctl");
  host.print(`ready ${endpoints.join(",")}`);
  return { stop: () => clearInterval(renewal) };
}

/** Writes the env file with a fresh token. */
async function writeAccess({ folder, pki, endpoints, issueToken }: AccessDeps): Promise<void> {
  const token = await issueToken({
    subject: "user:admin",
    tenants: ["default", "system"],
    ttlSeconds: TOKEN_TTL_SECONDS,
  });
  const all = endpoints.join(",");
  writeEnv(folder.env, {
    COFFER_ENDPOINTS: all,
    COFFER_CACERT: pki.ca,
    COFFER_CERT: pki.adminCert,
    COFFER_KEY: pki.adminKey,
    COFFER_TOKEN: token,
    ETCDCTL_API: "3",
    ETCDCTL_ENDPOINTS: all,
    ETCDCTL_CACERT: pki.ca,
    ETCDCTL_CERT: pki.adminCert,
    ETCDCTL_KEY: pki.adminKey,
  });
}
