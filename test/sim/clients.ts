import {
  type Command,
  type LeaseId,
  NO_LEASE,
  type TenantId,
  key,
  leaseId,
} from "../../src/core/types/mod.ts";
import { put, range } from "../fsm/fixtures.ts";
import { anyLive, call, guard, leaderOf, propose } from "./calls.ts";
import type { SimMember } from "./member.ts";
import { TENANT, type World } from "./world.ts";

/** Clients: each does one thing after the other, at members of its choice. */

const KEYS = 6;
const ALL = range("\0", "\0");
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

interface Client {
  readonly name: string;
  readonly leases: LeaseId[];
}

export async function runClient(world: World, name: string): Promise<void> {
  const { random, engine } = world;
  const client: Client = { name, leases: [] };
  while (!world.isOver) {
    const member = choose(world);
    if (member === undefined) {
      await engine.sleep(100);
      continue;
    }
    await act(world, client, member);
    await engine.sleep(random.below(world.isCalm ? 400 : 120));
  }
}

/** Mostly any; often one that believes to lead, rightly or not. */
function choose(world: World): SimMember | undefined {
  return world.random.below(3) === 0 ? (leaderOf(world) ?? anyLive(world)) : anyLive(world);
}

function tenantFor({ random, tenants }: World): TenantId {
  return random.below(6) > 0 ? TENANT : tenants[random.below(tenants.length)]!;
}

async function act(world: World, client: Client, member: SimMember): Promise<void> {
  const { random } = world;
  const tenant = tenantFor(world);
  const drawn = random.below(100);
  if (drawn < 30) await read(world, client, { member, tenant });
  else if (drawn < 36) await readSerializable(world, member, tenant);
  else if (drawn < 52 && !world.isCalm) await lease(world, client, member);
  else {
    const command = commandOf(world, client);
    const { op, outcome } = await propose(world, member, { tenant, command, client: client.name });
    if (outcome.kind !== "ok" || outcome.value.kind !== "txn") return;
    world.coverage.add("transactions");
    void op;
  }
}

function commandOf(world: World, client: Client): Command {
  const { random } = world;
  const name = `k${random.below(KEYS)}`;
  const drawn = random.below(20);
  if (drawn < 12) return { kind: "put", request: putOf(world, client, name) };
  if (drawn < 15) {
    const rangeEnd = random.below(3) === 0 ? key("l") : key("");
    return { kind: "delete-range", request: { key: key(name), rangeEnd, prevKv: true } };
  }
  if (drawn < 18) return txnOf(world, client, name);
  if (drawn === 18) return recordsOf(world);
  return compactOf(world);
}

function putOf(world: World, client: Client, name: string): ReturnType<typeof put> {
  const { random, nextId } = world;
  const lease = client.leases[random.below(client.leases.length + 2)] ?? NO_LEASE;
  return put(name, `v${nextId}`, { prevKv: true, lease });
}

/** Compares with a revision that was true a while ago, and guards it. */
function txnOf(world: World, client: Client, name: string): Command {
  const { random, truth } = world;
  const revision = truth.fsm.reader.tenant(TENANT)?.revision ?? 1;
  const operand = Math.max(0, revision - random.below(4));
  const other = `k${random.below(KEYS)}`;
  return {
    kind: "txn",
    request: {
      compare: [{ target: "mod", key: key(name), rangeEnd: key(""), result: "less", operand }],
      success: [
        { kind: "put", request: putOf(world, client, name) },
        { kind: "range", request: ALL },
      ],
      failure: [
        { kind: "delete-range", request: { key: key(other), rangeEnd: key(""), prevKv: false } },
      ],
    },
    guards:
      random.below(2) === 0
        ? []
        : [{ range: { lo: key(name), hi: key(`${name}\0`) }, revision: operand as never }],
  };
}

/** Policies and wrapped keys, as they change in a tenant. */
function recordsOf(world: World): Command {
  const { random } = world;
  const table = random.below(2) === 0 ? "policy" : "wrapped-key";
  const data = random.below(4) === 0 ? undefined : bytes(`r${world.nextId}`);
  world.coverage.add("changes of policies and keys");
  return {
    kind: "records",
    changes: [{ table, id: `r${random.below(3)}`, data, expect: "any" }],
  };
}

function compactOf(world: World): Command {
  const revision = world.truth.fsm.reader.tenant(TENANT)?.revision ?? 1;
  return { kind: "compact", revision: Math.max(1, revision - 5 - world.random.below(20)) };
}

/** A linearizable read: never older than what was answered before it was asked. */
async function read(
  world: World,
  client: Client,
  { member, tenant }: { readonly member: SimMember; readonly tenant: TenantId },
): Promise<void> {
  const { truth, engine, coverage } = world;
  const ctx = world.nextId++;
  truth.raft.readAsked(member, ctx);
  const readIndex = world.mutant.readIndex ?? ((node) => node.readIndex());
  const outcome = await call(world, member, async (node) => {
    const waits = readIndex(node);
    if (waits !== undefined) await waits;
    truth.raft.readAnswered(member, ctx, member.applied.index);
    readState(world, member, tenant);
  });
  const said = outcome.kind === "error" ? outcome.code : outcome.kind;
  engine.note(`${client.name} reads at ${member.name}: ${said}`);
  coverage.add(outcome.kind === "ok" ? "linearizable reads" : "linearizable reads without answer");
}

async function readSerializable(world: World, member: SimMember, tenant: TenantId): Promise<void> {
  const outcome = await call(world, member, () => readState(world, member, tenant));
  if (outcome.kind === "ok") world.coverage.add("serializable reads");
}

/** What the member shows is what was true at its revision. */
function readState(world: World, member: SimMember, tenant: TenantId): void {
  const { reader } = member.life!.fsm!;
  const info = reader.tenant(tenant);
  if (info === undefined) return;
  const result = reader.range(tenant, ALL);
  if (result.ok) guard(world, () => world.truth.read(tenant, info.revision, result.value.kvs));
}

async function lease(world: World, client: Client, member: SimMember): Promise<void> {
  const { random } = world;
  const id = client.leases[random.below(client.leases.length)];
  const drawn = random.below(10);
  if (id === undefined || (drawn < 4 && client.leases.length < 3)) {
    const made = leaseId(BigInt(world.nextId));
    const command = { kind: "lease-grant", id: made, ttl: 1 + random.below(4) } as const;
    const { outcome } = await propose(world, member, {
      tenant: TENANT,
      command,
      client: client.name,
    });
    if (outcome.kind === "ok") client.leases.push(made);
    return;
  }
  const command: Command =
    drawn < 9 ? { kind: "lease-renew", id } : { kind: "lease-revoke", id, cause: "revoked" };
  const { outcome } = await propose(world, member, {
    tenant: TENANT,
    command,
    client: client.name,
  });
  if (outcome.kind !== "ok") return;
  const { value } = outcome;
  const isGone = value.kind === "lease-renew" ? value.ttl === 0 : true;
  if (isGone) client.leases.splice(client.leases.indexOf(id), 1);
}
