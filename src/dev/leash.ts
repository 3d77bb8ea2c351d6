import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";

/**
 * Ends processes when this one is gone, however it went. A killed process cannot end its children,
 * and nats-server does not ask who started it: so a shell of a few lines waits for the end of its
 * input, which the kernel closes with this process, and then ends whom it was told of last.
 */
export class Leash {
  readonly #held = new Set<number>();
  readonly #shell: ChildProcess;

  constructor() {
    // In a session of its own: a signal to the whole terminal must not end it before the others.
    this.#shell = spawn("/bin/sh", ["-c", SCRIPT, "coffer-leash"], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
      env: { PATH: "/usr/bin:/bin" },
    });
    this.#shell.stdin?.on("error", () => undefined);
    this.#shell.on("error", () => undefined);
    // It must not keep this process alive.
    this.#shell.unref();
    (this.#shell.stdin as Socket | null)?.unref();
  }

  /** Its process id. */
  get pid(): number | undefined {
    return this.#shell.pid;
  }

  /** From now on `child` ends with this process. It is let go by itself when it ends. */
  hold(child: ChildProcess): void {
    const { pid } = child;
    if (pid === undefined) return;
    this.#held.add(pid);
    this.#tell();
    child.once("exit", () => {
      // Another process may get its number.
      this.#held.delete(pid);
      this.#tell();
    });
  }

  /** Lets all go, and ends. */
  async close(): Promise<void> {
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return;
    this.#held.clear();
    this.#tell();
    this.#shell.ref();
    const gone = once(this.#shell, "exit");
    this.#shell.stdin?.end();
    await gone;
  }

  #tell(): void {
    this.#shell.stdin?.write(`${[...this.#held].join(" ")}\n`);
  }
}

/** Whether a process is there, and more than a zombie that nobody has looked after. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return true; // No Linux.
  }
}

/** Looks, a fifth of a second apart, until those that do not end by themselves are killed. */
const LOOKS = 50;

const SCRIPT = `
alive() {
  kill -0 "$1" 2>/dev/null || return 1
  case "$(cat "/proc/$1/stat" 2>/dev/null)" in *") Z "* | *") X "*) return 1 ;; esac
}
held=
while read -r line; do held=$line; done
[ -n "$held" ] || exit 0
kill -TERM $held 2>/dev/null
left=${LOOKS}
while [ "$left" -gt 0 ]; do
  still=
  for pid in $held; do alive "$pid" && still="$still $pid"; done
  held=$still
  [ -n "$held" ] || exit 0
  sleep 0.2 2>/dev/null || sleep 1
  left=$((left - 1))
done
kill -KILL $held 2>/dev/null
`;
