import type { Logger } from "../telemetry/mod.ts";

export interface DevHost {
  /** Coffer's own version. */
  readonly version: string;
  readonly log: Logger;
  readonly print: (line: string) => void;
  readonly onFatal: (error: unknown) => void;
  /** Ends a start that is under way; whoever aborts it also stops the cluster. */
  readonly signal: AbortSignal;
  /** What runs `coffer` in a process of its own: a program and its first arguments. */
  readonly command: readonly [string, ...string[]];
  /** Of this process; the members of three get it without what is meant for Coffer's clients. */
  readonly env: NodeJS.ProcessEnv;
}

/** A laptop's cluster. */
export interface DevCluster {
  stop(): Promise<void>;
}
