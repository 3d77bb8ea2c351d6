import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { get } from "node:https";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "../client/mod.ts";
import type { DevConfig } from "../config/mod.ts";
import { CofferError } from "../errors.ts";
import { createRootKeyFile } from "../seal/mod.ts";
import { type Child, type ChildCommand, type ChildEnd, createChild } from "./child.ts";
import { type DevAccess, keepAccess } from "./dev-access.ts";
import { type DevFolder, openDevFolder, writePrivate } from "./dev-folder.ts";
import { type DevNats, startDevNats } from "./dev-nats.ts";
import type { DevCluster, DevHost } from "./dev-host.ts";
import {
  clientPortFlags,
  type DevPki,
  ensureDevPki,
  ensureNatsPki,
  type TlsFiles,
} from "./dev-pki.ts";
import { findNatsServer, programFolders } from "./find-program.ts";
import { isAlive, Leash } from "./leash.ts";
import { isFree } from "./ports.ts";

/**
 * Three members and a NATS server as processes of a laptop, to be killed and looked at. They end with
 * this process, whatever ends it.
 */

const PORT_STEP = 10;
/** Names with certificates and a place on NATS, for whoever tries to add a member. */
const SPARES = ["m4", "m5"];
const LOOK_MS = 100;
const TELL_MS = 5000;
/** Between the end of a process and its next start; doubled while it goes on ending. */
const RESTART_MS = 1000;
const RESTART_MS_MAX = 30_000;
/** A process that ran for so long is well. */
const WELL_MS = 60_000;
/** A member hands its leadership on, closes its files, and is gone well before this. */
const STOP_MS_MAX = 20_000;
const NATS_STOP_MS_MAX = 5000;
/** How long the processes of a coffer dev that was killed may take to end. */
const LEFTOVER_MS_MAX = 20_000;
const RUNNING_MARK = "running";

interface DevMember {
  readonly name: string;
  readonly port: number;
  readonly endpoint: string;
}

export async function startDevCluster(config: DevConfig, host: DevHost): Promise<DevCluster> {
  const program = findNatsServer(programFolders(host.env["PATH"] ?? ""));
  const members = membersOf(config);
  await portsMustBeFree(config, members, host);
  const folder = openDevFolder(config.dataDir, config);
  const cluster = new Cluster(config, host, folder);
  try {
    await cluster.start(program, members);
  } catch (error) {
    await cluster.stop();
    // Somebody wants it to end: that is no failure of the start.
    if (!host.signal.aborted) throw error;
  }
  return cluster;
}

function membersOf(config: DevConfig): readonly DevMember[] {
  return Array.from({ length: config.members }, (_, at) => {
    const port = config.clientPort + at * PORT_STEP;
    return { name: `m${at + 1}`, port, endpoint: `https://127.0.0.1:${port}` };
  });
}

/** Looked at before anything is removed: somebody may be running on this folder. */
async function portsMustBeFree(
  config: DevConfig,
  members: readonly DevMember[],
  { print, signal }: DevHost,
): Promise<void> {
  const leash = leashOf(config);
  const end = Date.now() + (leash === undefined ? 0 : LEFTOVER_MS_MAX);
  for (let told = false; ;) {
    const free = await Promise.all(members.map(({ port }) => isFree(port)));
    const taken = members[free.indexOf(false)];
    const isOver = Date.now() >= end;
    // What closed its port may still be busy with its files.
    const isEnding = leash !== undefined && isAlive(leash) && !isOver;
    if (signal.aborted || (taken === undefined && !isEnding)) return;
    if (taken !== undefined && isOver) {
      throw new CofferError(
        "invalid-argument",
        `port ${taken.port} is taken, by another coffer dev perhaps; three members listen on ` +
          `${members.map(({ port }) => port).join(", ")}: give another --client-port`,
      );
    }
    if (!told) print("waiting for the members of a coffer dev that was killed to end");
    told = true;
    await delay(LOOK_MS);
  }
}

/** The process that ends the members of a coffer dev that was killed; it goes when they have gone. */
function leashOf({ dataDir }: DevConfig): number | undefined {
  const mark = join(dataDir, RUNNING_MARK);
  const pid = existsSync(mark) ? Number(readFileSync(mark, "utf8")) : 0;
  return Number.isInteger(pid) && pid > 0 ? pid : undefined;
}

