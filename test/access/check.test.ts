import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ALL_KEYS, type PolicyRow, adminRange } from "../../src/access/mod.ts";
import { type TenantId, key, keyAfter, keyRange, prefixRange } from "../../src/core/types/mod.ts";
import { FILES, OTHER, TENANT, createWorld, may, rangeOf, who } from "./world.ts";

const FROM_KEY = key("\0");

describe("ranges", () => {
  const oneKey = createWorld([["p", "user:a", "/a", "*", "allow"]]);

  test("refusal 1: an open end asked by a reader of one key", () => {
    assert.equal(may(oneKey, "user:a", "read", "/a"), true);
    assert.equal(may(oneKey, "user:a", "read", keyRange(key("/a"), FROM_KEY)), false);
    assert.equal(may(oneKey, "user:a", "read", keyRange(key("\0"), FROM_KEY)), false);
  });

  test("refusal 2: a range that ends before it begins needs all between its ends", () => {
    for (const end of ["/", "/A", "\u0001"]) {
      const backwards = keyRange(key("/a"), key(end));
      assert.equal(may(oneKey, "user:a", "read", backwards), false, JSON.stringify(end));
    }
    assert.equal(may(oneKey, "user:a", "read", keyRange(key("/a"), key("/a"))), true);
    assert.equal(may(oneKey, "user:b", "read", keyRange(key("/a"), key("/a"))), false);
    const all = createWorld([["p", "user:a", "*", "read", "allow"]]);
    assert.equal(may(all, "user:a", "read", keyRange(key("/b"), key("/a"))), true);
    const hole = createWorld([
      ["p", "user:a", "*", "read", "allow"],
      ["p", "user:a", "/am", "read", "deny"],
    ]);
    assert.equal(may(hole, "user:a", "read", keyRange(key("/b"), key("/a"))), false);
  });

  test("refusal 3: a watch with an open end by a reader of one key", () => {
    assert.equal(may(oneKey, "user:a", "watch", "/a"), true);
    assert.equal(may(oneKey, "user:a", "watch", keyRange(key("/a"), FROM_KEY)), false);
  });

  test("refusal 4: prefix /a with a grant on /a/*, since it would include /ab", () => {
    const world = createWorld([["p", "user:a", "/a/*", "watch", "allow"]]);
    assert.equal(may(world, "user:a", "watch", "/a/*"), true);
    assert.equal(may(world, "user:a", "watch", "/a/b/*"), true);
    assert.equal(may(world, "user:a", "watch", "/a/"), true);
    assert.equal(may(world, "user:a", "watch", "/a*"), false);
    assert.equal(may(world, "user:a", "watch", "/a"), false);
    assert.equal(may(world, "user:a", "watch", "/ab"), false);
    assert.equal(may(world, "user:a", "watch", keyRange(key("/a/"), key("/a1"))), false);
  });

  test("refusal 5: a list over a denied hole is refused as one that nothing allows", () => {
    const world = createWorld([
      ["p", "user:a", "/a/*", "*", "allow"],
      ["p", "user:a", "/a/secret", "*", "deny"],
      ["p", "user:b", "/b/*", "*", "allow"],
    ]);
    assert.equal(may(world, "user:a", "list", "/a/*"), false);
    assert.equal(may(world, "user:a", "list", "/a/s*"), false);
    assert.equal(may(world, "user:a", "list", "/a/secret"), false);
    assert.equal(may(world, "user:a", "list", "/a/secret2"), true);
    const beside = keyRange(keyAfter(key("/a/secret")), key("/a0"));
    assert.equal(may(world, "user:a", "list", beside), true);
    // What a refused caller sees carries the same two facts as for a range nobody named.
    const { allowed, policyRevision } = world.access.check(
      who("user:a"),
      TENANT,
      "list",
      rangeOf("/a/*"),
    );
    const none = world.access.check(who("user:b"), TENANT, "list", rangeOf("/a/*"));
    assert.deepEqual({ allowed, policyRevision }, { allowed: none.allowed, policyRevision: 1 });
  });

  test("refusal 7, 10: an action grants itself only", () => {
    const world = createWorld([["p", "user:a", "/a/*", "write", "allow"]]);
    assert.equal(may(world, "user:a", "write", "/a/x"), true);
    for (const action of ["read", "list", "delete", "watch", "lease", "admin"] as const) {
      assert.equal(may(world, "user:a", action, "/a/x"), false, action);
    }
  });

  test("refusal 12: spelling is never normalised", () => {
    const world = createWorld([
      ["p", "user:a", "/app/caf\u00e9", "read", "allow"],
      ["p", "user:a", "/dir/*", "read", "allow"],
    ]);
    const utf8 = (text: string): string => Buffer.from(text).toString("latin1");
    assert.equal(may(world, "user:a", "read", utf8("/app/caf\u00e9")), true);
    for (const other of [
      "/app/cafe\u0301",
      "/app/CAF\u00c9",
      "/app//caf\u00e9",
      "/app/./caf\u00e9",
    ]) {
      assert.equal(may(world, "user:a", "read", utf8(other)), false, other);
    }
    for (const other of ["/DIR/x", "//dir/x", "/x/../dir/x", "%2Fdir/x", "/dir%2Fx"]) {
      assert.equal(may(world, "user:a", "read", other), false, other);
    }
    assert.equal(
      may(world, "user:a", "read", "/dir/../x"),
      true,
      "a key like any other under /dir/",
    );
  });

  test("adjacent grants add up, as etcd's; a gap of one key does not", () => {
    const rows: PolicyRow[] = [
      ["p", "user:a", "/a*", "read", "allow"],
      ["p", "role:r", "/b*", "read", "allow"],
      ["p", "user:a", "/d*", "read", "allow"],
      ["g", "user:a", "role:r"],
    ];
    const world = createWorld(rows);
    assert.equal(may(world, "user:a", "read", keyRange(key("/a"), key("/c"))), true);
    assert.equal(may(world, "user:a", "read", keyRange(key("/ab"), key("/bz"))), true);
    assert.equal(may(world, "user:a", "read", keyRange(key("/a"), key("/c\0"))), false);
    assert.equal(may(world, "user:a", "read", keyRange(key("/a"), key("/d"))), false);
    world.set(TENANT, [...rows, ["p", "user:a", "/c*", "write", "allow"]]);
    assert.equal(may(world, "user:a", "read", keyRange(key("/a"), key("/d"))), false);
    world.set(TENANT, [...rows, ["p", "user:a", "/c*", "read", "allow"]]);
    assert.equal(may(world, "user:a", "read", keyRange(key("/a"), key("/e"))), true);
  });

  test("keys may hold any byte, NUL and 0xff too", () => {
    const world = createWorld([["p", "user:a", "/a*", "read", "allow"]]);
    assert.equal(may(world, "user:a", "read", "/a\0"), true);
    assert.equal(may(world, "user:a", "read", "/a\xff\xff"), true);
    assert.equal(may(world, "user:a", "read", prefixRange(key("/a\xff"))), true);
    assert.equal(may(world, "user:a", "read", prefixRange(key("\xff"))), false);
  });
});

