import type { MemberId } from "../../src/core/types/mod.ts";
import type { Role } from "../../src/core/raft/mod.ts";
import type { KnownMember, Node } from "../../src/node/mod.ts";
import type { MemoryLog } from "../raft/memory-log.ts";
import type { CheckedMember } from "../raft/simulation/checks.ts";
import { Disk } from "./disk.ts";
import { Life } from "./life.ts";
import type { World } from "./world.ts";

/** A member through all its lives: a name, an id, and a disk. */
export class SimMember implements CheckedMember {
  readonly name: string;
  /** 0n: not known yet, as of one that joins. */
  id: MemberId;
  seeds: readonly KnownMember[];
  readonly files: Disk = new Disk();
  /** Empty for one that joins. */
  firstVoters: readonly MemberId[];
  /** Of its wall clock. */
  skewMs = 0;
  life: Life | undefined;
  /** It was told that it was removed, and has ended by itself. */
  isRemoved = false;
  applied: { readonly index: number } = { index: 0 };
  raft: { readonly role: Role; readonly term: number; readonly commit: number } = {
    role: "follower",
    term: 0,
    commit: 0,
  };
  readonly #world: World;
  /** Answered when a planned start is over. */
  #starting = false;

  constructor(
    world: World,
    { id, name }: KnownMember,
    first: { readonly voters: readonly MemberId[]; readonly seeds: readonly KnownMember[] },
  ) {
    this.#world = world;
    this.id = id;
    this.name = name;
    this.firstVoters = first.voters;
    this.seeds = first.seeds;
  }

  /** Its log, as the checks look at it. */
  get disk(): MemoryLog {
    return this.files.log.log;
  }

  get isUp(): boolean {
    return this.life !== undefined;
  }

  /** Reads the node's view of consensus, for the checks. */
  look(node: Node): void {
    const { role, term, commitIndex } = node.status();
    this.raft = { role, term, commit: commitIndex };
  }

  start(): void {
    const { engine, random } = this.#world;
    if (this.life !== undefined || this.isRemoved) return;
    if (this.files.isFull) {
      if (this.#starting) return;
      this.#starting = true;
      engine.after(500, undefined, () => {
        this.#starting = false;
        this.start();
      });
      return;
    }
    this.skewMs += random.below(3) === 0 ? random.below(20_000) - 10_000 : 0;
    this.#world.truth.raft.restarted(this);
    const life = new Life(this.#world, this);
    this.life = life;
    engine.note(`${this.name} starts`);
    this.#world.coverage.add("starts");
    engine.at(engine.now, life, () => {
      if (this.id === 0n) life.introduce();
      else life.run();
    });
  }

  /** The process dies; with `power`, the machine under it. */
  crash(power: boolean, how: string): void {
    const { engine, random, coverage } = this.#world;
    const { life } = this;
    if (life === undefined) return;
    engine.note(`${this.name} crashes ${how}${power ? ", and loses power" : ""}`);
    coverage.add(power ? "losses of power" : "crashes");
    this.life = undefined;
    life.end();
    this.files.crash(power, (bytes) => random.below(bytes + 1));
  }

  /** Ends in order. */
  async stop(): Promise<void> {
    const { engine, coverage } = this.#world;
    const { life } = this;
    if (life?.node === undefined) return;
    await life.node.transferLeadership();
    if (!life.isAlive) return;
    engine.note(`${this.name} stops`);
    coverage.add("graceful stops");
    life.node.stop();
    this.#ended(life);
  }

  removed(reason: string): void {
    const { engine, coverage } = this.#world;
    const { life } = this;
    if (life === undefined) return;
    engine.note(`${this.name} ends: ${reason}`);
    coverage.add("removed members that ended by themselves");
    this.isRemoved = true;
    life.node?.stop();
    this.#ended(life);
  }

  #ended(life: Life): void {
    if (!life.isAlive) return;
    this.life = undefined;
    life.end();
    this.files.crash(false, () => 0);
  }
}