class Cluster implements DevCluster {
  readonly #config: DevConfig;
  readonly #host: DevHost;
  readonly #folder: DevFolder;
  readonly #leash = new Leash();
  readonly #members: Child[] = [];
  readonly #restarts = new Set<NodeJS.Timeout>();
  readonly #patience = new Map<string, { readonly ms: number; readonly at: number }>();
  #nats: DevNats | undefined;
  #access: DevAccess | undefined;
  #failure: CofferError | undefined;
  #isReady = false;
  #stopping: Promise<void> | undefined;

  constructor(config: DevConfig, host: DevHost, folder: DevFolder) {
    this.#config = config;
    this.#host = host;
    this.#folder = folder;
  }

  async start(program: string, members: readonly DevMember[]): Promise<void> {
    const { nats: natsFolder, pki: pkiFolder, path } = this.#folder;
    const now = Date.now();
    const pki = ensureDevPki(pkiFolder, now);
    const names = members.map(({ name }) => name);
    const onNats = [...names, ...SPARES];
    const tls = ensureNatsPki(natsFolder, onNats, now);
    ensureRootKey(this.#folder);
    writePrivate(join(path, RUNNING_MARK), `${this.#leash.pid ?? 0}\n`);
    this.#nats = await startDevNats(
      { program, folder: this.#folder, tls: tls.server, members: onNats },
      this.#childDeps(),
    );
    for (const member of members) {
      const natsTls = tls.members.get(member.name);
      if (natsTls === undefined) throw new CofferError("internal", "no NATS certificate");
      const command = this.#command(member, { pki, natsTls, names, natsUrl: this.#nats.url });
      this.#members.push(createChild(command, this.#childDeps()));
    }
    for (const child of this.#members) child.start();
    await this.#untilReady(members, pki.ca);
    const endpoints = members.map(({ endpoint }) => endpoint);
    this.#access = await keepAccess({
      folder: this.#folder,
      pki,
      endpoints,
      issueToken: (order) => issueToken(endpoints, pki, order),
      host: {
        log: this.#host.log,
        print: (line) => {
          if (line.startsWith("ready")) this.#tellWhere(names);
          this.#host.print(line);
        },
      },
    });
    this.#isReady = true;
  }

  async stop(): Promise<void> {
    await (this.#stopping ??= this.#stopAll());
  }

  async #stopAll(): Promise<void> {
    this.#access?.stop();
    if (this.#isReady) this.#host.print("stopping");
    for (const timer of this.#restarts) clearTimeout(timer);
    await Promise.all(
      this.#members.map(async (child) => {
        if (!(await child.stop(STOP_MS_MAX))) return;
        this.#host.print(`${child.name} did not stop in ${STOP_MS_MAX / 1000} s and was killed`);
      }),
    );
    // After them: the leader hands its place on over NATS.
    await this.#nats?.child.stop(NATS_STOP_MS_MAX);
    await this.#leash.close();
    rmSync(join(this.#folder.path, RUNNING_MARK), { force: true });
  }

  #childDeps(): Parameters<typeof createChild>[1] {
    const { env } = this.#host;
    return {
      leash: this.#leash,
      // What the user has set for clients, or for a member of their own, is not for these.
      env: Object.fromEntries(
        Object.entries(env).filter(([name]) => !/^(?:COFFER|ETCDCTL)_/.test(name)),
      ),
      onEnd: (child, end) => this.#onEnd(child, end),
    };
  }

  #command(
    { name, endpoint }: DevMember,
    parts: {
      readonly pki: DevPki;
      readonly natsTls: TlsFiles;
      readonly names: readonly string[];
      readonly natsUrl: string;
    },
  ): ChildCommand {
    const { pki, natsTls, names, natsUrl } = parts;
    const flags = (): Readonly<Record<string, string>> => ({
      name,
      "data-dir": this.#folder.memberData(name),
      "listen-client-urls": endpoint,
      ...clientPortFlags(pki),
      "nats-urls": natsUrl,
      "nats-ca": natsTls.ca,
      "nats-cert": natsTls.cert,
      "nats-key": natsTls.key,
      "initial-cluster": names.join(","),
      ...(this.#hasLostData(name, names) ? { "initial-cluster-state": "existing" } : {}),
      "cluster-token": this.#folder.clusterToken,
      "root-key-file": this.#folder.rootKey,
    });
    const [file, ...first] = this.#host.command;
    const args = (): readonly string[] =>
      Object.entries(flags()).flatMap(([flag, value]) => [`--${flag}`, value]);
    return {
      name,
      file,
      args: () => [...first, "server", ...args()],
      logFile: this.#logOf(name),
    };
  }

  /**
   * Whether the member has no data though a majority has. If it lost its disk, the others refuse it
   * under its old id: as one that joins it waits until it was removed and added again.
   */
  #hasLostData(name: string, names: readonly string[]): boolean {
    const isEmpty = (one: string): boolean =>
      !existsSync(join(this.#folder.memberData(one), "raft.db"));
    const full = names.filter((one) => !isEmpty(one)).length;
    if (!isEmpty(name) || full <= names.length / 2) return false;
    this.#host.print(
      `${name} has no data and the others have; if it had any, let it join anew, in another ` +
        `terminal: source ${this.#folder.env}; npx coffer member remove ${name}; ` +
        `npx coffer member add ${name}`,
    );
    return true;
  }

  #onEnd(child: Child, { how, problem }: ChildEnd): void {
    const log = this.#logOf(child.name === "nats-server" ? "nats" : child.name);
    const what = `${child.name} ended (${how})${problem === undefined ? "" : `: ${problem}`}`;
    if (!this.#isReady) {
      this.#failure ??= new CofferError("invalid-argument", `${what}; its log is ${log}`);
      return;
    }
    if (!this.#config.restart) {
      this.#host.print(`${what}; its log is ${log}; only coffer dev --restart starts it again`);
      return;
    }
    const ms = this.#restartDelay(child.name);
    this.#host.print(`${what}; its log is ${log}; it starts again in ${ms / 1000} s`);
    const timer = setTimeout(() => {
      this.#restarts.delete(timer);
      child.start();
    }, ms);
    this.#restarts.add(timer);
  }

