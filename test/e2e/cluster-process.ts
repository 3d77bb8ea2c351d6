import { randomInt } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { type AddressInfo, type Server, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, type ClientOptions, connect } from "../../src/client/mod.ts";
import {
  type NatsPlace,
  ensureClusterFolder,
  NATS_CONFIG_NAME,
} from "../../src/dev/cluster-folder.ts";
import { toolPath } from "../setup/tools.ts";
import { PORT_MAX, PORT_MIN } from "../setup/port-range.ts";
import { MAIN } from "./member-process.ts";
import { type ServerCommand, ServerProcess } from "./server-process.ts";

/** Members and NATS servers as processes of this machine: the topology of docker-compose.yml. */

/** Where a NATS server takes its clients, the members. */
export interface NatsAddress {
  readonly host: string;
  readonly port: number;
}

export interface ClusterOptions {
  /** Names of those that the cluster begins with; m1, m2 and m3 unless given. */
  readonly members?: readonly string[];
  /** Names of those that may be added later; m4 and m5 unless given. */
  readonly joiners?: readonly string[];
  /** Names of the NATS servers; n1, n2 and n3 unless given. */
  readonly nats?: readonly string[];
  /** Given to every `coffer server` beside those that it needs. */
  readonly flags?: readonly string[];
  /** What a member is given as --nats-urls, to put a proxy between; all servers unless given. */
  readonly natsUrls?: (member: string, servers: readonly NatsAddress[]) => readonly string[];
  /** "e2e" unless given. */
  readonly clusterToken?: string;
  /** Options of a member, by their names, in place of its `own`. */
  readonly optionsOf?: (member: string, own: MemberOptions) => MemberOptions;
}

export type MemberOptions = Readonly<Record<string, string>>;

const MEMBERS = ["m1", "m2", "m3"];
const JOINERS = ["m4", "m5"];
const NATS = ["n1", "n2", "n3"];

const AGREE_MS_MAX = 30_000;
const ASK_AGAIN_MS = 50;
const MEMBER_READY = '"Serving clients"';
const NATS_READY = "Server is ready";

