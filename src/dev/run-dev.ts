import type { DevConfig, ServerConfig } from "../config/mod.ts";
import { loadConfig } from "../config/mod.ts";
import { CofferError } from "../errors.ts";
import { type Member, startMember } from "../server/mod.ts";
import { type DevAccess, keepAccess } from "./dev-access.ts";
import { openDevFolder } from "./dev-folder.ts";
import type { DevCluster, DevHost } from "./dev-host.ts";
import { clientPortFlags, ensureDevPki } from "./dev-pki.ts";
import { startDevCluster } from "./run-cluster.ts";

const MEMBER_NAME = "m1";

/** Everything for a laptop: folder, authority, certificates, root key, members, a token. */
export async function startDev(config: DevConfig, host: DevHost): Promise<DevCluster> {
  return config.members === 1
    ? await startDevMember(config, host)
    : await startDevCluster(config, host);
}

/** One member, in this process. */
async function startDevMember(config: DevConfig, host: DevHost): Promise<DevCluster> {
  const folder = openDevFolder(config.dataDir, config);
  const pki = ensureDevPki(folder.pki, Date.now());
  const endpoint = `https://127.0.0.1:${config.clientPort}`;
  const member = await startMember(
    serverConfig({
      name: MEMBER_NAME,
      "data-dir": folder.memberData(MEMBER_NAME),
      "listen-client-urls": endpoint,
      ...clientPortFlags(pki),
      "cluster-token": folder.clusterToken,
      "root-key-file": folder.rootKey,
    }),
    host,
  );
  let access: DevAccess;
  try {
    access = await keepAccess({
      folder,
      pki,
      endpoints: [endpoint],
      issueToken: (order) => tokenOf(member, order),
      host,
    });
  } catch (error) {
    await member.stop();
    throw error;
  }
  return {
    stop: async () => {
      access.stop();
      await member.stop();
    },
  };
}

async function tokenOf(
  member: Member,
  order: Parameters<Member["issueToken"]>[0],
): Promise<string> {
  return (await member.issueToken(order)).token;
}

function serverConfig(flags: Readonly<Record<string, string>>): ServerConfig {
  const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  // The environment is the user's, and is for `coffer server`.
  return loadConfig(argv, {}, () => {
    throw new CofferError("internal", "coffer dev reads no configuration file");
  });
}
