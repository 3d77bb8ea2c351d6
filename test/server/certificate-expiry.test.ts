import assert from "node:assert/strict";
import { test } from "node:test";
import { createAuthority, issueCertificate } from "../../src/pki/mod.ts";
import { warnOfExpiry } from "../../src/server/certificate-expiry.ts";
import { type Logger, silentLogger } from "../../src/telemetry/mod.ts";

/** What a member tells of its own certificate's end. */

const DAY_MS = 86_400_000;

test("a certificate is told of at the start and daily, from a week before its end", () => {
  const authority = createAuthority({ commonName: "test authority" });
  const issued = issueCertificate(authority, { commonName: "m1", usages: ["server"], dns: ["m1"] });
  const end = issued.notAfter;
  const date = new Date(end).toISOString().replaceAll(".", "\\.");
  const lines: string[] = [];
  const log: Logger = { ...silentLogger, warn: (line) => void lines.push(line) };
  let now = end - 8 * DAY_MS;
  let day: (() => void) | undefined;
  const stop = warnOfExpiry(
    { pem: issued.certificate, path: "a/server.crt" },
    {
      log,
      clock: { now: () => now },
      scheduler: {
        soon: () => assert.fail("not asked"),
        after: () => assert.fail("not asked"),
        every: (ms, work) => {
          assert.equal(ms, DAY_MS);
          day = work;
          return () => (day = undefined);
        },
      },
    },
  );
  assert.deepEqual(lines, []);
  now = end - 6 * DAY_MS;
  day?.();
  assert.match(lines[0] ?? "", new RegExp(`--tls-cert 'a/server\\.crt', expires at ${date}; `));
  now = end + 1000;
  day?.();
  assert.match(lines[1] ?? "", new RegExp(`, expired at ${date}; replace it and restart$`));
  stop();
  assert.equal(day, undefined);
});