export class ClusterProcess implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "coffer-cluster-"));
  readonly members: readonly ClusterMember[];
  readonly joiners: readonly ClusterMember[];
  readonly nats: readonly ClusterNats[];

  private constructor(options: ClusterOptions, ports: readonly number[]) {
    const { members = MEMBERS, joiners = JOINERS, nats: servers = NATS, flags = [] } = options;
    const { clusterToken = "e2e", optionsOf = (_, own) => own } = options;
    const port = ports.values();
    const next = (): number => port.next().value ?? 0;
    const places = new Map(servers.map((name) => [name, this.#place(name, next)]));
    ensureClusterFolder(
      this.#pki,
      { clusterToken, members: [...members, ...joiners], nats: servers, hosts: {} },
      { now: Date.now(), force: false, placeOf: (name) => places.get(name) as NatsPlace },
    );
    mkdirSync(this.#logs);
    this.nats = servers.map((name) => this.#natsServer(name, places.get(name) as NatsPlace));
    const addresses = this.nats.map(({ address }) => address);
    const all = (_: string, known: readonly NatsAddress[]): readonly string[] =>
      known.map(({ host, port }) => `tls://${host}:${port}`);
    const urls = options.natsUrls ?? all;
    const make = (name: string, joins: boolean): ClusterMember =>
      new ClusterMember({
        name,
        port: next(),
        folder: this.folder,
        pki: this.#pki,
        logs: this.#logs,
        natsUrls: () => urls(name, addresses),
        optionsOf: (own) => optionsOf(name, own),
        clusterToken,
        initialCluster: members,
        joins,
        flags,
      });
    this.members = members.map((name) => make(name, false));
    this.joiners = joiners.map((name) => make(name, true));
  }

  /** Makes folders, certificates and configurations and chooses ports; starts nothing. */
  static async make(options: ClusterOptions = {}): Promise<ClusterProcess> {
    const { members = MEMBERS, joiners = JOINERS, nats = NATS } = options;
    const ports = await freePorts(members.length + joiners.length + 3 * nats.length);
    return new ClusterProcess(options, ports);
  }

  /** `make`, and all of it started and serving. */
  static async start(options: ClusterOptions = {}): Promise<ClusterProcess> {
    const cluster = await ClusterProcess.make(options);
    try {
      await cluster.startAll();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts all NATS servers and initial members that are down, and waits until they serve. */
  async startAll(): Promise<void> {
    const isDown = (one: ClusterServer): boolean => one.process?.isRunning !== true;
    await Promise.all(this.nats.filter(isDown).map((server) => server.start()));
    await Promise.all(this.members.filter(isDown).map((member) => member.start()));
  }

  /** Any member by its name, those that may join too. */
  member(name: string): ClusterMember {
    const found = [...this.members, ...this.joiners].find((one) => one.name === name);
    if (found === undefined) throw new Error(`There is no member ${name}`);
    return found;
  }

  /** PEM of the administrator, as a client takes them. */
  get credentials(): { readonly ca: string; readonly cert: string; readonly key: string } {
    const read = (name: string): string => readFileSync(join(this.#pki, name), "utf8");
    return { ca: read("ca.crt"), cert: read("admin.crt"), key: read("admin.key") };
  }

  /** The administrator's client of one member, or of all that the cluster began with. */
  client(name?: string, options: Partial<ClientOptions> = {}): Client {
    const endpoints = this.#endpoints(name);
    return connect({ endpoints, ...this.credentials, ...options });
  }

  /** The environment of `coffer` and `etcdctl` commands. */
  environment(name?: string): Readonly<Record<string, string>> {
    const path = (file: string): string => join(this.#pki, file);
    const endpoints = this.#endpoints(name).join(",");
    return {
      PATH: process.env["PATH"] ?? "",
      COFFER_ENDPOINTS: endpoints,
      COFFER_CACERT: path("ca.crt"),
      COFFER_CERT: path("admin.crt"),
      COFFER_KEY: path("admin.key"),
      ETCDCTL_API: "3",
      ETCDCTL_ENDPOINTS: endpoints,
      ETCDCTL_CACERT: path("ca.crt"),
      ETCDCTL_CERT: path("admin.crt"),
      ETCDCTL_KEY: path("admin.key"),
    };
  }

  /** The name of the leader, once all members that run agree on one that runs. */
  async leader(): Promise<string> {
    const end = Date.now() + AGREE_MS_MAX;
    for (;;) {
      const running = [...this.members, ...this.joiners].filter((one) => one.process?.isRunning);
      const told = await Promise.all(running.map((one) => this.#askLeader(one.name)));
      const [first] = told;
      const leader = running[told.findIndex((one) => one?.member === first?.leader)];
      const agreed = told.every((one) => one !== undefined && one.leader === first?.leader);
      if (agreed && leader !== undefined) return leader.name;
      if (Date.now() > end) throw new Error(`The members agree on no leader:\n${this.tails()}`);
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }

  /** The end of what each process wrote, for messages of failures. */
  tails(): string {
    return [...this.nats, ...this.members, ...this.joiners]
      .filter((one) => one.process !== undefined)
      .map(({ name, process }) => `--- ${name}\n${(process?.tail ?? "").slice(-2000)}`)
      .join("\n");
  }

  /** Kills what still runs, and removes all files. */
  async [Symbol.asyncDispose](): Promise<void> {
    const servers = [...this.members, ...this.joiners, ...this.nats];
    await Promise.all(servers.map((server) => server.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #askLeader(
    name: string,
  ): Promise<{ readonly member: bigint; readonly leader: bigint } | undefined> {
    const client = this.client(name);
    try {
      const { header, leader } = await client.status({});
      return leader === 0n ? undefined : { member: header?.memberId ?? 0n, leader };
    } catch {
      return undefined; // Not serving yet.
    } finally {
      await client.close();
    }
  }

  #endpoints(name: string | undefined): readonly string[] {
    if (name !== undefined) return [this.member(name).endpoint];
    return this.members.map(({ endpoint }) => endpoint);
  }

  get #pki(): string {
    return join(this.folder, "pki");
  }

  get #logs(): string {
    return join(this.folder, "logs");
  }

  #place(name: string, next: () => number): NatsPlace {
    return {
      listenHost: "127.0.0.1",
      port: next(),
      routeHost: "127.0.0.1",
      routePort: next(),
      monitorPort: next(),
      folder: join(this.#pki, name),
    };
  }

  #natsServer(name: string, place: NatsPlace): ClusterNats {
    return new ClusterNats(name, {
      address: { host: place.listenHost, port: place.port },
      monitorPort: place.monitorPort,
      config: join(this.#pki, name, NATS_CONFIG_NAME),
      logs: this.#logs,
    });
  }
}

/** A member or NATS server that is started and ended again and again, on its ports and folders. */
abstract class ClusterServer {
  abstract readonly name: string;
  /** The process that runs or ran last. */
  process: ServerProcess | undefined;

  /** Undefined unless it runs. */
  get pid(): number | undefined {
    return this.process?.isRunning === true ? this.process.pid : undefined;
  }

  /** Starts it; `process.ready` tells when it serves. */
  spawn(): ServerProcess {
    if (this.process?.isRunning === true) throw new Error(`${this.name} runs already`);
    this.process = new ServerProcess(this.name, this.command());
    return this.process;
  }

  /** Starts it and waits until it serves. */
  async start(): Promise<void> {
    await this.spawn().ready;
  }

  /** SIGTERM, and its exit code; null if it had to be killed or did not run. */
  async stop(): Promise<number | null> {
    return (await this.process?.stop()) ?? null;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** kill -9; nothing if it does not run. */
  async kill(): Promise<void> {
    if (this.process?.isRunning === true) await this.process.kill();
  }

  /** SIGSTOP: it is there and does nothing, until `resume`. */
  pause(): void {
    this.process?.signal("SIGSTOP");
  }

  resume(): void {
    this.process?.signal("SIGCONT");
  }

  protected abstract command(): ServerCommand;
}

interface MemberPlace {
  readonly name: string;
  readonly port: number;
  readonly folder: string;
  readonly pki: string;
  readonly logs: string;
  readonly natsUrls: () => readonly string[];
  readonly optionsOf: (own: MemberOptions) => MemberOptions;
  readonly clusterToken: string;
  readonly initialCluster: readonly string[];
  readonly joins: boolean;
  readonly flags: readonly string[];
}

export class ClusterMember extends ClusterServer {
  readonly name: string;
  readonly endpoint: string;
  /** There before the first start, so that a small disk can be mounted on it. */
  readonly data: string;
  /** Added to its environment at the next start. */
  env: Readonly<Record<string, string>> = {};
  /** Added to its flags at the next start. */
  flags: readonly string[] = [];
  /** Whether it joins a cluster that has added it, when it is started without data. */
  joins: boolean;
  readonly #place: MemberPlace;

  constructor(place: MemberPlace) {
    super();
    this.name = place.name;
    this.endpoint = `https://127.0.0.1:${place.port}`;
    this.data = join(place.folder, "data", place.name);
    this.joins = place.joins;
    this.#place = place;
    mkdirSync(this.data, { recursive: true, mode: 0o700 });
  }

  /** Empties its data folder, as a lost disk. */
  wipe(): void {
    if (this.pid !== undefined) throw new Error(`${this.name} runs`);
    for (const entry of readdirSync(this.data)) {
      rmSync(join(this.data, entry), { recursive: true, force: true });
    }
  }

  protected command(): ServerCommand {
    const { name, pki, logs, natsUrls, initialCluster, clusterToken, flags } = this.#place;
    const file = (base: string): string => join(pki, name, base);
    const options = this.#place.optionsOf({
      name,
      "data-dir": this.data,
      "listen-client-urls": this.endpoint,
      "tls-cert": file("server.crt"),
      "tls-key": file("server.key"),
      "client-ca": file("ca.crt"),
      "nats-urls": natsUrls().join(","),
      "nats-ca": file("nats-ca.crt"),
      "nats-cert": file("nats.crt"),
      "nats-key": file("nats.key"),
      "initial-cluster": initialCluster.join(","),
      "initial-cluster-state": this.joins ? "existing" : "new",
      "cluster-token": clusterToken,
      "root-key-file": file("root.key"),
    });
    const args = Object.entries(options).flatMap(([flag, value]) => [`--${flag}`, value]);
    return {
      file: process.execPath,
      args: [MAIN, "server", ...args, ...flags, ...this.flags],
      cwd: this.#place.folder,
      // The environment of whoever runs the tests must not configure the member.
      env: { PATH: process.env["PATH"] ?? "", ...this.env },
      readyText: MEMBER_READY,
      logFile: join(logs, `${name}.log`),
    };
  }
}

export class ClusterNats extends ClusterServer {
  readonly name: string;
  readonly address: NatsAddress;
  /** Where it answers /healthz, in plaintext. */
  readonly monitorPort: number;
  readonly #config: string;
  readonly #logs: string;

  constructor(
    name: string,
    at: {
      readonly address: NatsAddress;
      readonly monitorPort: number;
      readonly config: string;
      readonly logs: string;
    },
  ) {
    super();
    this.name = name;
    this.address = at.address;
    this.monitorPort = at.monitorPort;
    this.#config = at.config;
    this.#logs = at.logs;
  }

  protected command(): ServerCommand {
    return {
      file: toolPath("nats-server"),
      args: ["--config", this.#config],
      cwd: this.#logs,
      env: { PATH: process.env["PATH"] ?? "" },
      readyText: NATS_READY,
      logFile: join(this.#logs, `${this.name}.log`),
    };
  }
}

/** Ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = await listening(randomInt(PORT_MIN, PORT_MAX));
    if (server !== undefined) servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
  );
  return ports;
}

function listening(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
