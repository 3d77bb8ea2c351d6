import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { CofferError } from "../errors.ts";
import { type Ensured, ensureClusterFiles, type Host } from "../pki/mod.ts";
import { createRootKeyFile } from "../seal/mod.ts";
import { memberDnsName, natsConfig, natsServerDnsName } from "../transport/mod.ts";
import { clusterIdOf, clusterIdText } from "../server/mod.ts";

/** What a cluster's folder of certificates is made for. Kept in it, so that renewing asks nothing. */
export interface ClusterPlan {
  readonly clusterToken: string;
  /** Also of members that are added later: they then have certificates and a place on NATS. */
  readonly members: readonly string[];
  readonly nats: readonly string[];
  /** Addresses and names by which clients and others reach a member or NATS server. */
  readonly hosts: { readonly [name: string]: readonly string[] };
}

/** What was done to a file of the folder; one that was edited is left as it is. */
export interface ClusterFile {
  readonly path: string;
  readonly outcome: Ensured | "edited";
}

export interface ClusterFolderOptions {
  readonly now: number;
  /** Replace what is unusable or was edited, and certificates that are good; no authority, no root key. */
  readonly force: boolean;
  /** Where the NATS servers listen, unless each has a machine of its own. */
  readonly placeOf?: (nats: string) => NatsPlace;
}

/** The ports of a NATS server, and how the others reach it. */
export interface NatsPlace {
  readonly listenHost: string;
  readonly port: number;
  readonly routeHost: string;
  readonly routePort: number;
  readonly monitorPort: number;
  /** How nats-server sees the folder of its files; relative to where it is started. */
  readonly folder: string;
}

export const NATS_PORT = 4222;
export const NATS_ROUTE_PORT = 6222;
export const NATS_MONITOR_PORT = 8222;
export const NATS_CONFIG_NAME = "nats.conf";
const PLAN_NAME = "cluster.json";
const PLAN_VERSION = 1;
const GROUP = "g0";
const NAME = /^[a-z0-9-]{1,63}$/;

/**
 * Makes or renews all files that members and NATS servers of a cluster need, and answers what was done
 * to each. Throws `invalid-argument` rather than overwrite what it has not made, unless forced.
 */
export function ensureClusterFolder(
  folder: string,
  plan: ClusterPlan,
  options: ClusterFolderOptions,
): readonly ClusterFile[] {
  checkPlan(plan);
  const host = (name: string): Host => {
    const hosts = plan.hosts[name] ?? [];
    const isAddress = (text: string): boolean => isIP(text) !== 0;
    return {
      name,
      dns: hosts.filter((text) => !isAddress(text)),
      ips: hosts.filter(isAddress),
    };
  };
  const done: ClusterFile[] = [
    ...ensureClusterFiles(
      folder,
      { members: plan.members.map(host), nats: plan.nats.map(host) },
      {
        now: options.now,
        unusable: options.force ? "replace" : "refuse",
        anew: options.force,
        names: { member: memberDnsName, server: natsServerDnsName },
      },
    ),
    ...ensureRootKeys(folder, plan.members),
  ];
  const placeOf = options.placeOf ?? ((name) => ownMachine(plan, name));
  for (const name of plan.nats) {
    const path = join(name, NATS_CONFIG_NAME);
    const text = configOf(plan, name, placeOf);
    done.push({ path, outcome: writeOwn(join(folder, path), text, options.force) });
  }
  writePlan(folder, plan);
  return done;
}

/** The plan that the folder was made for; undefined if there is none. */
export function readPlan(folder: string): ClusterPlan | undefined {
  const path = join(folder, PLAN_NAME);
  if (!fs.existsSync(path)) return undefined;
  try {
    const { version, plan } = JSON.parse(fs.readFileSync(path, "utf8")) as {
      readonly version?: unknown;
      readonly plan?: ClusterPlan;
    };
    if (version === PLAN_VERSION && plan !== undefined) return plan;
  } catch (cause) {
    throw new CofferError("invalid-argument", `'${path}' cannot be read`, { cause });
  }
  throw new CofferError("invalid-argument", `'${path}' is of another version of coffer`);
}

function writePlan(folder: string, plan: ClusterPlan): void {
  const path = join(folder, PLAN_NAME);
  fs.writeFileSync(`${path}.new`, `${JSON.stringify({ version: PLAN_VERSION, plan }, null, 2)}\n`);
  fs.renameSync(`${path}.new`, path);
}

