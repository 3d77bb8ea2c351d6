import type { ServerConfig } from "../config/mod.ts";
import { CofferError } from "../errors.ts";
import { createLogger } from "../telemetry/mod.ts";
import { startMember } from "./start-member.ts";

/**
 * `coffer server`: serves until `signal` aborts, then stops cleanly; also while it still waits for
 * others. Rejects with `stopped` if the member is removed from its cluster.
 */
export async function runServer(
  config: ServerConfig,
  version: string,
  signal: AbortSignal,
): Promise<void> {
  const log = createLogger({ level: config.logLevel });
  const removed = new AbortController();
  let reason = "";
  const onRemoved = (why: string): void => {
    reason = why;
    removed.abort();
  };
  const ended = AbortSignal.any([signal, removed.signal]);
  const host = { version, log, onFatal: fatal(log), onRemoved, signal: ended };
  try {
    const member = await startMember(config, host);
    await aborted(ended);
    log.info("Stopping");
    await member.stop();
  } catch (error) {
    const isWanted = signal.aborted && error instanceof CofferError && error.code === "stopped";
    if (!isWanted && !removed.signal.aborted) throw error;
  }
  if (removed.signal.aborted) throw new CofferError("stopped", reason);
}

/** A member whose invariant or disk broke must not answer once more: its answers could be wrong. */
export function fatal(log: ReturnType<typeof createLogger>): (error: unknown) => void {
  return (error) => {
    log.error("Member cannot go on", { cause: error });
    process.exit(1);
  };
}

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