describe("subjects and tenants", () => {
  test("refusal 48: no policy, everything refused", () => {
    const world = createWorld([]);
    for (const range of [rangeOf("/a"), rangeOf("/a*"), ALL_KEYS]) {
      for (const action of [
        "read",
        "list",
        "write",
        "delete",
        "watch",
        "lease",
        "admin",
      ] as const) {
        assert.equal(may(world, "user:a", action, range), false);
      }
    }
    assert.equal(
      world.access.explain(who("user:a"), TENANT, "read", ALL_KEYS).reason,
      "no-row-allows",
    );
  });

  test("refusal 31: a subject that spells a role, a group or nothing known", () => {
    const world = createWorld([
      ["p", "role:admin", "*", "*", "allow"],
      ["p", "group:admin", "*", "*", "allow"],
      ["g", "user:a", "role:admin"],
    ]);
    assert.equal(may(world, "user:a", "read", "/a"), true);
    const spelled = ["role:admin", "group:admin", "admin", "user:", "", "user:a\n", "user:a\0"];
    for (const subject of [...spelled, "ROLE:admin", " role:admin", `user:${"x".repeat(10_240)}`]) {
      assert.equal(may(world, subject, "read", "/a"), false, JSON.stringify(subject.slice(0, 20)));
    }
    const asGroup = world.access.check(who("user:x", "role:admin"), TENANT, "read", rangeOf("/a"));
    assert.equal(asGroup.allowed, false, "a group called role:admin is group:role:admin");
  });

  test("refusal 16: a role of one tenant gives nothing in another", () => {
    const world = createWorld([
      ["g", "user:a", "role:r"],
      ["p", "role:r", "*", "*", "allow"],
    ]);
    world.set(OTHER, [["p", "role:r", "*", "*", "allow"]]);
    assert.equal(world.access.check(who("user:a"), OTHER, "read", rangeOf("/a")).allowed, false);
    assert.equal(may(world, "user:a", "read", "/a"), true);
  });

  test("groups reach roles, and a denied group is denied", () => {
    const world = createWorld([
      ["g", "group:dev", "role:writer"],
      ["p", "role:writer", "/app/*", "write", "allow"],
      ["p", "group:interns", "/app/prod", "*", "deny"],
    ]);
    const ask = (name: string, ...groups: string[]): boolean =>
      world.access.check(who("user:a", ...groups), TENANT, "write", rangeOf(name)).allowed;
    assert.equal(ask("/app/prod"), false);
    assert.equal(ask("/app/prod", "dev"), true);
    assert.equal(ask("/app/prod", "dev", "interns"), false);
    assert.equal(ask("/app/test", "interns", "dev"), true);
  });

  test("a deleted tenant is unknown at once", () => {
    const world = createWorld([["p", "user:a", "*", "*", "allow"]]);
    assert.equal(may(world, "user:a", "read", "/a"), true);
    world.remove(TENANT);
    assert.equal(may(world, "user:a", "read", "/a"), false);
  });
});

