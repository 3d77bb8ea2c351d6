import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "../../src/client/mod.ts";
import type { Prng } from "../../src/stdx/mod.ts";
import { type ClusterMember, ClusterProcess } from "../e2e/cluster-process.ts";
import { LinkProxy, type LinkState } from "./link-proxy.ts";
import { SmallDisk } from "./small-disk.ts";
import { type Target, pause } from "./world.ts";

/** Three members and three NATS servers as processes, with everything that can be done to them. */

export interface FleetOptions {
  readonly flags?: readonly string[];
  /** Put a small disk under each member, where that is possible. */
  readonly smallDisks: boolean;
  readonly prng: Prng;
}

const DISK_BYTES = 4 * 2 ** 30;
const ASK_MS_MAX = 1500;
const READY_MS_MAX = 20_000;

export class Fleet implements Target {
  readonly cluster: ClusterProcess;
  /** By member: its links to each NATS server. */
  readonly #links: ReadonlyMap<string, readonly LinkProxy[]>;
  readonly #disks: ReadonlyMap<string, SmallDisk>;
  readonly #problems: string[] = [];
  readonly #paused = new Set<string>();
  /** Processes whose end was asked for. */
  readonly #condemned = new Set<number>();

  private constructor(
    cluster: ClusterProcess,
    links: ReadonlyMap<string, readonly LinkProxy[]>,
    disks: ReadonlyMap<string, SmallDisk>,
  ) {
    this.cluster = cluster;
    this.#links = links;
    this.#disks = disks;
    // An interrupted run leaves no mounts and files; its processes end with it (src/dev/leash.ts).
    process.on("exit", this.#remove);
  }

  readonly #remove = (): void => {
    for (const disk of this.#disks.values()) disk[Symbol.dispose]();
    rmSync(this.cluster.folder, { recursive: true, force: true });
  };

  /** Makes and starts everything; disposal ends and removes it. */
  static async start({ flags = [], smallDisks, prng }: FleetOptions): Promise<Fleet> {
    const links = new Map<string, readonly LinkProxy[]>();
    const urlsOf = (member: string): readonly string[] =>
      (links.get(member) ?? []).map(({ port }) => `tls://127.0.0.1:${port}`);
    const cluster = await ClusterProcess.make({ flags, natsUrls: urlsOf });
    const disks = new Map<string, SmallDisk>();
    const fleet = new Fleet(cluster, links, disks);
    try {
      for (const { name, data } of cluster.members) {
        const random = (): number => prng.next();
        const open = cluster.nats.map(({ address }) => LinkProxy.open(address, random));
        links.set(name, await Promise.all(open));
        const disk = smallDisks ? SmallDisk.mount(data, DISK_BYTES) : undefined;
        if (disk !== undefined) disks.set(name, disk);
      }
      await Promise.all(cluster.nats.map((server) => server.start()));
      await Promise.all(fleet.members.map((name) => fleet.spawn(name)));
      for (const { process } of cluster.members) await process?.ready;
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  get members(): readonly string[] {
    return this.cluster.members.map(({ name }) => name);
  }

  get servers(): readonly string[] {
    return this.cluster.nats.map(({ name }) => name);
  }

  /** Which members have a disk that can be filled. */
  get disks(): ReadonlyMap<string, SmallDisk> {
    return this.#disks;
  }

  /** What went wrong with processes by itself: a failure of the run. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  open(member: string, options: Parameters<ClusterProcess["client"]>[1] = {}): Client {
    return this.cluster.client(member, options);
  }

  /** Starts a member that is down, and waits a while until it serves; not so for one that cannot yet. */
  async spawn(name: string): Promise<void> {
    const member = this.cluster.member(name);
    if (member.pid !== undefined) return;
    const child = member.spawn();
    void child.gone.then(() => {
      if (this.#condemned.has(child.pid)) return;
      this.#problems.push(`${name} ended by itself: ${lastLines(child.tail)}`);
    });
    const limit = new AbortController();
    await Promise.race([child.ready.catch(() => undefined), pause(READY_MS_MAX, limit.signal)]);
    limit.abort();
  }

  async kill(name: string): Promise<void> {
    const member = this.cluster.member(name);
    this.#condemn(member);
    await member.kill();
  }

  async stop(name: string): Promise<void> {
    const member = this.cluster.member(name);
    if (member.pid === undefined) return;
    this.#condemn(member);
    const code = await member.stop();
    if (code !== 0) {
      const tail = lastLines(member.process?.tail ?? "");
      this.#problems.push(`${name} stopped with exit code ${code}: ${tail}`);
    }
  }

  /** From now on it may end by itself, as a removed member does. */
  expectEnd(name: string): void {
    this.#condemn(this.cluster.member(name));
  }

  #condemn(member: ClusterMember): void {
    if (member.pid !== undefined) this.#condemned.add(member.pid);
    this.#paused.delete(member.name);
  }

  pause(name: string): void {
    this.cluster.member(name).pause();
    this.#paused.add(name);
  }

  resume(name: string): void {
    this.cluster.member(name).resume();
    this.#paused.delete(name);
  }

  setLinks(name: string, state: Partial<LinkState>): void {
    for (const link of this.#links.get(name) ?? []) link.set(state);
  }

  disconnect(name: string): void {
    for (const link of this.#links.get(name) ?? []) link.disconnect();
  }

  server(name: string): ClusterProcess["nats"][number] {
    const found = this.cluster.nats.find((one) => one.name === name);
    if (found === undefined) throw new Error(`There is no NATS server ${name}`);
    return found;
  }

  /** The member that leads in the highest term that anybody tells of; undefined if none does. */
  async leader(): Promise<string | undefined> {
    const told = await Promise.all(this.members.map((name) => this.#ask(name)));
    const known = told.filter((one) => one !== undefined && one.leader !== 0n);
    const [newest] = known.toSorted((a, b) => Number((b?.term ?? 0n) - (a?.term ?? 0n)));
    return told.find((one) => one?.id === newest?.leader)?.name;
  }

  async #ask(name: string) {
    if (this.cluster.member(name).pid === undefined || this.#paused.has(name)) return undefined;
    const client = this.open(name, { timeoutMs: ASK_MS_MAX, dialTimeoutMs: ASK_MS_MAX });
    try {
      const { header, leader, raftTerm } = await client.status({});
      return { name, id: header?.memberId ?? 0n, leader, term: raftTerm };
    } catch {
      return undefined; // It is one of those that cannot answer now.
    } finally {
      void client.close();
    }
  }

  /** The members' environment to be started with a wall clock that is wrong; 0: right again. */
  skew(name: string, byMs: number): void {
    const path = join(this.cluster.folder, "wrong-clock.mjs");
    writeFileSync(path, WRONG_CLOCK);
    const member = this.cluster.member(name);
    member.env =
      byMs === 0 ? {} : { NODE_OPTIONS: `--import ${path}`, WRONG_CLOCK_MS: String(byMs) };
  }

  /** Undoes whatever was done, and starts what is down. */
  async heal(): Promise<void> {
    for (const name of this.members) {
      this.setLinks(name, {});
      this.resume(name);
      this.#disks.get(name)?.free();
      this.skew(name, 0);
    }
    for (const server of this.cluster.nats) {
      server.resume();
      if (server.pid === undefined) await server.start();
    }
    await Promise.all(this.members.map((name) => this.spawn(name)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const member of this.cluster.members) this.#condemn(member);
    for (const server of [...this.cluster.members, ...this.cluster.nats]) await server.kill();
    for (const link of [...this.#links.values()].flat()) await link[Symbol.asyncDispose]();
    this.#remove();
    process.off("exit", this.#remove);
    await this.cluster[Symbol.asyncDispose]();
  }
}

/**
 * The wall clock as a member's process reads it. That of the machine cannot be set without setting it
 * for everybody. OpenSSL goes on reading the right one.
 */
const WRONG_CLOCK = `
const by = Number(process.env.WRONG_CLOCK_MS);
const Right = globalThis.Date;
globalThis.Date = class Date extends Right {
  constructor(...given) {
    if (given.length === 0) super(Right.now() + by);
    else super(...given);
  }
  static now() {
    return Right.now() + by;
  }
};
Object.defineProperty(performance, "timeOrigin", { value: performance.timeOrigin + by });
`;

const TAIL_LINES = 5;

function lastLines(text: string): string {
  return text.trimEnd().split("\n").slice(-TAIL_LINES).join("\n    ");
}
