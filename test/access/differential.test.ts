import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EnforceContext, type Enforcer, newEnforcer, newModelFromString } from "casbin";
import fc from "fast-check";
import {
  type AccessSubject,
  type Action,
  type PolicyRow,
  rangeRel,
  validateRows,
} from "../../src/access/mod.ts";
import { type KeyRange, type TenantId, key, keyAfter } from "../../src/core/types/mod.ts";
import { FILES, OTHER, TENANT, createWorld } from "./world.ts";

/**
 * The judge is plain casbin: the same model, all rows of all tenants in one enforcer, its own role
 * manager. A principal's groups are `g` rows of that enforcer. For a range it is asked about every
 * key at which its answer can change (each bound of a row, and of the range): the range is allowed
 * if each of these is.
 */
async function plainCasbin(
  policies: ReadonlyMap<TenantId, readonly PolicyRow[]>,
  subject: AccessSubject,
): Promise<Enforcer> {
  const enforcer = await newEnforcer(newModelFromString(FILES.modelText));
  await enforcer.addFunction("keyIn", (k: string, object: string) =>
    object.endsWith("*") ? k.startsWith(object.slice(0, -1)) : k === object,
  );
  await enforcer.addFunction("rangeRel", rangeRel);
  await enforcer.addPolicy("role:none", "none", "none", "none", "deny");
  for (const [tenant, rows] of policies) {
    for (const [kind, ...fields] of rows) {
      const [first = "", second = "", ...rest] = fields;
      if (kind === "p") await enforcer.addPolicy(first, tenant, second, ...rest);
      else await enforcer.addGroupingPolicy(first, second, tenant);
    }
    for (const group of subject.groups) {
      await enforcer.addGroupingPolicy(subject.subject, `group:${group}`, tenant);
    }
  }
  return enforcer;
}

function plainAnswer(
  enforcer: Enforcer,
  question: { subject: string; tenant: TenantId; action: Action; range: KeyRange },
  rows: readonly PolicyRow[],
): boolean {
  const { subject, tenant, action, range } = question;
  const has = (k: string): boolean => k >= range.lo && (range.hi === undefined || k < range.hi);
  const points = new Set<string>([range.lo]);
  for (const [kind, , object = ""] of rows) {
    if (kind !== "p") continue;
    const stem = object.endsWith("*") ? object.slice(0, -1) : object;
    const end = object.endsWith("*") ? after(stem) : `${stem}\0`;
    for (const point of [stem, end]) if (point !== undefined && has(point)) points.add(point);
  }
  return [...points].every((point) => enforcer.enforceSync(subject, tenant, point, action));
}

/** The first string after all those with the prefix; the alphabet of this test has no 0xff. */
function after(stem: string): string | undefined {
  if (stem === "") return undefined;
  const last = stem.length - 1;
  return stem.slice(0, last) + String.fromCharCode(stem.charCodeAt(last) + 1);
}

const actions: readonly Action[] = ["read", "list", "admin"];
// Few and short names, so that rows meet, touch and overlap.
const someKey = fc.oneof(
  fc.constantFrom("a", "b", "c"),
  fc.string({ unit: fc.constantFrom("a", "b", "c", "\u0001"), maxLength: 3 }),
);
const aSubject = fc.constantFrom("user:a", "user:a", "sa:a");
const aRole = fc.constantFrom("role:a", "role:a", "role:d,e", "role:b");
const aGroup = fc.constantFrom("group:a", "group:b");
const anObject = fc.oneof(
  fc.constantFrom("a*", "b*", "c*"),
  someKey.filter((k) => k !== ""),
  someKey.map((k) => `${k}*`),
);
const grant: fc.Arbitrary<PolicyRow> = fc
  .tuple(
    fc.oneof(aSubject, aRole, aGroup),
    anObject,
    fc.constantFrom("read", "list", "*"),
    fc.oneof(
      { weight: 9, arbitrary: fc.constant("allow") },
      { weight: 1, arbitrary: fc.constant("deny") },
    ),
  )
  .map((fields) => ["p", ...fields]);
const membership: fc.Arbitrary<PolicyRow> = fc
  .tuple(fc.oneof(aSubject, aRole, aGroup), aRole)
  .map((fields) => ["g", ...fields]);