describe("seed roles", () => {
  const world = createWorld([
    ...FILES.seedRows({ owner: "user:owner" }),
    ["g", "user:reader", "role:reader"],
    ["g", "user:writer", "role:writer"],
    ["g", "user:auditor", "role:auditor"],
    ["g", "cert:apiserver", "role:kube-apiserver"],
  ]);

  test("each may what its file says", () => {
    const may1 = (subject: string, action: Parameters<typeof may>[2], name: string): boolean =>
      may(world, subject, action, name);
    assert.equal(may1("user:owner", "delete", "*"), true);
    assert.equal(may(world, "user:owner", "admin", ALL_KEYS), true);
    assert.equal(may1("user:reader", "read", "/x"), true);
    assert.equal(may1("user:reader", "write", "/x"), false);
    assert.equal(may1("user:writer", "read", "/x*"), true);
    assert.equal(may1("user:writer", "delete", "/x*"), true);
    assert.equal(may(world, "user:writer", "admin", ALL_KEYS), false);
    assert.equal(may1("user:auditor", "list", "*"), true);
    assert.equal(may1("user:auditor", "read", "/x"), false);
    assert.equal(may(world, "user:auditor", "admin", adminRange("audit/read")), true);
    assert.equal(may(world, "user:auditor", "admin", adminRange("policy/change")), false);
    assert.equal(may(world, "user:auditor", "admin", ALL_KEYS), false);
    assert.equal(may1("cert:apiserver", "write", "/registry/pods/a/b"), true);
    assert.equal(may1("cert:apiserver", "watch", "/registry/pods/*"), true);
    assert.equal(may1("cert:apiserver", "write", "compact_rev_key"), true);
    assert.equal(may1("cert:apiserver", "read", "/app/x"), false);
    assert.equal(may(world, "cert:apiserver", "lease", ALL_KEYS), true);
    assert.equal(may(world, "cert:apiserver", "admin", adminRange("compact")), true);
    assert.equal(may(world, "cert:apiserver", "admin", adminRange("policy/change")), false);
    assert.equal(may1("user:nobody", "read", "/x"), false);
  });

  test("an owner that is no subject is refused", () => {
    for (const owner of ["alice", "", "user:", "user:a\nb"]) {
      assert.throws(() => FILES.seedRows({ owner }), { code: "invalid-argument" });
    }
  });
});

