import type { PolicyFiles } from "../access/mod.ts";
import { CLUSTER_SCOPE, type MemberInfo } from "../core/types/mod.ts";
import { CofferError, type ErrorCode } from "../errors.ts";
import type { MemberNode } from "../node/mod.ts";
import type { Keyring } from "../seal/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { Bell } from "./bell.ts";
import { type BootstrapDeps, announceMember, bootstrap, isBootstrapped } from "./bootstrap.ts";
import type { Network } from "./network.ts";

/** What a member waits for before it serves clients. */

export interface Waiting {
  readonly log: Logger;
  /** Ends the wait, which then rejects with `stopped`. */
  readonly signal: AbortSignal;
}

const TELL_MS = 5000;
const TRY_AGAIN_MS = 200;

/** Failures that say nothing of the next try: there was no leader, or another one, for a while. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "timeout",
  "timeout-leader-failure",
  "timeout-connection-lost",
  "no-leader",
  "not-leader",
  "leader-changed",
  "too-many-requests",
]);

/** Waits until all that was acknowledged is applied here, which takes a leader. */
export async function awaitReadable(
  node: MemberNode,
  { network, log, signal }: Waiting & { readonly network: Network | undefined },
): Promise<void> {
  await retried(
    { log, signal },
    async () => node.readIndex(),
    () => {
      const { leader, voters } = node.status();
      if (leader !== 0n) return `the leader, ${leader.toString(16)}, does not answer`;
      const links = network?.transport.peers() ?? [];
      const heard = links.filter(({ connected }) => connected).map(({ name }) => name);
      const silent = links.filter(({ connected }) => !connected).map(({ name }) => name);
      const nats = network?.transport.connected === false ? ", NATS is not connected" : "";
      return (
        `no leader: ${voters.length} voters, heard of ${heard.join(", ") || "none"}, ` +
        `not of ${silent.join(", ") || "none"}${nats}`
      );
    },
  );
}

/** The leader makes what a new cluster begins with; the others wait until it is there. */
export async function awaitBootstrap(
  deps: Waiting & {
    readonly node: MemberNode;
    readonly keyring: Keyring;
    readonly policies: PolicyFiles;
    readonly firstMembers: BootstrapDeps["firstMembers"];
  },
): Promise<void> {
  const { node, keyring, signal } = deps;
  const bell = new Bell();
  const ends = [node.onLeadership(() => bell.ring()), node.onRecords(() => bell.ring())];
  const told = every(TELL_MS, () =>
    deps.log.warn("Not serving yet", { reason: "the leader has not made the new cluster's keys" }),
  );
  try {
    for (;;) {
      if (node.status().leader === node.memberId) await tryBootstrap(deps);
      if (isBootstrapped(node)) break;
      await bell.wait(TRY_AGAIN_MS, signal);
    }
  } finally {
    for (const end of [...ends, told]) end();
  }
  keyring.invalidate(CLUSTER_SCOPE);
  await keyring.unseal();
}

async function tryBootstrap(deps: BootstrapDeps & Waiting): Promise<void> {
  try {
    await bootstrap(deps);
  } catch (error) {
    // Another leader came between, and was first with some of it.
    const isOthers = isCode(error, new Set(["conflict", "already-exists"]));
    if (!isOthers && !isCode(error, PASSING)) throw error;
  }
}

/** Tells the cluster the member's name and addresses, where they have changed. */
export async function announce(
  node: MemberNode,
  { member, ...waiting }: Waiting & { readonly member: MemberInfo },
): Promise<void> {
  await retried(
    waiting,
    () => announceMember({ node }, member),
    () => "no leader takes its name",
  );
}

/** Works again after a failure that passes, and says every few seconds why it is still at it. */
async function retried(
  { log, signal }: Waiting,
  work: () => Promise<void>,
  reason: () => string,
): Promise<void> {
  const stop = every(TELL_MS, () => log.warn("Not serving yet", { reason: reason() }));
  const bell = new Bell();
  try {
    for (;;) {
      const aborted = abortion(signal);
      try {
        await Promise.race([work(), aborted.promise]);
        return;
      } catch (error) {
        if (!isCode(error, PASSING)) throw error;
      } finally {
        aborted.forget();
      }
      await bell.wait(TRY_AGAIN_MS, signal);
    }
  } finally {
    stop();
  }
}

/** Rejects with `stopped` when `signal` aborts. */
function abortion(signal: AbortSignal): {
  readonly promise: Promise<never>;
  readonly forget: () => void;
} {
  let abort: () => void = () => undefined;
  const promise = new Promise<never>((_, reject) => {
    abort = () => reject(new CofferError("stopped"));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort);
  });
  promise.catch(() => undefined);
  return { promise, forget: () => signal.removeEventListener("abort", abort) };
}

function every(ms: number, work: () => void): () => void {
  const timer = setInterval(work, ms);
  return () => clearInterval(timer);
}

function isCode(error: unknown, codes: ReadonlySet<ErrorCode>): boolean {
  return error instanceof CofferError && codes.has(error.code);
}
