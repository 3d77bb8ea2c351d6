import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { Leash } from "../../src/dev/leash.ts";

/** How to run a server. */
export interface ServerCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Text of its output that says that it serves. */
  readonly readyText: string;
  /** Where all its output is kept; that of earlier processes stays. */
  readonly logFile: string;
}

const START_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
const TAIL_CHARS = 65_536;

/** Ends all servers of this process with it, even if it is killed. */
let leash: Leash | undefined;

/** One process of a server, its output heard and kept. */
export class ServerProcess {
  readonly name: string;
  readonly pid: number;
  /** Resolves once it serves; rejects, with the tail of its output, if it ends before. */
  readonly ready: Promise<void>;
  /** Resolves when the process is gone and its output is read. */
  readonly gone: Promise<void>;
  readonly #child: ChildProcess;
  readonly #log: WriteStream;
  #tail = "";

  constructor(name: string, command: ServerCommand) {
    this.name = name;
    const child = spawn(command.file, command.args, {
      cwd: command.cwd,
      env: command.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    this.pid = child.pid ?? 0;
    (leash ??= new Leash()).hold(child);
    this.#log = createWriteStream(command.logFile, { flags: "a" });
    this.gone = once(child, "close").then(() => void this.#log.end());
    this.ready = this.#hearReady(command.readyText);
    this.ready.catch(() => undefined); // Whoever awaits it hears of it.
  }

  /** The end of what it wrote, at least the last 32 KiB of it. */
  get tail(): string {
    return this.#tail;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What it ended with; null while it runs or if a signal ended it. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.gone;
  }

  /** SIGTERM, and its exit code; null if it had to be killed. */
  async stop(): Promise<number | null> {
    if (!this.isRunning) return this.exitCode;
    // One that is paused would not hear it.
    this.signal("SIGCONT");
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), STOP_MS_MAX);
    await this.gone;
    clearTimeout(timer);
    return this.exitCode;
  }

  #hearReady(readyText: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        reject(new Error(`${this.name} ${why} before it served:\n${this.#tail}`));
      };
      const timer = setTimeout(() => fail("took too long"), START_MS_MAX);
      const hear = (text: string): void => {
        this.#log.write(text);
        this.#tail += text;
        if (this.#tail.includes(readyText)) {
          clearTimeout(timer);
          resolve();
        }
        if (this.#tail.length > TAIL_CHARS) this.#tail = this.#tail.slice(-TAIL_CHARS / 2);
      };
      this.#child.stdout?.setEncoding("utf8").on("data", hear);
      this.#child.stderr?.setEncoding("utf8").on("data", hear);
      this.#child.once("error", (error) => fail(`could not be run (${error.message})`));
      this.#child.once("close", () => {
        clearTimeout(timer);
        fail("ended");
      });
    });
  }
}
