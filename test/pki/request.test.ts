import assert from "node:assert/strict";
import { X509Certificate, generateKeyPairSync } from "node:crypto";
import { before, test } from "node:test";
import { CofferError } from "../../src/errors.ts";
import { createAuthority, inspectCertificate, issueForRequest } from "../../src/pki/mod.ts";
import type { Authority, Profile } from "../../src/pki/mod.ts";
import { encodeAltNames } from "../../src/pki/alt-name.ts";
import { newKeyPair } from "../../src/key-pair/mod.ts";
import {
  type Asn1,
  bits,
  boolean,
  encode,
  octets,
  oid,
  sequence,
  tagged,
} from "../../src/pki/der.ts";
import type { Extension } from "../../src/pki/extension.ts";
import { OID } from "../../src/pki/oids.ts";
import { refused } from "../seal/refused.ts";
import { requestOf, type RequestParts, requestPem } from "./signing-request.ts";

let ca: Authority;
before(() => void (ca = createAuthority({ commonName: "coffer test" })));

const PROFILE: Profile = {
  commonName: "granted",
  usages: ["server"],
  dns: ["granted.internal"],
  ips: ["10.0.0.1"],
};

function extension(id: string, value: Asn1): RequestParts {
  return { extensions: [{ id, critical: false, value }] };
}

const altNames = (dns: readonly string[], ips: readonly string[] = []): RequestParts =>
  extension(OID.subjectAltName, encodeAltNames({ dns, ips }));

function issue(request: string): unknown {
  return issueForRequest(ca, PROFILE, request);
}

test("only the key of a request is used", () => {
  for (const keys of [newKeyPair("p-256"), generateKeyPairSync("rsa", { modulusLength: 2048 })]) {
    const request = requestOf({ keys, ...altNames(["granted.internal"], ["10.0.0.1"]) });
    const { certificate } = issueForRequest(ca, PROFILE, request.replaceAll("\n", "\r\n"));
    const info = inspectCertificate(certificate);
    assert.equal(info.commonName, "granted");
    assert.deepEqual([info.dns, info.ips], [["granted.internal"], ["10.0.0.1"]]);
    assert.deepEqual(info.usages, ["server"]);
    assert.equal(info.isAuthority, false);
    const x509 = new X509Certificate(certificate);
    assert.ok(x509.checkPrivateKey(keys.privateKey));
    assert.ok(x509.verify(new X509Certificate(ca.certificate).publicKey));
  }
});

test("refusal 41: a request asking CA:true", () => {
  const asking = extension(OID.basicConstraints, sequence(boolean(true)));
  refused(() => issue(requestOf(asking)), "invalid-argument", /CA:true/);
  issue(requestOf(extension(OID.basicConstraints, sequence())));
  const keyUsage = (byte: number): RequestParts =>
    extension(OID.keyUsage, bits(Uint8Array.of(byte), 1));
  issue(requestOf(keyUsage(0x80)));
  for (const byte of [0x84, 0x02]) {
    refused(() => issue(requestOf(keyUsage(byte))), "invalid-argument", /to sign certificates/);
  }
});

test("refusal 41: a request asking a foreign SAN", () => {
  for (const dns of ["evil.example", "granted.internal.", "GRANTED.internal", "*.internal"]) {
    const request = (): unknown => issue(requestOf(foreign(dns)));
    refused(request, "invalid-argument", /asks for the name ".*", not granted/);
  }
  refused(() => issue(requestOf(altNames([], ["10.0.0.2"]))), "invalid-argument", /"10\.0\.0\.2"/);
  const uri = sequence(tagged(6, Buffer.from("spiffe://x")));
  const asking = extension(OID.subjectAltName, uri);
  refused(() => issue(requestOf(asking)), "invalid-argument", /neither DNS nor an IP/);
});

test("refusal 41: a request asking for another use", () => {
  const usage = (...ids: readonly string[]): RequestParts =>
    extension(OID.extendedKeyUsage, sequence(...ids.map(oid)));
  issue(requestOf(usage(OID.serverAuth)));
  const both = usage(OID.serverAuth, OID.clientAuth);
  refused(() => issue(requestOf(both)), "invalid-argument", /asks for the usage client/);
  const other = usage("1.3.6.1.5.5.7.3.3");
  refused(() => issue(requestOf(other)), "invalid-argument", /usage 1\.3\.6\.1\.5\.5\.7\.3\.3/);
});

test("what is no request is told as what it is", () => {
  refused(() => issue(" \n"), "invalid-argument", /it is empty/);
  refused(() => issue(ca.certificate), "invalid-argument", /it holds CERTIFICATE$/);
  refused(() => issue("0\u0082\u0001"), "invalid-argument", /no PEM; from DER/);
});

test("refusal 41: an extension asked twice does not hide the second", () => {
  const one: Extension = { id: OID.basicConstraints, critical: false, value: sequence() };
  const two: Extension = { ...one, value: sequence(boolean(true)) };
  refused(() => issue(requestOf({ extensions: [one, two] })), "invalid-argument", /twice/);
  const [san] = altNames(["granted.internal"]).extensions ?? [];
  const [evil] = altNames(["evil.example"]).extensions ?? [];
  assert.ok(san && evil);
  refused(() => issue(requestOf({ extensions: [san, evil] })), "invalid-argument", /evil\.example/);
});

test("a request not signed with its own key, weak, or malformed is refused", () => {
  const other = newKeyPair("p-256").privateKey;
  refused(
    () => issue(requestOf({ signer: other })),
    "invalid-argument",
    /not signed with its own key/,
  );
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
  refused(() => issue(requestOf({ keys: weak })), "invalid-argument", /RSA of 2048 bits/);
  const koblitz = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
  refused(() => issue(requestOf({ keys: koblitz })), "invalid-argument", /has a key other than/);
  const good = requestOf();
  refused(() => issue(good + good), "invalid-argument", /not one PEM block/);
  refused(() => issue("x".repeat(20_000)), "invalid-argument", /at most 16 KiB/);
  refused(() => issue(requestPem(Uint8Array.of(0x30, 0x00))), "invalid-argument", /cut short/);
  refused(
    () => issue(requestPem(Uint8Array.of(0x30, 0x05, 1))),
    "invalid-argument",
    /not valid DER/,
  );
  refused(
    () => issue(requestPem(encode(octets(Buffer.alloc(9))))),
    "invalid-argument",
    /cut short/,
  );
});

test("a flipped bit anywhere in a request is refused, or certifies the very same key", () => {
  const keys = newKeyPair("p-256");
  const request = Buffer.from(requestOf({ keys }).split("\n").slice(1, -2).join(""), "base64");
  let refusals = 0;
  for (let at = 0; at < request.length; at++) {
    const altered = Buffer.from(request);
    altered[at] = (altered[at] as number) ^ 1;
    try {
      const { certificate } = issueForRequest(ca, PROFILE, requestPem(altered));
      assert.ok(new X509Certificate(certificate).checkPrivateKey(keys.privateKey), `byte ${at}`);
      assert.equal(inspectCertificate(certificate).commonName, "granted");
    } catch (error) {
      assert.ok(error instanceof CofferError, String(error));
      refusals++;
    }
  }
  assert.ok(refusals >= request.length - 4, `${request.length - refusals} bytes go unnoticed`);
});

/** Names that the encoder refuses or not: written raw. */
function foreign(dns: string): RequestParts {
  return extension(OID.subjectAltName, sequence(tagged(2, Buffer.from(dns, "latin1"))));
}