test("explain names the row, the chain to it and the reason", () => {
  const world = createWorld([
    ["g", "group:dev", "role:writer"],
    ["g", "role:writer", "role:reader"],
    ["p", "role:reader", "/a/*", "read", "allow"],
    ["p", "user:a", "/a/x", "read", "deny"],
  ]);
  const ask = (name: string, tenant: TenantId = TENANT): ReturnType<typeof world.access.explain> =>
    world.access.explain(who("user:a", "dev"), tenant, "read", rangeOf(name));
  assert.deepEqual(ask("/a/y"), {
    allowed: true,
    policyRevision: 1,
    reason: "row-allows",
    grounds: [
      {
        row: ["p", "role:reader", "/a/*", "read", "allow"],
        via: ["user:a", "group:dev", "role:writer", "role:reader"],
      },
    ],
    missing: undefined,
  });
  assert.deepEqual(ask("/a/*"), {
    allowed: false,
    policyRevision: 1,
    reason: "row-denies",
    grounds: [{ row: ["p", "user:a", "/a/x", "read", "deny"], via: ["user:a"] }],
    missing: undefined,
  });
  assert.deepEqual(
    [ask("/b").reason, ask("/b").grounds, ask("/b").missing],
    ["no-row-allows", [], rangeOf("/b")],
  );
  assert.equal(ask("/a/y", OTHER).reason, "unknown-tenant");
  const asRole = world.access.explain(who("role:reader"), TENANT, "read", rangeOf("/a/y"));
  assert.equal(asRole.reason, "malformed-question");
});

test("explain names all rows of a union, and the first keys that are missing", () => {
  const rows: PolicyRow[] = [
    ["p", "user:a", "/a*", "read", "allow"],
    ["p", "user:a", "/b*", "read", "allow"],
    ["p", "user:a", "/d*", "read", "allow"],
  ];
  const world = createWorld(rows);
  const ask = (lo: string, hi: string): ReturnType<typeof world.access.explain> =>
    world.access.explain(who("user:a"), TENANT, "read", keyRange(key(lo), key(hi)));
  const both = ask("/a", "/c");
  assert.deepEqual(
    both.grounds.map(({ row }) => row),
    rows.slice(0, 2),
  );
  assert.equal(both.missing, undefined);
  const hole = ask("/a", "/e");
  assert.equal(hole.reason, "no-row-allows");
  assert.deepEqual(hole.missing, { lo: "/c", hi: "/d" });
  assert.deepEqual(ask("/b", "/cc").missing, { lo: "/c", hi: "/cc" });
  assert.deepEqual(ask("/a", "\0").missing, { lo: "/c", hi: "/d" });
});

test("a trial judges by rows that are not in force, and leaves the policy in force alone", () => {
  const world = createWorld([["p", "user:a", "/a", "read", "allow"]]);
  const trial = world.access.trial(TENANT, [["p", "user:a", "/b", "read", "allow"]]);
  const asked = (name: string): readonly boolean[] => [
    may(world, "user:a", "read", name),
    trial.check(who("user:a"), TENANT, "read", rangeOf(name)).allowed,
  ];
  assert.deepEqual(
    [asked("/a"), asked("/b")],
    [
      [true, false],
      [false, true],
    ],
  );
  assert.deepEqual(
    [trial.hasGrant(who("user:a"), TENANT), trial.hasGrant(who("user:b"), TENANT)],
    [true, false],
  );
  assert.equal(trial.check(who("user:a"), OTHER, "read", rangeOf("/b")).allowed, false);
  assert.throws(() => world.access.trial(TENANT, [["p", "user:a", "/b", "read", "Deny"]]), /row 1/);
});

test("whoCan lists those whom the policy itself gives the right", () => {
  const world = createWorld([
    ["g", "user:a", "role:reader"],
    ["g", "group:dev", "role:reader"],
    ["p", "role:reader", "/a/*", "read", "allow"],
    ["p", "sa:ns/b", "*", "*", "allow"],
    ["p", "user:c", "*", "*", "allow"],
    ["p", "user:c", "/a/x", "*", "deny"],
  ]);
  const holders = (name: string): string[] =>
    [...world.access.whoCan(TENANT, "read", rangeOf(name))].flatMap((one) => one?.subject ?? []);
  assert.deepEqual(holders("/a/x"), ["group:dev", "sa:ns/b", "user:a"]);
  assert.deepEqual(holders("/a/y"), ["group:dev", "sa:ns/b", "user:a", "user:c"]);
  assert.deepEqual(holders("/b"), ["sa:ns/b", "user:c"]);
  const rest = [...world.access.whoCan(TENANT, "read", rangeOf("/a/x"), "group:dev")];
  assert.deepEqual(
    rest.map((one) => one?.subject),
    ["sa:ns/b", "user:a", undefined],
  );
  assert.deepEqual([...world.access.whoCan(OTHER, "read", rangeOf("/a/x"))], []);
});