const policy: fc.Arbitrary<readonly PolicyRow[]> = fc
  .tuple(
    fc.uniqueArray(grant, { maxLength: 24, size: "max", selector: (row) => row.join("\n") }),
    fc.uniqueArray(membership, { maxLength: 6, selector: (row) => row.join("\n") }),
  )
  .map(([grants, links]) => [...grants, ...links])
  .filter(isValid);
const manySiblings: fc.Arbitrary<KeyRange> = fc
  .constantFrom(["a", "c"], ["a", "d"], ["b", "d"], ["ab", "ca"])
  .map(([lo = "", hi = ""]) => ({ lo: key(lo), hi: key(hi) }));
const anyRange: fc.Arbitrary<KeyRange> = fc
  .tuple(someKey, someKey, fc.constantFrom("single", "range", "prefix", "open"))
  .map(([lo, hi, kind]) => {
    if (kind === "single") return { lo: key(lo || "a"), hi: keyAfter(key(lo || "a")) };
    if (kind === "open") return { lo: key(lo), hi: undefined };
    if (kind === "range" && hi > lo && hi !== `${lo}\0`) return { lo: key(lo), hi: key(hi) };
    const end = after(lo);
    return { lo: key(lo), hi: end === undefined ? undefined : key(end) };
  });
const question = fc.record({
  tenant: fc.constantFrom(TENANT, OTHER),
  action: fc.constantFrom(...actions),
  range: fc.oneof({ weight: 4, arbitrary: anyRange }, { weight: 1, arbitrary: manySiblings }),
});

function isValid(rows: readonly PolicyRow[]): boolean {
  try {
    validateRows(rows);
    return true;
  } catch {
    return false;
  }
}

describe("refusal 45: no difference from plain casbin", () => {
  test("random policies, groups, keys and ranges", async () => {
    const seen = { allowed: 0, refused: 0, union: 0 };
    const run = fc.asyncProperty(
      policy,
      policy,
      fc.record({
        subject: aSubject,
        groups: fc.uniqueArray(fc.constantFrom("a", "b", "c"), { maxLength: 2 }),
      }),
      fc.array(question, { minLength: 10, maxLength: 20 }),
      async (rows, otherRows, subject, questions) => {
        const policies = new Map([
          [TENANT, rows],
          [OTHER, otherRows],
        ]);
        const enforcer = await plainCasbin(policies, subject);
        const world = createWorld(rows);
        world.set(OTHER, otherRows);
        for (const { tenant, action, range } of questions) {
          const asked = { subject: subject.subject, tenant, action, range };
          const expected = plainAnswer(enforcer, asked, policies.get(tenant) ?? []);
          const cold = world.access.check(subject, tenant, action, range).allowed;
          const warm = world.access.check(subject, tenant, action, range).allowed;
          assert.deepEqual([cold, warm], [expected, expected], JSON.stringify(asked));
          const whole = enforcer.enforceSync(
            new EnforceContext("r2", "p", "e", "m2"),
            subject.subject,
            tenant,
            range.lo,
            range.hi ?? "",
            action,
          );
          if (whole) assert.equal(expected, true, "casbin's own range answer allows more");
          if (expected && !whole) seen.union++;
          seen[expected ? "allowed" : "refused"]++;
        }
      },
    );
    await fc.assert(run, { numRuns: 800 });
    // The generator must reach what the test is about.
    assert.ok(seen.allowed > 500 && seen.refused > 500 && seen.union > 20, JSON.stringify(seen));
  });

  test("policies that change under one access: every answer is of the newest", async () => {
    const run = fc.asyncProperty(
      fc.array(policy, { minLength: 2, maxLength: 4 }),
      fc.array(question, { minLength: 3, maxLength: 6 }),
      async (versions, questions) => {
        const world = createWorld();
        const subject = { subject: "user:a", groups: ["a"] };
        for (const rows of versions) {
          world.set(TENANT, rows);
          const enforcer = await plainCasbin(new Map([[TENANT, rows]]), subject);
          for (const { action, range } of questions) {
            const asked = { subject: "user:a", tenant: TENANT, action, range };
            const { allowed } = world.access.check(subject, TENANT, action, range);
            assert.equal(allowed, plainAnswer(enforcer, asked, rows), JSON.stringify(asked));
          }
        }
      },
    );
    await fc.assert(run, { numRuns: 150 });
  });
});
