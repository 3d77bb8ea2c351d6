import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { key } from "../../src/core/types/mod.ts";
import { answer, headerText, reply, run } from "./harness.ts";

describe("policy", () => {
  const rows = [
    ["p", "role:reader", "/app/*", "read", "allow"],
    ["g", "user:a, b", 'role:"x"'],
  ];
  const csv = 'p, role:reader, /app/*, read, allow\ng, "user:a, b", "role:""x"""\n';
  const listed = { policyList: answer({ policyRevision: 4, rows }).method };

  test("list and export write CSV, and -w json the rows", async () => {
    for (const verb of ["list", "export"]) {
      assert.equal((await run(["policy", verb], { client: listed })).stdout, csv);
    }
    const { stdout } = await run(["policy", "list", "-w", "json"], { client: listed });
    assert.equal(stdout, `{${headerText},"policy_revision":4,"rows":${JSON.stringify(rows)}}\n`);
  });

  test("add and remove", async () => {
    const { asked, method } = answer({ policyRevision: 5 });
    const client = { policyChange: method };
    const added = await run(["policy", "add", "user:a", "/x", "read"], { client });
    assert.equal(added.stdout, "added 1, removed 0; policy revision 5\n");
    await run(["policy", "remove", "user:a", "/x", "read", "deny"], { client });
    await run(["policy", "add", "--role", "user:a", "role:r"], { client });
    assert.deepEqual(asked, [
      { add: [["p", "user:a", "/x", "read", "allow"]], remove: [] },
      { add: [], remove: [["p", "user:a", "/x", "read", "deny"]] },
      { add: [["g", "user:a", "role:r"]], remove: [] },
    ]);
    assert.equal((await run(["policy", "add", "user:a", "/x"])).code, 2);
    assert.equal((await run(["policy", "add", "--role", "a", "b", "c"])).code, 2);
  });

  test("import adds what is missing, and --replace removes the rest", async () => {
    const { asked, method } = answer({ policyRevision: 5 });
    const client = { ...listed, policyChange: method };
    const text = `# comment\n\np, role:reader, /app/*, read\ng,user:c,role:r\ng,user:c,role:r\n`;
    await run(["policy", "import"], { client, stdin: text });
    await run(["policy", "import", "f.csv", "--replace"], { client, files: { "f.csv": text } });
    assert.deepEqual(asked, [
      { add: [["g", "user:c", "role:r"]], remove: [] },
      { add: [["g", "user:c", "role:r"]], remove: [rows[1]] },
    ]);
    const same = await run(["policy", "import"], { client, stdin: csv });
    assert.deepEqual([same.code, same.stdout, asked.length], [0, "nothing to change\n", 2]);
  });

  for (const bad of ["p, a, b\n", "q, a, b\n", 'g, "a, b\n', 'g, a"b, c\n', "p,a,b,c,allow,x\n"]) {
    test(`import refuses ${JSON.stringify(bad)} and names the line`, async () => {
      const { code, stderr } = await run(["policy", "import"], { stdin: `g, a, b\n${bad}` });
      assert.equal(code, 2);
      assert.match(stderr, /^Error: line 2 /);
    });
  }

  test("can-i answers with the row, and with its exit code", async () => {
    const yes = answer({ allowed: true, row: rows[0] });
    const allowed = await run(["policy", "can-i", "read", "--prefix", "/app/", "--as", "user:b"], {
      client: { policyAsk: yes.method },
    });
    assert.deepEqual(
      [allowed.code, allowed.stdout],
      [0, "yes: p, role:reader, /app/*, read, allow\n"],
    );
    assert.deepEqual(yes.asked, [
      { subject: "user:b", groups: [], action: "read", key: "/app/", rangeEnd: "/app0" },
    ]);
    const no = answer({ allowed: false, row: undefined });
    const denied = await run(["policy", "can-i", "read", "/x"], {
      client: { policyAsk: no.method },
    });
    assert.deepEqual([denied.code, denied.stdout], [4, "no: no row allows it, or one denies it\n"]);
  });
});

