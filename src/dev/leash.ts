import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
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

const PATIENCE_SECONDS = 10;

const SCRIPT = `
held=
while read -r line; do held=$line; done
[ -n "$held" ] || exit 0
kill -TERM $held 2>/dev/null
left=${PATIENCE_SECONDS}
while [ "$left" -gt 0 ]; do
  alive=
  for pid in $held; do kill -0 "$pid" 2>/dev/null && alive="$alive $pid"; done
  held=$alive
  [ -n "$held" ] || exit 0
  sleep 1
  left=$((left - 1))
done
kill -KILL $held 2>/dev/null
`;