function checkPlan({ members, nats, hosts }: ClusterPlan): void {
  const all = [...members, ...nats];
  const refuse = (problem: string): never => {
    throw new CofferError("invalid-argument", problem);
  };
  if (members.length === 0) refuse("a cluster needs a member");
  const odd = all.find((name) => !NAME.test(name));
  if (odd !== undefined) refuse(`name '${odd}' is not made of 1 to 63 of a-z, 0-9 and -`);
  const twice = all.find((name, at) => all.indexOf(name) !== at);
  if (twice !== undefined) {
    refuse(`'${twice}' is named twice; members and NATS servers each need a name of their own`);
  }
  const stranger = Object.keys(hosts).find((name) => !all.includes(name));
  if (stranger !== undefined) refuse(`a host is given for '${stranger}', which is not named`);
  if (members.length > 1 && nats.length === 0) refuse("several members need a NATS server");
}

/** One root key for all members, and a copy in the folder of each. Never replaced. */
function ensureRootKeys(folder: string, members: readonly string[]): readonly ClusterFile[] {
  const path = join(folder, "root.key");
  const isThere = fs.existsSync(path);
  const orphan = members.map((name) => join(folder, name, "root.key")).find(fs.existsSync);
  if (!isThere && orphan !== undefined) {
    const next = `copy the newest of the members' there, such as '${orphan}'`;
    throw new CofferError("invalid-argument", `'${path}' is missing; ${next}`);
  }
  if (!isThere) createRootKeyFile(path);
  const key = fs.readFileSync(path);
  const done: ClusterFile[] = [{ path: "root.key", outcome: isThere ? "kept" : "made" }];
  try {
    for (const name of members) {
      const copy = join(folder, name, "root.key");
      if (!fs.existsSync(copy)) {
        fs.writeFileSync(`${copy}.new`, key, { mode: 0o600 });
        fs.renameSync(`${copy}.new`, copy);
        done.push({ path: join(name, "root.key"), outcome: "made" });
      } else if (!fs.readFileSync(copy).equals(key)) {
        const problem = `'${copy}' is another key than '${path}'`;
        throw new CofferError("invalid-argument", `${problem}; find out which is the newer`);
      }
    }
  } finally {
    key.fill(0);
  }
  return done;
}

function ownMachine({ hosts }: ClusterPlan, name: string): NatsPlace {
  return {
    listenHost: "0.0.0.0",
    port: NATS_PORT,
    routeHost: hosts[name]?.[0] ?? name,
    routePort: NATS_ROUTE_PORT,
    monitorPort: NATS_MONITOR_PORT,
    folder: ".",
  };
}

function configOf(plan: ClusterPlan, name: string, placeOf: (name: string) => NatsPlace): string {
  const place = placeOf(name);
  const others = plan.nats.filter((other) => other !== name).map(placeOf);
  const urls = others.map(
    ({ routeHost, routePort }) => `tls://${hostText(routeHost)}:${routePort}`,
  );
  const file = (base: string): string => (place.folder === "." ? base : join(place.folder, base));
  return natsConfig({
    serverName: name,
    listen: { host: place.listenHost, port: place.port },
    tls: { ca: file("nats-ca.crt"), cert: file("server.crt"), key: file("server.key") },
    cluster: clusterIdText(clusterIdOf(plan.clusterToken)),
    group: GROUP,
    members: plan.members,
    monitor: { host: "127.0.0.1", port: place.monitorPort },
    ...(urls.length === 0
      ? {}
      : { routes: { listen: { host: place.listenHost, port: place.routePort }, urls } }),
  });
}

function hostText(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}

const SEAL = "# Made by coffer pki init. To edit it, remove this line: it is then left alone. ";

/**
 * Writes a file whose first line holds the hash of the rest: one that was edited is told apart, and
 * replaced only by force.
 */
function writeOwn(path: string, text: string, force: boolean): ClusterFile["outcome"] {
  const sealed = `${SEAL}${digest(text)}\n${text}`;
  if (!fs.existsSync(path)) {
    replace(path, sealed);
    return "made";
  }
  const found = fs.readFileSync(path, "utf8");
  if (found === sealed) return "kept";
  const end = found.indexOf("\n");
  const isOwn = found.slice(0, end) === `${SEAL}${digest(found.slice(end + 1))}`;
  if (!isOwn && !force) return "edited";
  replace(path, sealed);
  return "renewed";
}

function replace(path: string, text: string): void {
  fs.writeFileSync(`${path}.new`, text, { mode: 0o644 });
  fs.renameSync(`${path}.new`, path);
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