describe("files of changes", () => {
  const rows = [
    ["p", "user:a", "/a", "read", "allow"],
    ["p", "user:b", "line\nend", "read", "allow"],
    ["g", "user:a", "role:r"],
  ];
  const listed = { policyList: answer({ policyRevision: 4, rows }).method };

  test("export and import carry any field, line ends too", async () => {
    const { stdout } = await run(["policy", "export"], { client: listed });
    assert.match(stdout, /"line\nend"/);
    const same = await run(["policy", "import", "--replace"], { client: listed, stdin: stdout });
    assert.equal(same.stdout, "nothing to change\n");
    const shown = await run(["policy", "list"], { client: listed });
    assert.match(shown.stdout, /"line\\x0aend"/);
  });

  test("diff tells what import --replace would do, and its output is a file of changes", async () => {
    const { asked, method } = answer({ policyRevision: 5 });
    const client = { ...listed, policyChange: method };
    const text = "p, user:a, /a, read, deny\ng, user:a, role:r\n";
    const diff = await run(["policy", "diff", "f"], { client, files: { f: text } });
    const lines = [
      "- p, user:a, /a, read, allow",
      "+ p, user:a, /a, read, deny",
      '- p, user:b, "line\nend", read, allow',
      "",
    ];
    assert.deepEqual([diff.code, diff.stdout], [1, lines.join("\n")]);
    await run(["policy", "import"], { client, stdin: diff.stdout });
    await run(["policy", "import", "--replace"], { client, stdin: text });
    const change = { add: [["p", "user:a", "/a", "read", "deny"]], remove: rows.slice(0, 2) };
    assert.deepEqual(asked, [change, change]);
    const again = await run(["policy", "diff"], { client, stdin: diff.stdout });
    assert.deepEqual([again.code, again.stdout], [1, diff.stdout]);
    const json = await run(["policy", "diff", "-w", "json"], { client, stdin: text });
    assert.deepEqual(JSON.parse(json.stdout), { policy_revision: 4, equal: false, ...change });
    const steering = `${text}p, user:a, /\u001b, read\n`;
    const seen = await run(["policy", "diff"], { client, stdin: steering, isTty: true });
    assert.match(seen.stdout, /\+ p, user:a, \/\\x1b, read, allow\n/);
    const kept = await run(["policy", "diff"], { client, stdin: steering });
    assert.ok(kept.stdout.includes("+ p, user:a, /\u001b, read, allow\n"));
    const whole = await run(["policy", "export"], { client });
    const equal = await run(["policy", "diff"], { client, stdin: whole.stdout });
    assert.deepEqual([equal.code, equal.stdout], [0, ""]);
  });

  test("a row to remove that is not there, and signs beside --replace, are refused", async () => {
    const missing = await run(["policy", "import"], {
      client: listed,
      stdin: "- p, user:x, /a, read, allow\n",
    });
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /not in the policy: p, user:x, \/a, read, allow; see: coffer/);
    const both = await run(["policy", "import", "--replace"], { stdin: "+ g, user:a, role:r\n" });
    assert.match(both.stderr, /leave --replace out/);
  });

  test("try shows who is decided otherwise, and warns of locking oneself out", async () => {
    const trial = {
      problems: [],
      records: 120,
      judged: 100,
      moved: 3,
      cut: 1,
      oldest: 1_795_000_000_000,
      changes: [
        {
          subject: "user:b",
          groups: ["dev"],
          action: "range",
          key: key("/app/"),
          rangeEnd: key("/app0"),
          allowedNow: true,
          count: 40,
          lastSeen: 1_795_000_001_000,
        },
      ],
      changesTotal: 2,
      locksOut: true,
    };
    const { asked, method } = answer(trial);
    const client = { ...listed, policyTry: method };
    const stdin = "- p, user:a, /a, read, allow\np, user:a, /c\u001b, read\n";
    const { code, stdout } = await run(["policy", "try", "--last", "120"], { client, stdin });
    assert.equal(code, 1);
    assert.equal(
      stdout,
      `120 audit records of this member since 2026-11-18T11:06:40Z, 100 of them judged
1 not judged: they name too many or too long keys
3 were decided otherwise then: the policy has changed since
WARNING: you could no longer change the policy yourself

NOW      THEN     COUNT  LAST SEEN             SUBJECT       REQUEST
allowed  refused  40     2026-11-18T11:06:41Z  user:b (dev)  range all keys that start with "/app/"
... and 1 more, each seen less often
`,
    );
    const add = [["p", "user:a", "/c\u001b", "read", "allow"]];
    assert.deepEqual(asked, [{ add, remove: [rows[0]], last: 120 }]);
    const none = answer({
      ...trial,
      changes: [],
      changesTotal: 0,
      locksOut: false,
      moved: 0,
      cut: 0,
    });
    const quiet = await run(["policy", "try"], {
      client: { ...listed, policyTry: none.method },
      stdin,
    });
    assert.equal(quiet.code, 0);
    assert.match(quiet.stdout, /judged\nthe change would decide none of them otherwise\n$/);
    const bad = answer({ ...trial, problems: ["policy row 1 effect \u001b must be"] });
    const refused = await run(["policy", "try"], {
      client: { ...listed, policyTry: bad.method },
      stdin,
    });
    assert.deepEqual(
      [refused.code, refused.stdout],
      [2, "The change would be refused:\n  policy row 1 effect \\x1b must be\n"],
    );
  });
});

