import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig, type ServerConfig } from "../../src/config/mod.ts";

const TLS = ["--tls-cert", "s.pem", "--tls-key", "s.key", "--root-key-file", "root.key"];

const sinksOf = (text: string): ServerConfig["auditSink"] =>
  loadConfig([...TLS, "--audit-sink", text], {}, () => "").auditSink;

test("each form of a sink", () => {
  const tls = { caFile: "/ca.pem", certFile: undefined, keyFile: undefined };
  const host = "logs.example";
  assert.deepEqual(sinksOf("jsonl:/var/log/a.jsonl,syslog+udp://[::1]:514"), [
    { kind: "file", name: "jsonl:/var/log/a.jsonl", path: "/var/log/a.jsonl" },
    { kind: "udp", name: "syslog+udp://[::1]:514", host: "::1", port: 514 },
  ]);
  const stream = { kind: "stream", host } as const;
  assert.deepEqual(sinksOf(`jsonl+tcp://${host}:1,syslog+tcp://${host}:2`), [
    { ...stream, name: `jsonl+tcp://${host}:1`, form: "jsonl", port: 1, tls: undefined },
    { ...stream, name: `syslog+tcp://${host}:2`, form: "syslog", port: 2, tls: undefined },
  ]);
  assert.deepEqual(sinksOf(`syslog+tls://${host}?ca=/ca.pem`), [
    { ...stream, name: `syslog+tls://${host}:6514`, form: "syslog", port: 6514, tls },
  ]);
});

const BAD: Readonly<Record<string, RegExp>> = {
  "jsonl:relative.log": /needs an absolute path/,
  "http://x:1": /is not jsonl:PATH/,
  "syslog+tcp://x": /needs a port from 1 to 65535/,
  "syslog+tcp://x:99999": /needs a port/,
  "syslog+tcp://x:1?ca=/a": /takes no options/,
  "syslog+tls://x?key=/k": /needs cert and key together/,
  "syslog+tls://x?verify=no": /unknown option verify/,
  "syslog+tcp://u:p@x:1": /is not jsonl:PATH/,
};
for (const [text, message] of Object.entries(BAD)) {
  test(`refuses ${text}`, () => assert.throws(() => sinksOf(text), { message }));
}
