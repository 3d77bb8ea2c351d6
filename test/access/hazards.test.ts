import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import {
  type AccessSubject,
  type Action,
  type PolicyRow,
  ROLE_DEPTH_MAX,
  ROLES_PER_MEMBER_MAX,
  createAccess,
  findPolicyFolder,
  parsePolicyCsv,
  validateRows,
} from "../../src/access/mod.ts";
import type { KeyRange, TenantId } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { FILES, OTHER, TENANT, createWorld, may, rangeOf, who } from "./world.ts";

const ALLOW_ALL: PolicyRow = ["p", "user:a", "*", "*", "allow"];

function refusedRow(row: unknown, reason: RegExp): void {
  assert.throws(
    () => validateRows([ALLOW_ALL, row as PolicyRow]),
    (error) => {
      assert.ok(error instanceof CofferError);
      assert.equal(error.code, "invalid-argument");
      assert.match(error.message, /policy row 2/);
      assert.match(error.message, reason);
      return true;
    },
  );
}

/** Each row of the table in security.md section 4, by its hazard. */
describe("refusal 44", () => {
  test("refusal 44: loops over every policy row: only rows that can match are asked about", () => {
    const crowd = Array.from({ length: 4000 }, (_, i): PolicyRow => {
      return ["p", `user:u${i}`, `/u${i}/*`, "*", "allow"];
    });
    const world = createWorld([...crowd, ["p", "user:a", "/a/*", "*", "allow"]]);
    assert.equal(may(world, "user:a", "read", "/a/x"), true);
    assert.equal(world.access.status().principalGrants, 1);
    for (let i = 0; i < 100; i++) may(world, "user:a", "read", `/a/${i}`);
    assert.equal(world.reads(), 1);
  });

  test("refusal 44: g(x,x) is true: a subject may not spell a role", () => {
    const world = createWorld([["p", "role:admin", "*", "*", "allow"]]);
    assert.equal(may(world, "role:admin", "read", "/a"), false);
    refusedRow(["g", "user:a", "user:b"], /role must begin with role:/);
    refusedRow(["g", "user:a", "group:b"], /role must begin with role:/);
    refusedRow(["p", "admin", "*", "*", "allow"], /subject must be user:/);
    refusedRow(["g", "admin", "role:a"], /member must be user:/);
  });

  test("refusal 44: empty policy and empty strings are allowed: refused first", () => {
    const open = createWorld([["p", "user:a", "*", "*", "allow"]]);
    const check = (subject: unknown, tenant: unknown, action: unknown, range: unknown): boolean =>
      open.access.check(
        subject as AccessSubject,
        tenant as TenantId,
        action as Action,
        range as KeyRange,
      ).allowed;
    const good = [who("user:a"), TENANT, "read", rangeOf("/a")] as const;
    assert.equal(check(...good), true);
    assert.equal(check(who(""), TENANT, "read", rangeOf("/a")), false);
    assert.equal(check(who("user:a", ""), TENANT, "read", rangeOf("/a")), false);
    assert.equal(check(who("user:a", "x\0"), TENANT, "read", rangeOf("/a")), false);
    assert.equal(check(who("user:a"), "", "read", rangeOf("/a")), false);
    assert.equal(check(who("user:a"), TENANT, "", rangeOf("/a")), false);
    assert.equal(check(who("user:a"), TENANT, "*", rangeOf("/a")), false);
    assert.equal(check(who("user:a"), TENANT, "read", rangeOf("")), false, "the empty key");
    const empty = createWorld([]);
    assert.equal(may(empty, "user:a", "read", "/a"), false);
    refusedRow(["p", "user:a", "", "read", "allow"], /field 3 is empty/);
    refusedRow(["p", "user:a", "/a\0", "read", "allow"], /field 3 holds a NUL/);
    refusedRow(["p", "user:a", "/a\ud800", "read", "allow"], /not well-formed/);
  });

  test("refusal 44: keyMatch ignores what follows a star: exact, or one star at the end", () => {
    for (const object of ["/a*b", "*a", "**", "/a/**", "/*/b", "*/*"]) {
      refusedRow(["p", "user:a", object, "read", "allow"], /one star only/);
    }
    const world = createWorld([
      ["p", "user:a", "/:id", "read", "allow"],
      ["p", "user:a", "!x", "read", "allow"],
      ["p", "user:a", "/a.c", "read", "allow"],
      ["p", "user:a", "/(a+)+$", "read", "allow"],
      ["p", "user:a", "{a,b}", "read", "allow"],
    ]);
    for (const name of ["/x", "y", "/abc", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "a", "/"]) {
      assert.equal(may(world, "user:a", "read", name), false, name);
    }
    for (const name of ["/:id", "!x", "/a.c", "/(a+)+$", "{a,b}"]) {
      assert.equal(may(world, "user:a", "read", name), true, name);
    }
  });

  test("refusal 44: CachedEnforcer keys collide and live on: the own cache does neither", () => {
    const world = createWorld([["p", "user:a$$b", "*", "read", "allow"]]);
    assert.equal(may(world, "user:a$$b", "read", "/a"), true);
    assert.equal(may(world, "user:a", "read", "/a"), false);
    // The same characters, split otherwise into subject and groups.
    world.set(TENANT, [["p", "group:b", "*", "read", "allow"]]);
    const ask = (subject: string, ...groups: string[]): boolean =>
      world.access.check(who(subject, ...groups), TENANT, "read", rangeOf("/a")).allowed;
    assert.equal(ask("user:a", "b"), true);
    assert.equal(ask("user:a1:b"), false);
    assert.equal(ask("user:a", "x", "b"), true);
    assert.equal(ask("user:a", "x1:b"), false);
    assert.equal(ask("user:a", "xb"), false);
    world.set(TENANT, []);
    assert.equal(ask("user:a", "b"), false, "a removed row is gone with the next question");
  });

  test("refusal 44: addPolicy misplaces priorities: order of rows means nothing", () => {
    const deny: PolicyRow = ["p", "user:a", "/a", "read", "deny"];
    for (const rows of [
      [ALLOW_ALL, deny],
      [deny, ALLOW_ALL],
    ] as const) {
      const world = createWorld(rows);
      assert.equal(may(world, "user:a", "read", "/a"), false);
      assert.equal(may(world, "user:a", "read", "/b"), true);
    }
  });

  test("refusal 44: loadPolicy empties, then awaits: a question is one synchronous step", () => {
    const world = createWorld([ALLOW_ALL]);
    const decision = world.access.check(who("user:a"), TENANT, "read", rangeOf("/a"));
    assert.equal(decision.allowed, true); // not a promise
    world.set(TENANT, [["p", "user:a", "/a", "read", "deny"], ALLOW_ALL]);
    assert.equal(may(world, "user:a", "read", "/a"), false);
  });

  test("refusal 44: eft Deny is ignored, a missing eft allows: every row is validated", () => {
    for (const effect of ["Deny", "DENY", "deny ", "allow\t", "Allow", "no"]) {
      refusedRow(["p", "user:a", "/a", "read", effect], /effect must be allow or deny/);
    }
    refusedRow(["p", "user:a", "/a", "read"], /five fields/);
    refusedRow(["p", "user:a", "/a", "read", "deny", "x"], /five fields/);
    refusedRow(["p", "user:a", "/a", "reads", "allow"], /action must be one of/);
    refusedRow(["g", "user:a"], /three fields/);
    refusedRow(["g", "user:a", "role:b", "dom"], /three fields/);
    refusedRow(["x", "user:a"], /begin with p or g/);
    refusedRow(["p", "user:a", `/${"x".repeat(10_241)}`, "read", "allow"], /longer than/);
    refusedRow(["p", `user:${"x".repeat(1024)}`, "/a", "read", "allow"], /longer than/);
    refusedRow(ALLOW_ALL, /repeats row 1/);
  });

  test("refusal 44: a stored row that is not valid refuses the whole tenant, others not", () => {
    const world = createWorld([ALLOW_ALL, ["p", "user:a", "/a", "read", "Deny"]]);
    world.set(OTHER, [ALLOW_ALL]);
    for (let i = 0; i < 3; i++) {
      assert.throws(() => may(world, "user:a", "read", "/b"), { code: "record-invalid" });
    }
    assert.equal(world.reads(), 1);
    assert.equal(world.access.check(who("user:a"), OTHER, "read", rangeOf("/b")).allowed, true);
    world.set(TENANT, [ALLOW_ALL]);
    assert.equal(may(world, "user:a", "read", "/b"), true);
  });

  test("refusal 44: arrays and objects become text: types are checked before casbin", () => {
    const world = createWorld([ALLOW_ALL]);
    assert.equal(may(world, "user:a", "read", "/a"), true);
    const odd = (value: string): unknown => ({ toString: () => value, length: value.length });
    const wrong: readonly [unknown, unknown, unknown, unknown, unknown][] = [
      [["user:a"], [], TENANT, "read", rangeOf("/a")],
      [odd("user:a"), [], TENANT, "read", rangeOf("/a")],
      ["user:a", "dev", TENANT, "read", rangeOf("/a")],
      ["user:a", [["dev"]], TENANT, "read", rangeOf("/a")],
      ["user:a", undefined, TENANT, "read", rangeOf("/a")],
      ["user:a", [], [TENANT], "read", rangeOf("/a")],
      ["user:a", [], odd(TENANT), "read", rangeOf("/a")],
      ["user:a", [], TENANT, ["read"], rangeOf("/a")],
      ["user:a", [], TENANT, "read", { lo: ["/a"], hi: "/b" }],
      ["user:a", [], TENANT, "read", { lo: "/a", hi: null }],
      ["user:a", [], TENANT, "read", { lo: "/a", hi: ["/b"] }],
    ];
    for (const [subject, groups, tenant, action, range] of wrong) {
      const { allowed } = world.access.check(
        { subject, groups } as AccessSubject,
        tenant as TenantId,
        action as Action,
        range as KeyRange,
      );
      assert.equal(allowed, false, JSON.stringify([subject, groups, action, range]));
    }
    refusedRow(["p", ["user:a"], "*", "*", "allow"], /field 2 is not a string/);
    refusedRow("p, user:a, *, *, allow", /not a list/);
  });

  test("refusal 44: an unknown domain grows a map for ever: unknown tenants leave nothing", () => {
    const world = createWorld([ALLOW_ALL]);
    for (let i = 0; i < 10_000; i++) {
      const tenant = `tenant-${i}` as TenantId;
      assert.equal(world.access.check(who("user:a"), tenant, "read", rangeOf("/a")).allowed, false);
    }
    const status = world.access.status();
    assert.deepEqual([status.tenants, status.principals, world.reads()], [0, 0, 0]);
  });

  test("refusal 44: role depth stops silently: refused when written", () => {
    const chain = (first: string, links: number): PolicyRow[] =>
      Array.from({ length: links }, (_, i): PolicyRow => {
        return ["g", i === 0 ? first : `role:${i}`, `role:${i + 1}`];
      });
    const last: PolicyRow = ["p", `role:${ROLE_DEPTH_MAX}`, "*", "read", "allow"];
    const world = createWorld([last, ...chain("user:a", ROLE_DEPTH_MAX)]);
    assert.equal(may(world, "user:a", "read", "/a"), true);
    const tooDeep = /policy row 1 begins a chain of more than 10 roles/;
    assert.throws(() => validateRows(chain("user:a", ROLE_DEPTH_MAX + 1)), tooDeep);
    assert.throws(() => validateRows(chain("group:a", ROLE_DEPTH_MAX)), tooDeep);
    validateRows(chain("group:a", ROLE_DEPTH_MAX - 1));
    assert.throws(() => validateRows([["g", "role:a", "role:a"]]), /circle/);
    const circle: PolicyRow[] = [
      ["g", "role:a", "role:b"],
      ["g", "role:b", "role:a"],
    ];
    assert.throws(() => validateRows(circle), /circle/);
  });

  test("refusal 44: dense role graphs take 0.5 s: fan-out is capped, the check is linear", () => {
    const roles = Array.from({ length: ROLES_PER_MEMBER_MAX }, (_, i) => `role:${i}`);
    const rows = roles.map((role): PolicyRow => ["g", "user:a", role]);
    validateRows(rows);
    assert.throws(() => validateRows([...rows, ["g", "user:a", "role:x"]]), /row 65 gives .* 64/);
    // Layers of roles, each linked to all of the next: 16^11 chains, one link too deep.
    const layers: PolicyRow[] = [];
    for (let layer = 0; layer <= ROLE_DEPTH_MAX; layer++) {
      for (let i = 0; i < 16; i++) {
        for (let j = 0; j < 16; j++)
          layers.push(["g", `role:${layer}-${i}`, `role:${layer + 1}-${j}`]);
      }
    }
    assert.throws(() => validateRows(layers), /more than 10 roles/);
    validateRows(layers.slice(0, -256));
    const world = createWorld([...layers.slice(0, -256), ["p", "role:10-3", "*", "*", "allow"]]);
    assert.equal(may(world, "user:a", "read", "/a"), false);
  });

  test("refusal 44: eval() in the model, or a model that decides otherwise: no start", () => {
    const start = (modelText: string): void => {
      createAccess({ modelText, rows: () => [], policyRevision: () => 1 });
    };
    const changed = (from: string, to: string): string => {
      assert.ok(FILES.modelText.includes(from), from);
      return FILES.modelText.replace(from, to);
    };
    start(FILES.modelText);
    assert.throws(() => start(changed("keyIn(", "eval(p.obj) && keyIn(")), /eval\(\)/);
    assert.throws(() => start(""), { code: "invalid-argument" });
    assert.throws(
      () => start(changed("&& !some(where (p.eft == deny))", "")),
      /another row denies/,
    );
    assert.throws(() => start(changed("r.dom == p.dom && ", "")), /another tenant/);
    assert.throws(() => start(changed("r2.dom == p.dom && ", "")), /another tenant/);
    assert.throws(
      () => start(changed('(p.act == "*" || p.act == r.act)', "true")),
      /another action/,
    );
    assert.throws(() => start(changed("keyIn(", "keyMatch(")), /keyMatch\(\)/);
    assert.throws(() => start(changed("keyIn(r.obj, p.obj)", "keyIn(r.obj")), /policy model/);
    assert.throws(() => start(changed("keyIn(r.obj, p.obj)", "true")), /policy model/);
    assert.throws(() => start(changed("rangeRel(", "noSuch(")), /cannot be evaluated/);
    assert.throws(() => start(changed("g(r2.sub, p.sub, r2.dom)", "true")), /another's range/);
  });

  test("refusal 44: a comma or newline in a role name makes rows: rows stay arrays", () => {
    const name = "role:a, *, *, allow";
    const world = createWorld([
      ["g", "user:a", name],
      ["p", name, "/a,b\nc", "read", "allow"],
    ]);
    assert.equal(may(world, "user:a", "read", "/a,b\nc"), true);
    assert.equal(may(world, "user:a", "read", "/a"), false);
    refusedRow(["g", "user:a", "role:a\np, user:evil, *, *, allow"], /control character/);
    assert.deepEqual(parsePolicyCsv('g, user:a, "role:a\np, user:evil, *, *, allow"\n').length, 1);
  });

  test("refusal 44: async enforce, enableEnforce, acceptJsonRequest: nowhere in the room", () => {
    const folder = join(dirname(findPolicyFolder(import.meta.url)), "src", "access");
    const files = readdirSync(folder).filter((name) => name.endsWith(".ts"));
    assert.ok(files.includes("judge.ts"));
    const banned =
      /enableEnforce|[aA]cceptJsonRequest|\.enforce\(|CachedEnforcer\(|loadPolicy\(|async /;
    for (const name of files) {
      assert.doesNotMatch(readFileSync(join(folder, name), "utf8"), banned, name);
    }
  });

  test("refusal 44: errors never quote a field, which may hold a user's key", () => {
    const secret = "hunter2";
    const rows: readonly PolicyRow[] = [
      ["p", secret, "*", "*", "allow"],
      ["p", "user:a", `${secret}*x`, "*", "allow"],
      ["p", "user:a", "*", secret, "allow"],
      ["p", "user:a", "*", "*", secret],
      ["g", "user:a", secret],
    ];
    for (const row of rows) {
      assert.throws(
        () => validateRows([row]),
        (error) => error instanceof CofferError && !error.message.includes(secret),
      );
    }
  });
});

test("what is kept is bounded, whatever asks", () => {
  const limits = { policyRowsMax: 50, principalGrantsMax: 100 };
  const world = createWorld([["p", "group:g", "*", "read", "allow"]], limits);
  for (let i = 0; i < 5000; i++) {
    const asked = world.access.check(who(`user:${i}`, "g"), TENANT, "read", rangeOf("/a"));
    assert.equal(asked.allowed, true);
    const tenant = `tenant-${i}` as TenantId;
    world.set(tenant, [ALLOW_ALL]);
    assert.equal(world.access.check(who("user:a"), tenant, "read", rangeOf("/a")).allowed, true);
  }
  const { tenants, policyRows, principals, principalGrants } = world.access.status();
  assert.ok(tenants + policyRows <= 50 && tenants > 0, `${tenants} tenants, ${policyRows} rows`);
  assert.ok(principals + principalGrants <= 100 && principals > 0, `${principals} principals`);
});