describe("who-can and explain", () => {
  const row = ["p", "role:r", "/a*", "read", "allow"];

  test("who-can puts pages together, and tells that groups can add more", async () => {
    const asked: unknown[] = [];
    const policyWhoCan = async (question: { readonly after: string }): Promise<never> => {
      asked.push(question);
      const subject = question.after === "" ? "group:dev" : "user:a\u001b";
      const more = question.after === "";
      return reply({
        holders: [{ subject, row }],
        more,
        next: subject,
        policyRevision: 3,
      }) as never;
    };
    const client = { policyWhoCan };
    const { code, stdout, stderr } = await run(["policy", "who-can", "read", "--prefix", "/a"], {
      client,
    });
    assert.equal(code, 0);
    const table = [
      "SUBJECT     BY",
      "group:dev   p, role:r, /a*, read, allow",
      "user:a\\x1b  p, role:r, /a*, read, allow",
      "",
    ];
    assert.equal(stdout, table.join("\n"));
    assert.match(stderr, /token names one of these groups may too/);
    const range = { action: "read", key: "/a", rangeEnd: "/b" };
    assert.deepEqual(asked, [
      { ...range, after: "" },
      { ...range, after: "group:dev" },
    ]);
    const json = await run(["policy", "who-can", "read", "/a", "-w", "json"], { client });
    const { holders, policy_revision } = JSON.parse(json.stdout) as Record<string, unknown>;
    assert.equal(policy_revision, 3);
    assert.deepEqual(holders, [
      { subject: "group:dev", row },
      { subject: "user:a\u001b", row },
    ]);
  });

  test("explain names the rows, the chains, and what is missing", async () => {
    const explain = async (body: object, argv: readonly string[]): Promise<string> => {
      const { method, asked } = answer(body);
      const { code, stdout } = await run(["policy", "explain", ...argv], {
        client: { policyExplain: method as never },
      });
      assert.deepEqual([code, asked.length], [0, 1]);
      return stdout;
    };
    const via = ["user:a", "group:dev", "role:r"];
    const nothing = { key: key(""), rangeEnd: key("") };
    const subject = { subject: "user:a", groups: ["dev"] };
    assert.equal(
      await explain(
        {
          ...subject,
          allowed: true,
          reason: "row-allows",
          grounds: [{ row, via }],
          missing: nothing,
        },
        ["read", "/a/x", "--as", "user:a", "--groups", "dev"],
      ),
      'yes: user:a (group:dev) may read "/a/x"\n  p, role:r, /a*, read, allow\n    user:a -> group:dev -> role:r\n',
    );
    const missing = { key: key("/b"), rangeEnd: key("/c") };
    assert.equal(
      await explain(
        {
          ...subject,
          groups: [],
          allowed: false,
          reason: "no-row-allows",
          grounds: [{ row, via: ["user:a"] }],
          missing,
        },
        ["list", "/a", "/d"],
      ),
      'no: user:a may not list the keys from "/a" up to "/d", which is not among them\n' +
        'allowed by no row: all keys that start with "/b"\n' +
        "what comes before that is allowed by:\n  p, role:r, /a*, read, allow\n",
    );
    const denied = { row: ["p", "user:a", "/x", "*", "deny"], via: ["user:a"] };
    assert.match(
      await explain(
        { ...subject, allowed: false, reason: "row-denies", grounds: [denied], missing: nothing },
        ["read", "--from-key", ""],
      ),
      /may not read all keys\ndenied, whatever else allows it, by:\n {2}p, user:a, \/x, \*, deny\n$/,
    );
  });
});
