import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../src/client/mod.ts";
import { createAuthority, issueCertificate, savePem } from "../../src/pki/mod.ts";
import type { LoadTarget } from "./load-connection.ts";
import {
  MAIN,
  type Peer,
  acceptsConnections,
  freePort,
  lineStarting,
  readEnv,
  stopAndRemove,
} from "./peers.ts";

/**
 * Clusters of three on this machine, TLS between members and to clients. The load goes to the leader,
 * as etcd's own benchmark does with --target-leader.
 */

const MEMBERS = 3;
/** `coffer dev --members 3` serves on a port and on those 10 and 20 above it. */
const PORT_STEP = 10;
const LEADER_MS_MAX = 20_000;

export async function startCofferCluster(): Promise<Peer> {
  const folder = await mkdtemp(join(tmpdir(), "coffer-bench-cluster-"));
  const port = await freePort();
  const flags = ["--data-dir", folder, "--client-port", String(port), "--members", String(MEMBERS)];
  const child = spawn(process.execPath, [MAIN, "dev", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await lineStarting(child, "ready");
  const env = readEnv(join(folder, "env"));
  const credentials = {
    ca: readFileSync(env.get("COFFER_CACERT") ?? "", "utf8"),
    cert: readFileSync(env.get("COFFER_CERT") ?? "", "utf8"),
    key: readFileSync(env.get("COFFER_KEY") ?? "", "utf8"),
    token: env.get("COFFER_TOKEN") ?? "",
  };
  const ports = Array.from({ length: MEMBERS }, (_, i) => port + i * PORT_STEP);
  const targets = ports.map((each) => ({ host: "127.0.0.1", port: each, ...credentials }));
  return {
    name: "coffer x 3",
    target: await leaderOf(targets),
    pid: child.pid ?? 0,
    stop: () => stopAndRemove(child, folder),
  };
}

export async function startEtcdCluster(): Promise<Peer> {
  const folder = mkdtempSync(join(tmpdir(), "coffer-bench-etcds-"));
  const pki = makePki(folder);
  const members = await Promise.all(
    Array.from({ length: MEMBERS }, async (_, i) => {
      const [port, peerPort] = [await freePort(), await freePort()];
      return { name: `m${i + 1}`, port, url: `https://127.0.0.1:${port}`, peerPort };
    }),
  );
  const peerUrl = (member: { peerPort: number }): string => `https://127.0.0.1:${member.peerPort}`;
  const children = members.map((member) => {
    const flags = {
      "data-dir": join(folder, member.name),
      name: member.name,
      "log-level": "error",
      "listen-client-urls": member.url,
      "advertise-client-urls": member.url,
      "listen-peer-urls": peerUrl(member),
      "initial-advertise-peer-urls": peerUrl(member),
      "initial-cluster": members.map((each) => `${each.name}=${peerUrl(each)}`).join(","),
      "cert-file": pki.cert,
      "key-file": pki.key,
      "trusted-ca-file": pki.ca,
      "client-cert-auth": "true",
      "peer-cert-file": pki.cert,
      "peer-key-file": pki.key,
      "peer-trusted-ca-file": pki.ca,
      "peer-client-cert-auth": "true",
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    return spawn("etcd", args, { stdio: "ignore" });
  });
  await Promise.all(children.map((child) => once(child, "spawn")));
  await Promise.all(members.map(({ port }) => acceptsConnections(port)));
  const credentials = {
    ca: readFileSync(pki.ca, "utf8"),
    cert: readFileSync(pki.cert, "utf8"),
    key: readFileSync(pki.key, "utf8"),
    token: "",
  };
  const targets = members.map(({ port }) => ({ host: "127.0.0.1", port, ...credentials }));
  return {
    name: "etcd x 3",
    target: await leaderOf(targets),
    pid: children[0]?.pid ?? 0,
    stop: async () => {
      await Promise.all(children.map((child) => stopAndRemove(child, folder)));
    },
  };
}

/** One certificate for all: it serves clients and peers, and is what members show each other. */
function makePki(folder: string): { readonly ca: string; cert: string; key: string } {
  const paths = {
    ca: join(folder, "ca.crt"),
    cert: join(folder, "node.crt"),
    key: join(folder, "node.key"),
  };
  const authority = createAuthority({ commonName: "bench authority" });
  const issued = issueCertificate(authority, {
    commonName: "admin",
    usages: ["server", "client"],
    dns: ["localhost"],
    ips: ["127.0.0.1"],
  });
  savePem(paths.ca, authority.certificate);
  savePem(paths.cert, issued.certificate);
  savePem(paths.key, issued.privateKey);
  return paths;
}

/** Asks each member who leads until all agree on one of them. */
async function leaderOf(targets: readonly LoadTarget[]): Promise<LoadTarget> {
  const end = Date.now() + LEADER_MS_MAX;
  for (;;) {
    const told = await Promise.all(targets.map(askLeader));
    const [first] = told;
    const agreed = first !== undefined && told.every((one) => one?.leader === first.leader);
    const index = told.findIndex((one) => one !== undefined && one.member === one.leader);
    const leader = targets[index];
    if (agreed && leader !== undefined) return leader;
    if (Date.now() > end) throw new Error("The members agree on no leader");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function askLeader(
  target: LoadTarget,
): Promise<{ readonly member: bigint; readonly leader: bigint } | undefined> {
  const { ca, cert, key } = target;
  const token = target.token === "" ? {} : { token: target.token };
  const endpoints = [`https://${target.host}:${target.port}`];
  const client = connect({ endpoints, ca, cert, key, ...token });
  try {
    const { header, leader } = await client.status({});
    return { member: header?.memberId ?? 0n, leader };
  } catch {
    return undefined; // Not serving yet.
  } finally {
    await client.close();
  }
}