  #restartDelay(name: string): number {
    const last = this.#patience.get(name);
    const now = Date.now();
    const isIll = last !== undefined && now - last.at < WELL_MS;
    const ms = isIll ? Math.min(2 * last.ms, RESTART_MS_MAX) : RESTART_MS;
    this.#patience.set(name, { ms, at: now });
    return ms;
  }

  async #untilReady(members: readonly DevMember[], caFile: string): Promise<void> {
    const ca = readFileSync(caFile, "utf8");
    let told = Date.now();
    let waiting = members;
    for (;;) {
      const ready = await Promise.all(waiting.map(({ port }) => isReady(port, ca)));
      waiting = waiting.filter((_, at) => ready[at] !== true);
      if (this.#failure !== undefined) throw this.#failure;
      if (waiting.length === 0) return;
      if (Date.now() - told > TELL_MS) {
        told = Date.now();
        const names = waiting.map(({ name }) => name).join(", ");
        this.#host.print(`waiting for ${names}; their logs are in ${this.#folder.logs}`);
      }
      await delay(LOOK_MS, undefined, { signal: this.#host.signal });
    }
  }

  #tellWhere(names: readonly string[]): void {
    const { logs } = this.#folder;
    this.#host.print(`members ${names.join(", ")}; logs in ${logs}; NATS at ${this.#nats?.url}`);
  }

  #logOf(name: string): string {
    return join(this.#folder.logs, `${name}.log`);
  }
}

/** All members have the same. With data there, a missing one is a mistake that a new one makes worse. */
function ensureRootKey({ rootKey, path }: DevFolder): void {
  if (existsSync(rootKey)) return;
  const hasData = readdirSync(path).some((name) => existsSync(join(path, name, "raft.db")));
  if (hasData) {
    throw new CofferError(
      "sealed",
      `${rootKey} is not there, and ${path} holds data that only its key opens; restore the file ` +
        "from a backup, or start afresh with --reset, which removes the data",
    );
  }
  createRootKeyFile(rootKey);
}

/** Whether the member says that it serves; a member without a leader does not. */
function isReady(port: number, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    const url = `https://127.0.0.1:${port}/readyz`;
    const request = get(url, { ca, agent: false, timeout: TELL_MS }, (answer) => {
      answer.resume().once("error", () => undefined);
      answer.once("close", () => resolve(answer.statusCode === 200));
    });
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(false));
  });
}

async function issueToken(
  endpoints: readonly string[],
  pki: DevPki,
  order: { readonly subject: string; readonly tenants: readonly string[]; ttlSeconds: number },
): Promise<string> {
  const read = (path: string): string => readFileSync(path, "utf8");
  const client = connect({
    endpoints,
    ca: read(pki.ca),
    cert: read(pki.adminCert),
    key: read(pki.adminKey),
  });
  try {
    const { token } = await client.tokenIssue({ ...order, tenants: [...order.tenants] });
    return token;
  } finally {
    await client.close();
  }
}
