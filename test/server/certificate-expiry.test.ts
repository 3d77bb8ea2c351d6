import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { ServerConfig } from "../../src/config/mod.ts";
import {
  createAuthority,
  createRevocationList,
  issueCertificate,
  savePem,
} from "../../src/pki/mod.ts";
import {
  type FileEnd,
  expiryMetrics,
  readEnds,
  warnOfExpiry,
} from "../../src/server/certificate-expiry.ts";
import { type Logger, silentLogger } from "../../src/telemetry/mod.ts";

/** What a member tells of the ends of its certificates and revocation lists. */

const DAY_MS = 86_400_000;
const folder = mkdtempSync(join(tmpdir(), "coffer-expiry-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The lines of each day asked for, the first at the start. */
function linesOn(ends: readonly FileEnd[], ...times: readonly number[]): readonly string[][] {
  let lines: string[] = [];
  const log: Logger = { ...silentLogger, warn: (line) => void lines.push(line) };
  let now = times[0] ?? 0;
  let day: (() => void) | undefined;
  const scheduler = {
    soon: () => assert.fail("not asked"),
    after: () => assert.fail("not asked"),
    every: (ms: number, work: () => void) => {
      assert.equal(ms, DAY_MS);
      day = work;
      return () => (day = undefined);
    },
  };
  const stop = warnOfExpiry(() => ends, { log, clock: { now: () => now }, scheduler });
  const told = times.map((time, at) => {
    now = time;
    if (at > 0) day?.();
    const seen = lines;
    lines = [];
    return seen;
  });
  stop();
  assert.equal(day, undefined);
  return told;
}

test("every file is told of at the start and daily, from a week before its first end", () => {
  const authority = createAuthority({ commonName: "a", notAfter: Date.now() + 900 * DAY_MS });
  const old = createAuthority({ commonName: "b", notAfter: Date.now() + 500 * DAY_MS });
  const issued = issueCertificate(authority, { commonName: "m1", usages: ["server"], dns: ["m1"] });
  const nats = issueCertificate(authority, { commonName: "m1", usages: ["client"] });
  const list = { revoked: [], number: 1, thisUpdate: Date.now() };
  const nextUpdate = Date.now() + 400 * DAY_MS;
  const [tlsCert, clientCa, clientCrl, natsCert] = ["s.crt", "ca.crt", "c.crl", "n.crt"].map(
    (name) => join(folder, name),
  );
  assert.ok(tlsCert && clientCa && clientCrl && natsCert);
  savePem(tlsCert, issued.certificate + authority.certificate);
  savePem(clientCa, authority.certificate + old.certificate);
  savePem(clientCrl, createRevocationList(authority, { ...list, nextUpdate }));
  savePem(natsCert, nats.certificate);
  const config = { tlsCert, clientCa, clientCrl, natsCert } as ServerConfig;
  const ends = readEnds(config);
  const seconds = (ms: number): number => Math.floor(ms / 1000);
  assert.deepEqual(expiryMetrics(ends), [
    { file: "tls-cert", kind: "server", seconds: issued.notAfter / 1000 },
    { file: "client-ca", kind: "client-ca", seconds: seconds(old.notAfter) },
    { file: "client-crl", kind: "crl", seconds: seconds(nextUpdate) },
    { file: "nats-cert", kind: "nats", seconds: nats.notAfter / 1000 },
  ]);
  const end = issued.notAfter;
  const [none, soon, gone] = linesOn(
    ends.slice(0, 1),
    end - 8 * DAY_MS,
    end - 6 * DAY_MS,
    end + 1000,
  );
  assert.deepEqual(none, []);
  const date = new Date(end).toISOString();
  const about = `the certificate for clients in --tls-cert '${tlsCert}'`;
  const rest = `at ${date}; clients refuse it then, so replace the file`;
  assert.deepEqual(soon, [`${about} expires ${rest}`]);
  assert.deepEqual(gone, [`${about} expired ${rest}`]);
  const all = linesOn(ends, Date.now() + 1000 * DAY_MS)[0] ?? [];
  const files = all.map((line) => /--([a-z-]+)/.exec(line)?.[1]);
  assert.deepEqual(files, ["tls-cert", "client-ca", "client-crl", "nats-cert"]);
});

test("a list that lives for a day is told of on its last quarter", () => {
  const end = Date.now() + DAY_MS;
  const list: FileEnd = { file: "client-crl", path: "c.crl", begin: end - DAY_MS, end };
  const hour = 3_600_000;
  const [early, late] = linesOn([list], end - 7 * hour, end - 5 * hour);
  assert.deepEqual(early, []);
  assert.match(
    late?.[0] ?? "",
    /a revocation list in --client-crl 'c\.crl' expires at .*; all cert/,
  );
});

test("of a file that cannot be read nothing is told here", () => {
  assert.deepEqual(readEnds({ tlsCert: join(folder, "none") } as ServerConfig), []);
});
