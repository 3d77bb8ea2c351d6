import type { ServerConfig } from "../config/mod.ts";
import { createLogger } from "../telemetry/mod.ts";
import { startMember } from "./start-member.ts";

/** `coffer server`: serves until `signal` aborts, then stops cleanly. */
export async function runServer(
  config: ServerConfig,
  version: string,
  signal: AbortSignal,
): Promise<void> {
  const log = createLogger({ level: config.logLevel });
  const member = await startMember(config, { version, log, onFatal: fatal(log) });
  await aborted(signal);
  log.info("Stopping");
  await member.stop();
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
