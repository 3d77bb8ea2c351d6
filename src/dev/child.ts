import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { makeFolders } from "../files/mod.ts";
import type { Leash } from "./leash.ts";

/** How to run a process and what to call it. */
export interface ChildCommand {
  readonly name: string;
  readonly file: string;
  /** Asked at every start. */
  readonly args: () => readonly string[];
  /** Takes all that it writes. */
  readonly logFile: string;
}

/** What a process that was not asked to end did. */
export interface ChildEnd {
  /** "exit code 1", or "SIGKILL". */
  readonly how: string;
  /** The last error in its log, if it ended by itself and wrote one. */
  readonly problem: string | undefined;
}

/** One process of a laptop's cluster. Its output goes to a file that outlives both. */
export interface Child {
  readonly name: string;
  /** Whether it was started and has not ended. */
  readonly isRunning: boolean;
  start(): void;
  /** What it has written since it was started; the end of it if that is much. */
  written(): string;
  /** SIGTERM, and SIGKILL if that takes too long. Resolves once it is gone; true: it was killed. */
  stop(patienceMs: number): Promise<boolean>;
}

export interface ChildDeps {
  readonly leash: Leash;
  readonly env: NodeJS.ProcessEnv;
  /** The process ended though nobody had asked it to. */
  readonly onEnd: (child: Child, end: ChildEnd) => void;
}

const LOG_BYTES_MAX = 16 * 2 ** 20;

export function createChild(command: ChildCommand, deps: ChildDeps): Child {
  let running: ChildProcess | undefined;
  let stopping = false;
  let logStart = 0;
  const child: Child = {
    name: command.name,
    get isRunning() {
      return running !== undefined;
    },
    start: () => {
      const log = openLog(command.logFile);
      const process = run(command, { ...deps, log: log.fd });
      fs.closeSync(log.fd);
      logStart = log.start;
      running = process;
      const ended = (how: string, problem?: string): void => {
        if (running !== process) return;
        running = undefined;
        if (!stopping) deps.onEnd(child, { how, problem });
      };
      process.once("error", (error) => ended(error.message));
      process.once("exit", (code, signal) => {
        if (signal !== null) ended(signal);
        else ended(`exit code ${code}`, lastProblem(child.written()));
      });
    },
    written: () => {
      const bytes = fs.readFileSync(command.logFile).subarray(logStart);
      return bytes.subarray(-TAIL_BYTES).toString("utf8");
    },
    stop: async (patienceMs) => {
      stopping = true;
      const process = running;
      if (process === undefined) return false;
      const gone = once(process, "exit");
      // One that is paused would not hear of it.
      process.kill("SIGCONT");
      process.kill("SIGTERM");
      let killed = false;
      const timer = setTimeout(() => {
        killed = process.kill("SIGKILL");
      }, patienceMs);
      await gone;
      clearTimeout(timer);
      return killed;
    },
  };
  return child;
}

function run(
  command: ChildCommand,
  { leash, env, log }: ChildDeps & { readonly log: number },
): ChildProcess {
  const process = spawn(command.file, command.args(), {
    env,
    stdio: ["ignore", log, log],
    // Ctrl-C in a terminal goes to all of its processes; these are to end in order.
    detached: true,
  });
  leash.hold(process);
  return process;
}

function openLog(path: string): { readonly fd: number; readonly start: number } {
  makeFolders(dirname(path));
  if (fs.existsSync(path) && fs.statSync(path).size > LOG_BYTES_MAX) {
    fs.renameSync(path, `${path}.1`);
  }
  const fd = fs.openSync(path, "a", 0o600);
  return { fd, start: fs.fstatSync(fd).size };
}

const TAIL_BYTES = 65_536;

/** `Error: ...` of a command, `[FTL] ...` of nats-server, or the message of an error that was logged. */
function lastProblem(text: string): string | undefined {
  return text.split("\n").flatMap(problemOf).at(-1);
}

function problemOf(line: string): readonly string[] {
  const told = /^Error: (.+)$/.exec(line) ?? /\[FTL\] (.+)$/.exec(line);
  if (told?.[1] !== undefined) return [told[1]];
  if (!line.startsWith("{") || !line.includes('"error"')) return [];
  try {
    const { level, message } = JSON.parse(line) as Partial<Record<string, unknown>>;
    return level === "error" && typeof message === "string" ? [message] : [];
  } catch {
    return [];
  }
}
