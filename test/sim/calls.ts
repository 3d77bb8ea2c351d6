import type { MemberNode } from "../../src/node/mod.ts";
import type { ApplyResult, Command, TenantId } from "../../src/core/types/mod.ts";
import { CLUSTER_SCOPE } from "../../src/core/types/mod.ts";
import { CofferError, type ErrorCode } from "../../src/errors.ts";
import type { SimMember } from "./member.ts";
import type { Op } from "./truth.ts";
import { type World, newId } from "./world.ts";

/** What a client sees of a call to a member. */
export type Outcome<T> =
  | { readonly kind: "ok"; readonly value: T }
  | { readonly kind: "error"; readonly code: ErrorCode }
  /** The member died meanwhile. */
  | { readonly kind: "dead" };

/**
 * Calls a member's node, when the member has time for it. Ends with the member; what is thrown but
 * refusals ends the run.
 */
export function call<T>(
  world: World,
  member: SimMember,
  work: (node: MemberNode) => Promise<T> | T,
): Promise<Outcome<T>> {
  const { life } = member;
  if (life === undefined) return Promise.resolve({ kind: "dead" });
  const { engine } = world;
  return new Promise((resolve) => {
    const off = life.onEnd(() => resolve({ kind: "dead" }));
    const end = (outcome: Outcome<T>): void => {
      off();
      resolve(outcome);
    };
    engine.after(1, life, () => {
      if (life.node === undefined) {
        end({ kind: "error", code: "stopped" });
        return;
      }
      attempt(work, life.node).then(
        (value) => {
          if (life.isAlive) end({ kind: "ok", value });
        },
        (error: unknown) => {
          if (!life.isAlive) return;
          if (error instanceof CofferError) end({ kind: "error", code: error.code });
          else engine.fail(error);
        },
      );
    });
  });
}

async function attempt<T>(
  work: (node: MemberNode) => Promise<T> | T,
  node: MemberNode,
): Promise<T> {
  return work(node);
}

/** Proposes a command and checks the answer. */
export async function propose(
  world: World,
  member: SimMember,
  { tenant, command, client }: { tenant: TenantId; command: Command; client: string },
): Promise<{ readonly op: Op; readonly outcome: Outcome<ApplyResult> }> {
  const { truth, coverage, engine } = world;
  const op = truth.begin(newId(world, `${client}.`));
  const actor = { issuer: "sim", subject: client, requestId: op.id };
  const proposal = { tenant, policyRevision: undefined, actor, command };
  const outcome = await call(world, member, (node) =>
    (world.mutant.propose ?? ((one, what) => one.propose(what)))(node, proposal),
  );
  const said = outcome.kind === "error" ? outcome.code : outcome.kind;
  engine.note(`${op.id} ${command.kind} at ${member.name}: ${said}`);
  if (outcome.kind === "ok") {
    guard(world, () => truth.answered(op, outcome.value));
    coverage.add("proposals answered");
  } else {
    coverage.add(`proposals of unknown outcome: ${said}`);
    if (NOTHING_DONE.has(said) && outcome.kind === "error") world.truth.refused(op);
  }
  return { op, outcome };
}

/** Refusals after which nothing was proposed, and never will be. */
const NOTHING_DONE: ReadonlySet<string> = new Set(["too-many-requests"]);

/** Runs a check outside of any member. */
export function guard(world: World, work: () => void): void {
  try {
    work();
  } catch (error) {
    world.engine.fail(error);
  }
}

export function liveMembers(world: World): readonly SimMember[] {
  return world.members.filter((member) => member.life?.node !== undefined);
}

export function anyLive(world: World): SimMember | undefined {
  const live = liveMembers(world);
  return live[world.random.below(live.length)];
}

/** Who leads in the newest term, as far as one believes to. */
export function leaderOf(world: World): SimMember | undefined {
  let best: SimMember | undefined;
  let term = 0;
  for (const member of liveMembers(world)) {
    const status = member.life!.node!.status();
    if (status.role !== "leader" || status.term <= term) continue;
    best = member;
    ({ term } = status);
  }
  return best;
}

/** Proposes until it is answered. */
export async function insist(
  world: World,
  tenant: TenantId,
  command: Command,
  client: string,
): Promise<ApplyResult> {
  for (;;) {
    const member = anyLive(world);
    if (member === undefined) {
      await world.engine.sleep(100);
      continue;
    }
    const { outcome } = await propose(world, member, { tenant, command, client });
    if (outcome.kind === "ok") return outcome.value;
    await world.engine.sleep(50);
  }
}

export const CLUSTER: TenantId = CLUSTER_SCOPE;
