import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Authority,
  createAuthority,
  createRevocationList,
  createTrust,
  inspectCertificate,
  issueCertificate,
  readRevocationLists,
  revocationListTexts,
  type RevokedCertificate,
} from "../../src/pki/mod.ts";
import { refused } from "../seal/refused.ts";
import { forge, HOUR, intermediate, openRoot } from "./forged.ts";
import { caOf, handshake, type Identity } from "./handshake.ts";

/** Whether certificates that were accepted once still are, and what lists of revoked ones say. */

const now = Date.now();
const raw = (pem: string): Uint8Array =>
  Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\n/g, ""), "base64");
const revoke = (...certificates: readonly Identity[]): readonly RevokedCertificate[] =>
  certificates.map(({ certificate }) => ({
    serial: inspectCertificate(certificate).serial,
    revokedAt: now - HOUR,
  }));
const listOf = (authority: Authority, ...revoked: readonly Identity[]): string =>
  createRevocationList(authority, {
    revoked: revoke(...revoked),
    number: 1,
    thisUpdate: now - HOUR,
    nextUpdate: now + HOUR,
  });

const ca = createAuthority({ commonName: "ca" });
const other = createAuthority({ commonName: "other" });
const alice = forge(ca, "alice");
const bob = forge(ca, "bob");

function problem(who: Identity, authorities: readonly Authority[], lists?: string, at = now) {
  const pem = authorities.map(({ certificate }) => certificate).join("");
  return createTrust({ authorities: pem, lists }).problemOf(raw(who.certificate), at);
}

/** What TLS itself says, with the same files. */
async function tls(who: Identity, authorities: readonly Authority[], crl?: string) {
  const server = issueCertificate(ca, { commonName: "m1", usages: ["server"], dns: ["localhost"] });
  const clientCa = authorities.map(({ certificate }) => certificate).join("");
  const files = { server, client: who, clientCa, serverCa: caOf(ca) };
  const seen = await handshake(crl === undefined ? files : { ...files, crl });
  return seen.server;
}

describe("a client certificate of a connection", () => {
  test("is good while its authority is there and no list names it", () => {
    assert.equal(problem(alice, [other, ca]), undefined);
    const lists = listOf(other) + listOf(ca, bob);
    assert.equal(problem(alice, [other, ca], lists), undefined);
    assert.equal(problem(bob, [other, ca], lists), "CN=bob is revoked");
  });

  test("is not when its authority is gone, or another has its name", () => {
    const twin = createAuthority({ commonName: "ca" });
    const text = "its authority CN=ca is not among those of clients";
    assert.equal(problem(alice, [other]), text);
    assert.equal(problem(alice, [twin]), text);
    assert.equal(problem(alice, [{ ...twin, keyId: ca.keyId }]), text);
    const renewed = createAuthority({ commonName: "ca", privateKey: ca.privateKey });
    assert.equal(problem(alice, [renewed]), undefined);
  });

  test("is not when its authority has expired, or has no list where there are lists", () => {
    const years = 11 * 365 * 24 * HOUR;
    assert.equal(problem(alice, [ca], undefined, now + years), "its authority CN=ca has expired");
    assert.equal(problem(alice, [ca], listOf(other)), "there is no revocation list of CN=ca");
    const missing = createTrust({ authorities: caOf(ca) + caOf(other), lists: listOf(other) });
    assert.deepEqual(missing.withoutList, ["CN=ca"]);
    assert.deepEqual(createTrust({ authorities: caOf(ca), lists: undefined }).withoutList, []);
  });

  test("below an intermediate needs the whole chain, and a list of each", async () => {
    const root = openRoot("root");
    const middle = intermediate(root, "middle", "with");
    const leaf = forge(middle, "carol");
    assert.equal(problem(leaf, [root, middle]), undefined);
    assert.equal(problem(leaf, [middle]), "its authority CN=root is not among those of clients");
    assert.match(problem(leaf, [root]) ?? "", /CN=middle is not among/);
    const lists = listOf(root) + listOf(middle);
    assert.equal(problem(leaf, [root, middle], lists), undefined);
    assert.match(problem(leaf, [root, middle], listOf(middle)) ?? "", /no revocation list of CN=r/);
    const gone = listOf(root, middle as unknown as Identity) + listOf(middle);
    assert.equal(problem(leaf, [root, middle], gone), "CN=middle is revoked");
    assert.equal(await tls(leaf, [root, middle]), "accepted");
  });

  test("is never good where TLS would refuse it", async () => {
    const twin = createAuthority({ commonName: "ca" });
    const cases = [
      [alice, [ca], undefined],
      [alice, [ca], listOf(ca, bob)],
      [bob, [ca], listOf(ca, bob)],
      [alice, [twin], undefined],
      [alice, [other], undefined],
      [alice, [ca], listOf(other)],
    ] as const;
    for (const [who, authorities, lists] of cases) {
      const said = await tls(who, authorities, lists);
      assert.equal(problem(who, authorities, lists) === undefined, said === "accepted", said);
    }
  });
});

describe("a revocation list", () => {
  test("tells its dates and serial numbers", () => {
    const [list] = readRevocationLists(listOf(ca, alice));
    assert.ok(list);
    const second = (ms: number): number => Math.floor(ms / 1000) * 1000;
    assert.equal(list.thisUpdate, second(now - HOUR));
    assert.equal(list.nextUpdate, second(now + HOUR));
    assert.equal(list.has(inspectCertificate(alice.certificate).serial), true);
    assert.equal(list.has(inspectCertificate(bob.certificate).serial), false);
    assert.equal(readRevocationLists(listOf(ca))[0]?.has("01"), false);
  });

  test("of the far future has the other form of time", () => {
    const nextUpdate = Date.UTC(2051, 5, 7, 8, 9, 10);
    const pem = createRevocationList(ca, { revoked: [], number: 1, nextUpdate });
    assert.equal(readRevocationLists(pem)[0]?.nextUpdate, nextUpdate);
  });

  test("stands in a file with others, each read by itself", () => {
    const file = `ca's:\n${listOf(ca, alice)}other's:\n${listOf(other)}`;
    assert.equal(revocationListTexts(file).length, 2);
    assert.equal(readRevocationLists(file).length, 2);
  });

  test("that is cut short or missing is refused", () => {
    refused(() => readRevocationLists("no list"), "invalid-argument", /holds no revocation list/);
    const whole = raw(listOf(ca, alice));
    for (let length = 0; length < whole.length; length += 3) {
      const body = Buffer.from(whole.subarray(0, length)).toString("base64");
      const pem = `-----BEGIN X509 CRL-----\n${body}\n-----END X509 CRL-----\n`;
      refused(() => readRevocationLists(pem), "invalid-argument", /revocation list/);
    }
  });
});
