import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig, type ServerConfig } from "../../src/config/mod.ts";

const TLS = ["--tls-cert", "s.pem", "--tls-key", "s.key", "--root-key-file", "root.key"];

const sinksOf = (text: string): ServerConfig["auditSink"] =>
  loadConfig([...TLS, "--audit-sink", text], {}, () => "").auditSink;

test("each form of a sink", () => {
  const files = { caFile: "/ca.pem", certFile: undefined, keyFile: undefined };
  const there = { host: "logs.example", isExposed: false };
  assert.deepEqual(sinksOf("jsonl:/var/log/a.jsonl,syslog+tls://logs.example?ca=/ca.pem"), [
    { kind: "file", name: "jsonl:/var/log/a.jsonl", path: "/var/log/a.jsonl" },
    {
      ...there,
      kind: "stream",
      name: "syslog+tls://logs.example:6514",
      form: "syslog",
      port: 6514,
      tls: files,
    },
  ]);
  assert.deepEqual(sinksOf("jsonl+tls://logs.example:7000?ca=/ca.pem&cert=/c.pem&key=/k.pem"), [
    {
      ...there,
      kind: "stream",
      name: "jsonl+tls://logs.example:7000",
      form: "jsonl",
      port: 7000,
      tls: { ...files, certFile: "/c.pem", keyFile: "/k.pem" },
    },
  ]);
  assert.match(
    String(badness("jsonl+tls://logs.example")),
    /needs a port/,
    "Only syslog over TLS has a port of its own",
  );
});

const PLAIN = { tls: undefined, kind: "stream", port: 1 } as const;

test("plaintext stays on this machine", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "localhost"]) {
    const [sink] = sinksOf(`syslog+tcp://${host}:1`);
    const name = `syslog+tcp://${host}:1`;
    assert.deepEqual(sink, { ...PLAIN, name, form: "syslog", host, isExposed: false });
  }
  const [udp] = sinksOf("syslog+udp://[::1]:514");
  const own = { name: "syslog+udp://[::1]:514", host: "::1", port: 514, isExposed: false };
  assert.deepEqual(udp, { kind: "udp", ...own });
});

test("or leaves it only when that is said", () => {
  for (const host of ["logs.example", "10.0.0.5", "[2001:db8::1]", "127.0.0.1.logs.example"]) {
    for (const scheme of ["jsonl+tcp", "syslog+tcp", "syslog+udp"]) {
      const message = String(badness(`${scheme}://${host}:1`));
      assert.match(
        message,
        /--audit-sink.* would send audit records unencrypted to another machine/,
      );
      assert.match(message, /: use (jsonl\+tls:\/\/HOST:1|syslog\+tls:\/\/HOST:6514)\?ca=FILE, or/);
      assert.match(message, /append \?plaintext=allow/);
      const [sink] = sinksOf(`${scheme}://${host}:1?plaintext=allow`);
      assert.ok(sink !== undefined && sink.kind !== "file" && sink.isExposed);
      assert.equal(sink.name, `${scheme}://${host}:1`);
    }
  }
});

function badness(text: string): unknown {
  try {
    sinksOf(text);
  } catch (error) {
    return error;
  }
  return assert.fail("It was taken");
}

const BAD: Readonly<Record<string, RegExp>> = {
  "jsonl:relative.log": /needs an absolute path/,
  "http://x:1": /is neither jsonl:PATH nor one of syslog\+tls, /,
  "syslog+tcp://x": /needs a port from 1 to 65535/,
  "syslog+tcp://x:99999": /needs a port/,
  "syslog+tcp://x:1?ca=/a": /unknown option ca; syslog\+tcp has plaintext/,
  "syslog+tcp://x:1?plaintext=no": /takes plaintext=allow alone/,
  "syslog+tls://x?plaintext=allow": /unknown option plaintext/,
  "syslog+tls://x?key=/k": /needs cert and key together/,
  "syslog+tls://x?verify=no": /unknown option verify/,
  "syslog+tcp://u:p@x:1": /is neither jsonl:PATH/,
};
for (const [text, message] of Object.entries(BAD)) {
  test(`refuses ${text}`, () => assert.throws(() => sinksOf(text), { message }));
}
