import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { MAIN, MemberFolder } from "./member-process.ts";

/** Refusal 64 in what commands print: a key that somebody else has chosen does nothing to a terminal. */

const KEY = 'k\r\n{"forged":1}\u001b[31mred\u001b]0;title\u0007\u009b2J\u202egnp';

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function coffer(folder: MemberFolder, ...args: readonly string[]): Promise<Outcome> {
  const env = folder.environment();
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

test("refusal 64: keys with control characters in what commands print", async () => {
  using folder = await MemberFolder.make();
  await using member = await folder.start();
  await using client = folder.client();
  const key = Buffer.from(KEY);
  await client.put({ key, value: Buffer.from("v") });
  await client.policyChange({ add: [{ fields: ["p", "user:a", KEY, "read", "allow"] }] });
  // All but `get`, `watch` and `lease timetolive --keys`, which print keys as they are, as etcdctl does.
  const commands: readonly (readonly string[])[] = [
    ["audit", "search", "--key-prefix", "k"],
    ["history", KEY],
    ["rollback", KEY, "--rev", "999"],
    ["policy", "list"],
    ["policy", "who-can", "read", KEY],
    ["policy", "explain", "read", KEY, "--as", "user:a"],
    ["tenant", "show", KEY],
    ["token", "revoke", "--jti", KEY],
    [KEY],
  ];
  const outcomes = await Promise.all(commands.map((command) => coffer(folder, ...command)));
  for (const [at, { stdout, stderr }] of outcomes.entries()) {
    const name = commands[at]?.slice(0, 2).join(" ");
    assert.ok(stdout + stderr !== "", name);
    for (const line of [...stdout.split("\n"), ...stderr.split("\n")]) {
      assert.doesNotMatch(line, /\p{Cc}/u, name);
      assert.ok(!line.startsWith('{"forged"'), name);
    }
  }
  // The key is in most of it.
  assert.ok(outcomes.filter(({ stdout, stderr }) => /forged/.test(stdout + stderr)).length >= 5);
  assert.equal(await member.stop(), 0);
});
