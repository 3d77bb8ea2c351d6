import { randomUUID } from "node:crypto";
import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type Command,
  type MemberId,
  type MemberInfo,
  type RecordChange,
  systemActor,
  tenantId,
} from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { type PolicyFiles, planPolicyChange } from "../access/mod.ts";
import type { Node } from "../node/mod.ts";
import type { Keyring } from "../seal/mod.ts";
import { processClock } from "./clock.ts";
import { firstIssuerKey, hasIssuerKey } from "./issuer-keys.ts";

/**
 * The first entries of a new cluster: its keys, the built-in issuer, who runs it, and the tenant
 * `default`. Each step looks whether it is needed, so that a crash between two of them mends itself at
 * the next start.
 */

/** Record (table `setting`) that says that all steps were done. */
const DONE_SETTING = "bootstrapped";
const DEFAULT_TENANT = "default";

/** Subjects that run a new cluster and own its default tenant. */
const FIRST_ADMINS: readonly string[] = ["user:admin", "cert:admin"];

export interface BootstrapDeps {
  readonly node: Node;
  readonly keyring: Keyring;
  readonly policies: PolicyFiles;
  /** The members that the cluster begins with. */
  readonly firstMembers: readonly { readonly id: MemberId; readonly name: string }[];
}

export function isBootstrapped({ state }: Pick<Node, "state">): boolean {
  return state.record(CLUSTER_SCOPE, "setting", DONE_SETTING) !== undefined;
}

/**
 * Done by the leader; the others wait for it. What a leader that is replaced in the middle has left,
 * the next one completes: two that are at it at once cannot both make a thing.
 */
export async function bootstrap(deps: BootstrapDeps): Promise<void> {
  const { state } = deps.node;
  if (state.records(CLUSTER_SCOPE, "wrapped-key").length === 0) {
    await propose(deps, { kind: "records", changes: await deps.keyring.newClusterKeys() });
    deps.keyring.invalidate(CLUSTER_SCOPE);
  }
  await deps.keyring.unseal();
  if (!hasIssuerKey(deps.node)) {
    const { keyring } = deps;
    const changes = await firstIssuerKey({ keyring, clock: processClock });
    await propose(deps, { kind: "records", changes });
  }
  await listFirstMembers(deps);
  // Once only: whoever takes the first operators or tenants away must not get them back at a start.
  if (isBootstrapped(deps.node)) return;
  if (state.tenants().length === 0) await propose(deps, defaultTenant(deps));
  const operators = state.records(CLUSTER_SCOPE, "policy").length === 0 ? operatorChanges() : [];
  const done = {
    table: "setting",
    id: DONE_SETTING,
    data: Uint8Array.of(1),
    expect: "absent",
  } as const;
  await propose(deps, { kind: "records", changes: [...operators, done] });
}

/** So that a list of the members shows those that have not started yet: without a name, as etcd's. */
async function listFirstMembers(deps: BootstrapDeps): Promise<void> {
  const { state } = deps.node;
  if (isBootstrapped(deps.node) || deps.firstMembers.length === 1) return;
  for (const { id, name } of deps.firstMembers) {
    if (state.members().some((known) => known.id === id)) continue;
    const member = { id, name: "", peerUrls: peerUrlsOf(name), clientUrls: [], isLearner: false };
    await propose(deps, { kind: "member", member });
  }
}

/** The host names a member to the others; etcd's tools want to see the rest. */
export function peerUrlsOf(name: string): readonly string[] {
  return [`https://${name}:2380`];
}

/** Tells the cluster this member's name and addresses, where they have changed. */
export async function announceMember(
  deps: Pick<BootstrapDeps, "node">,
  member: MemberInfo,
): Promise<void> {
  const known = deps.node.state.members().find((one) => one.id === member.id);
  const urls = (info: MemberInfo): string => info.clientUrls.join(" ");
  if (known !== undefined && known.name === member.name && urls(known) === urls(member)) return;
  await propose(deps, { kind: "member", member });
}

function operatorChanges(): readonly RecordChange[] {
  const rows = [
    ["p", "role:operator", "*", "admin", "allow"],
    ...FIRST_ADMINS.map((subject) => ["g", subject, "role:operator"]),
  ];
  return planPolicyChange([], { add: rows, remove: [] });
}

function defaultTenant(deps: BootstrapDeps): Command {
  const id = tenantId(randomUUID());
  const [owner = "user:admin", ...others] = FIRST_ADMINS;
  const rows = [
    ...deps.policies.seedRows({ owner }),
    ...others.map((subject) => ["g", subject, "role:owner"]),
  ];
  const records = [
    ...deps.keyring.newTenantKeys(id),
    ...planPolicyChange([], { add: rows, remove: [] }),
  ];
  return { kind: "tenant-create", id, name: DEFAULT_TENANT, records };
}

async function propose(deps: Pick<BootstrapDeps, "node">, command: Command): Promise<ApplyResult> {
  const result = await deps.node.propose({
    tenant: CLUSTER_SCOPE,
    policyRevision: undefined,
    actor: systemActor("bootstrap"),
    command,
  });
  if (result.kind === "error") throw new CofferError(result.code, result.detail);
  return result;
}
