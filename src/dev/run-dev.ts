import { CofferError } from "../errors.ts";
import type { DevConfig, ServerConfig } from "../config/mod.ts";
import { loadConfig } from "../config/mod.ts";
import { type Member, startMember } from "../server/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type DevFolder, openDevFolder, writeEnv } from "./dev-folder.ts";
import { type DevPki, ensureDevPki } from "./dev-pki.ts";

export interface DevHost {
  /** Coffer's own version. */
  readonly version: string;
  readonly log: Logger;
  readonly print: (line: string) => void;
  readonly onFatal: (error: unknown) => void;
}

/** A laptop's cluster that runs in this process. */
export interface DevCluster {
  stop(): Promise<void>;
}

const MEMBER_NAME = "m1";
const TOKEN_TTL_SECONDS = 30 * 24 * 3600;
const TOKEN_RENEWAL_MS = 24 * 3600 * 1000;

/** Everything for a laptop: folder, authority, certificates, root key, one member, a token. */
export async function startDev(config: DevConfig, host: DevHost): Promise<DevCluster> {
  if (config.members !== 1) {
    throw new CofferError(
      "invalid-argument",
      "this version runs one member; leave --members out or give --members 1",
    );
  }
  const folder = openDevFolder(config.dataDir, config.reset);
  const pki = ensureDevPki(folder.pki, Date.now());
  const server = serverConfig(config, folder, pki);
  const member = await startMember(server, host);
  try {
    await writeAccess(member, { config, folder, pki });
  } catch (error) {
    await member.stop();
    throw error;
  }
  // The token of a cluster that runs for weeks must not end under its user.
  const renewal = setInterval(() => {
    writeAccess(member, { config, folder, pki }).catch((cause: unknown) => {
      host.log.warn("The token in the env file could not be renewed", { cause });
    });
  }, TOKEN_RENEWAL_MS);
  renewal.unref();
  tellHow(config, folder, host.print);
  return {
    stop: async () => {
      clearInterval(renewal);
      await member.stop();
    },
  };
}

function serverConfig(config: DevConfig, folder: DevFolder, pki: DevPki): ServerConfig {
  const flags = {
    name: MEMBER_NAME,
    "data-dir": folder.memberData(MEMBER_NAME),
    "listen-client-urls": endpoint(config),
    "tls-cert": pki.serverCert,
    "tls-key": pki.serverKey,
    "client-ca": pki.ca,
    "cluster-token": folder.clusterToken,
    "root-key-file": folder.rootKey,
  };
  const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  // The environment is the user's, and is for `coffer server`.
  return loadConfig(argv, {}, () => {
    throw new CofferError("internal", "coffer dev reads no configuration file");
  });
}

/** Writes the env file with a fresh token. */
async function writeAccess(
  member: Member,
  { config, folder, pki }: { config: DevConfig; folder: DevFolder; pki: DevPki },
): Promise<void> {
  const { token } = await member.issueToken({
    subject: "user:admin",
    tenants: ["default", "system"],
    ttlSeconds: TOKEN_TTL_SECONDS,
  });
  writeEnv(folder.env, {
    COFFER_ENDPOINTS: endpoint(config),
    COFFER_CACERT: pki.ca,
    COFFER_CERT: pki.adminCert,
    COFFER_KEY: pki.adminKey,
    COFFER_TOKEN: token,
    ETCDCTL_API: "3",
    ETCDCTL_ENDPOINTS: endpoint(config),
    ETCDCTL_CACERT: pki.ca,
    ETCDCTL_CERT: pki.adminCert,
    ETCDCTL_KEY: pki.adminKey,
  });
}

function tellHow(config: DevConfig, folder: DevFolder, print: (line: string) => void): void {
  print(`data in ${folder.path}; root key ${folder.rootKey}: lose it and the data is lost`);
  print(`in another terminal: source ${folder.env}`);
  print("then: npx coffer put greeting hello; npx coffer get greeting; or use etcdctl");
  print(`ready ${endpoint(config)}`);
}

function endpoint(config: DevConfig): string {
  return `https://127.0.0.1:${config.clientPort}`;
}
