import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { createLogger, redactText, type LeveledLogger } from "../../src/telemetry/mod.ts";
import { pemBegin, pemText } from "../setup/pem-text.ts";

function recorder(): {
  logger: LeveledLogger;
  lines: string[];
  last: () => Record<string, unknown>;
} {
  const lines: string[] = [];
  const logger = createLogger({ level: "info", destination: { write: (l) => lines.push(l) } });
  return {
    logger,
    lines,
    last: () => JSON.parse(lines.at(-1) ?? "null") as Record<string, unknown>,
  };
}

const JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c2VyOmFsaWNlIn0.c2lnbmF0dXJlLWJ5dGVz";
const PEM = pemText("PRIVATE KEY", "MC4CAQAwBQYDK2Vw");

test("a line is JSON with level, time, message and fields", () => {
  const { logger, last } = recorder();
  logger.info("started", { port: 2379, id: 5n, when: new Date(0) });
  const line = last();
  assert.equal(line["level"], "info");
  assert.equal(line["message"], "started");
  assert.equal(line["port"], 2379);
  assert.equal(line["id"], "5");
  assert.equal(line["when"], "1970-01-01T00:00:00.000Z");
  assert.match(String(line["time"]), /^\d{4}-\d\d-\d\dT/);
});

test("the level filters and can be moved while running, children follow", () => {
  const { logger, lines } = recorder();
  const child = logger.child({ room: "node" });
  child.debug("hidden");
  assert.equal(lines.length, 0);
  logger.setLevel("debug");
  child.debug("shown");
  assert.equal(lines.length, 1);
  logger.setLevel("silent");
  child.error("hidden");
  assert.equal(lines.length, 1);
  assert.equal(logger.level, "silent");
});

test("a child binds fields", () => {
  const { logger, last } = recorder();
  logger.child({ room: "node" }).child({ member: "a" }).warn("slow", { ms: 3 });
  const line = last();
  assert.deepEqual([line["room"], line["member"], line["ms"]], ["node", "a", 3]);
});

test("fields of secret names are hidden at any depth", () => {
  const { logger, lines } = recorder();
  const names = ["token", "Authorization", "password", "key", "value", "secret", "accessToken"];
  logger.info("x", Object.fromEntries(names.map((name) => [name, "hunter2"])));
  logger.info("x", { nested: { list: [{ clientSecret: "hunter2" }] } });
  logger.child({ token: "hunter2" }).info("x");
  assert.equal(lines.length, 3);
  assert.ok(!lines.join("").includes("hunter2"));
});

test("refusal 63: what looks like a JWT or a PEM block is hidden in messages, fields and errors", () => {
  const { logger, lines } = recorder();
  logger.info(`got Bearer ${JWT} from x`);
  logger.info("x", { header: `Bearer ${JWT}`, text: `a ${PEM} b`, [JWT]: 1 });
  const error = new Error(`bad token ${JWT}`, { cause: new Error(PEM) });
  logger.error("failed", { error, list: [JWT] });
  const all = lines.join("");
  assert.equal(lines.length, 3);
  assert.ok(!all.includes("eyJ"));
  assert.ok(!all.includes("MC4CAQ"));
  assert.match(all, /from x/);
  assert.match(all, /"text":"a \[redacted\] b"/);
});

test("a PEM block whose end is cut off is hidden to the end", () => {
  assert.equal(redactText(`a ${pemBegin("RSA PRIVATE KEY")}\nMIIE`), "a [redacted]");
});

test("bytes are never printed", () => {
  const { logger, last } = recorder();
  logger.info("x", { body: new TextEncoder().encode("plaintext"), buffer: Buffer.from("abc") });
  assert.deepEqual([last()["body"], last()["buffer"]], ["[9 bytes]", "[3 bytes]"]);
});

test("refusal 64: CR, LF and ANSI are escaped, one call is one line", () => {
  const { logger, lines, last } = recorder();
  logger.info("a\r\nlevel=error\u001b[31m", { agent: "x\n\u001b]0;t\u0007\u0000" });
  assert.equal(lines.length, 1);
  const text = lines[0] ?? "";
  assert.ok(!Array.from(text.slice(0, -1)).some((char) => char < " "));
  assert.equal(text.indexOf("\n"), text.length - 1);
  assert.equal(last()["message"], "a\r\nlevel=error\u001b[31m");
});

test("refusal 64: controls of one byte, turned and hidden text are escaped, letters are not", () => {
  const { logger, lines, last } = recorder();
  const steering = "x\u009b31m\u007f\u0085\u2028\u2029\u202egnp\u200b\ufeff\u{e0001}\ud800";
  logger.warn(steering, { [steering]: steering, name: "Zoë 東京 😀" });
  assert.doesNotMatch((lines[0] ?? "").slice(0, -1), /[\p{C}\p{Zl}\p{Zp}]/u);
  assert.ok(lines[0]?.includes("Zoë 東京 😀"));
  assert.equal(last()["message"], steering);
  assert.equal(last()[steering], steering);
});

test("cycles, depth and width are bounded", () => {
  const { logger, lines } = recorder();
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;
  logger.info("x", { cycle, wide: Array.from({ length: 1000 }, (_, i) => i), f: () => 1 });
  logger.info("y".repeat(1_000_000));
  assert.ok((lines[0] ?? "").length < 2000);
  assert.ok((lines[1] ?? "").length < 5000);
});

test("redaction takes linear time on hostile text", () => {
  const begin = performance.now();
  redactText("eyJ".repeat(100_000));
  redactText("-----BEGIN ".repeat(100_000));
  redactText(`${"a.".repeat(200_000)}eyJ`);
  assert.ok(performance.now() - begin < 500);
});

test("any field survives as JSON and never holds the secret", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string(), (fields, message) => {
      const { logger, lines } = recorder();
      logger.info(message, { ...fields, deep: { password: "hunter2", also: `${JWT}x` } });
      assert.equal(lines.length, 1);
      JSON.parse(lines[0] ?? "");
      assert.ok(!(lines[0] ?? "").includes("hunter2"));
      assert.ok(!(lines[0] ?? "").includes(JWT));
    }),
    { numRuns: 300 },
  );
});
