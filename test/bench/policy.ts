import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Enforcer, newEnforcer, newModelFromString } from "casbin";
import {
  type Access,
  type AccessSubject,
  type PolicyRow,
  createAccess,
  keyIn,
  rangeRel,
  singleKey,
} from "../../src/access/mod.ts";
import { type TenantId, tenantId } from "../../src/core/types/mod.ts";
import { FILES } from "../access/world.ts";

/**
 * What a decision costs with 10,000 rows over 1,000 tenants: one that is known, the first of a principal,
 * the first after a change of policy, and all of it in memory. The peer is plain casbin of the same rows.
 */

const TENANTS = 1000;
const USERS_PER_TENANT = 4;
const WARM_CHECKS = 2_000_000;
const PEER_CHECKS = 100;

interface Question {
  readonly tenant: TenantId;
  readonly subject: AccessSubject;
  readonly key: string;
}

/** Ten rows, as a small team has them. */
function rowsOf(tenant: number): readonly PolicyRow[] {
  const app = `/app${tenant}`;
  return [
    ["g", "user:u0", "role:writer"],
    ["g", "user:u1", "role:reader"],
    ["g", "group:ops", "role:writer"],
    ["g", "role:writer", "role:reader"],
    ["p", "role:reader", `${app}/*`, "read", "allow"],
    ["p", "role:writer", `${app}/*`, "write", "allow"],
    ["p", "user:u1", `${app}/secret/*`, "read", "deny"],
    ["p", "user:u2", `${app}/one`, "read", "allow"],
    ["p", "user:u3", "/other/*", "*", "allow"],
    ["p", "user:u3", `${app}/*`, "read", "allow"],
  ];
}

export async function benchPolicy(): Promise<void> {
  const policies = new Map<TenantId, { rows: readonly PolicyRow[]; revision: number }>();
  const questions: Question[] = [];
  for (let n = 0; n < TENANTS; n++) {
    const tenant = tenantId(`00000000-0000-4000-8000-${String(n).padStart(12, "0")}`);
    policies.set(tenant, { rows: rowsOf(n), revision: 1 });
    for (let user = 0; user < USERS_PER_TENANT; user++) {
      const subject = { subject: `user:u${user}`, groups: user === 2 ? ["ops"] : [] };
      questions.push({ tenant, subject, key: `/app${n}/one` });
    }
  }
  const before = usedHeap();
  const access = createAccess({
    modelText: FILES.modelText,
    rows: (tenant) => policies.get(tenant)?.rows ?? [],
    policyRevision: (tenant) => policies.get(tenant)?.revision ?? 0,
  });
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  print(`${TENANTS * 10} rows over ${TENANTS} tenants, ${questions.length} principals\n`);

  const cold = questions.map((question) => timed(() => check(access, question)));
  print(`first decision of a principal    ${shares(cold)}`);
  const warm: number[] = [];
  for (const count of [1, 100, questions.length]) {
    const { wall, cpu } = warmMicros(access, questions.slice(0, count));
    warm.push(cpu);
    const who = `known decision, ${count} in turn`.padEnd(32);
    print(`${who} mean ${wall.toFixed(2)} us, cpu ${cpu.toFixed(2)} us`);
  }
  const changed = questions.map((question) => {
    const policy = policies.get(question.tenant);
    if (policy !== undefined) policy.revision++;
    return timed(() => check(access, question));
  });
  print(`first after a change of policy   ${shares(changed)}`);
  for (const question of questions) {
    for (const action of ["list", "write", "watch", "delete"] as const) {
      access.check(question.subject, question.tenant, action, singleKey(question.key));
    }
  }
  const mib = (usedHeap() - before) / 2 ** 20;
  print(`memory, five actions each        ${mib.toFixed(0)} MiB`);

  const peer = await plainCasbin(policies);
  const theirs: number[] = [];
  for (let n = 0; n < PEER_CHECKS; n++) {
    const { subject, tenant, key } = questions[(n * 37) % questions.length] as Question;
    theirs.push(timed(() => peer.enforceSync(subject.subject, tenant, key, "read")));
  }
  print(`plain casbin, any decision       ${shares(theirs)}`);
  const median = (values: readonly number[]): number => at(sorted(values), 0.5);
  const times = (ours: number): string => (median(theirs) / ours).toFixed(0);
  print(
    `\nplain casbin takes ${times((warm[1] ?? 0) / 1000)} times a known decision, ${times(median(cold))} times a ` +
      `first one, ${times(median(changed))} times the first after a change`,
  );
}

function check(access: Access, { subject, tenant, key }: Question): boolean {
  return access.check(subject, tenant, "read", singleKey(key)).allowed;
}

/** Microseconds of one check: of the wall, and of the processor, which other work on it leaves alone. */
interface Micros {
  readonly wall: number;
  readonly cpu: number;
}

function warmMicros(access: Access, questions: readonly Question[]): Micros {
  // Ranges as a request has made them, so that the check alone is measured.
  const asked = questions.map((question) => ({ ...question, range: singleKey(question.key) }));
  const round = (checks: number): number => {
    let allowed = 0;
    for (let n = 0; n < checks; n++) {
      const { subject, tenant, range } = asked[n % asked.length] as (typeof asked)[number];
      if (access.check(subject, tenant, "read", range).allowed) allowed++;
    }
    return allowed;
  };
  round(WARM_CHECKS / 10);
  const used = process.cpuUsage();
  const milliseconds = timed(() => round(WARM_CHECKS));
  const { user, system } = process.cpuUsage(used);
  return { wall: (milliseconds * 1000) / WARM_CHECKS, cpu: (user + system) / WARM_CHECKS };
}

async function plainCasbin(
  policies: ReadonlyMap<TenantId, { readonly rows: readonly PolicyRow[] }>,
): Promise<Enforcer> {
  const enforcer = await newEnforcer(newModelFromString(FILES.modelText));
  await enforcer.addFunction("keyIn", keyIn);
  await enforcer.addFunction("rangeRel", rangeRel);
  const grants: string[][] = [];
  const links: string[][] = [];
  for (const [tenant, { rows }] of policies) {
    for (const [kind, first = "", second = "", ...rest] of rows) {
      if (kind === "p") grants.push([first, tenant, second, ...rest]);
      else links.push([first, second, tenant]);
    }
  }
  await enforcer.addPolicies(grants);
  await enforcer.addGroupingPolicies(links);
  return enforcer;
}

/** Milliseconds. */
function timed(work: () => unknown): number {
  const begin = performance.now();
  work();
  return performance.now() - begin;
}

function shares(values: readonly number[]): string {
  const all = sorted(values);
  const slow = all.filter((value) => value > 1).length;
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => at(all, share).toFixed(3));
  return `p50 ${p50} p99 ${p99} max ${max} ms, ${slow} of ${all.length} over 1 ms`;
}

function sorted(values: readonly number[]): readonly number[] {
  return [...values].sort((a, b) => a - b);
}

function at(values: readonly number[], share: number): number {
  return values[Math.floor((values.length - 1) * share)] ?? 0;
}

/** Bytes of heap after a full collection. */
export function usedHeap(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}
