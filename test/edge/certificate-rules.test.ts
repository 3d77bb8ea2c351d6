import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  type Authority,
  createAuthority,
  inspectCertificate,
  issueCertificate,
  savePem,
} from "../../src/pki/mod.ts";
import { forge } from "../pki/forged.ts";
import { leafExtensions } from "../../src/pki/extension.ts";
import { OID } from "../../src/pki/oids.ts";
import { sequence, tagged } from "../../src/pki/der.ts";
import { createWatch } from "./streams.ts";
import { type World, bytes, failure, startWorld } from "./world.ts";

/** Rules of client certificates through a real member, over real TLS. */

const key = bytes("/k");
let world: World;
let blue: Authority;

before(async () => {
  blue = createAuthority({ commonName: "blue authority" });
  world = await startWorld({
    config: (folder, authority) => {
      savePem(join(folder, "ca.crt"), authority.certificate + blue.certificate);
      return {};
    },
  });
  await world.admin.put({ key, value: bytes("v") });
});
after(() => world[Symbol.asyncDispose]());

interface Files {
  readonly cert: string;
  readonly key: string;
}

const raw = (pem: string): Buffer =>
  Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\n/g, ""), "base64");
const base64 = ({ certificate }: Authority): string => raw(certificate).toString("base64");

function leafOf(authority: Authority, commonName: string, organization?: string): Files {
  const names = organization === undefined ? { commonName } : { commonName, organization };
  const { certificate, privateKey } = issueCertificate(authority, { ...names, usages: ["client"] });
  return { cert: certificate, key: privateKey };
}

/** A certificate with a SPIFFE id and no common name that matters. */
function workload(authority: Authority, id: string): Files {
  const extensions = leafExtensions({
    keyId: Buffer.from("x"),
    authorityKeyId: authority.keyId,
    usages: ["client"],
    altNames: { dns: [], ips: [] },
  }).filter(({ id: one }) => one !== OID.subjectKeyIdentifier);
  const value = sequence(tagged(6, Buffer.from(id)));
  const names = { id: OID.subjectAltName, critical: false, value };
  const { certificate, privateKey } = forge(authority, "w", { extensions: [...extensions, names] });
  return { cert: certificate, key: privateKey };
}

async function addRule(name: string, more: object, authority = "", by = world.admin) {
  const rule = { version: 1, name, match: {}, subject: { kind: "cn" }, groups: [], ...more };
  const record = Buffer.from(JSON.stringify({ tenants: ["default"], ...rule }));
  return await by.certificateRuleAdd({ record, authority, replace: true });
}

const removeRule = (name: string) => world.admin.certificateRuleRemove({ name });

test("a rule binds another team's authority, and what it does not meet reaches nothing", async () => {
  const spoof = world.connect(leafOf(blue, "admin", "tenant:system"));
  // Without a rule any authority of the file is trusted like the first.
  assert.equal((await spoof.whoAmI()).actor?.subject, "cert:admin");
  const { thumbprint } = inspectCertificate(blue.certificate);
  await addRule("blue", { match: { cn: "ci-*" }, groups: ["ci"] }, thumbprint);
  await world.grant(["p", "group:ci", "/k", "read", "allow"]);
  const client = world.connect(leafOf(blue, "ci-1"));
  assert.equal((await client.range({ key })).kvs.length, 1);
  const who = await client.whoAmI();
  assert.deepEqual([who.actor?.subject, who.groups], ["cert:ci-1", ["ci"]]);
  await failure(spoof.whoAmI(), "invalid-token");
  const record = world.audit().findLast(({ outcome }) => outcome === "refused");
  assert.match(record?.reason ?? "", /authority is bound by rules, and it meets none/);
  await removeRule("blue");
});

test("a workload is known by its SPIFFE id", async () => {
  const id = "spiffe://acme.org/ns/ci/sa/build";
  const match = { uri: "spiffe://acme.org/ns/ci/*" };
  await addRule("spiffe", { match, subject: { kind: "uri" } });
  await world.grant(["p", `cert:${id}`, "/k", "read", "allow"]);
  const client = world.connect(workload(world.authority, id));
  assert.equal((await client.range({ key })).kvs.length, 1);
  assert.equal((await client.whoAmI()).actor?.subject, `cert:${id}`);
  const other = world.connect(workload(world.authority, "spiffe://acme.org/ns/../ci/sa/build"));
  await failure(other.range({ key }), "invalid-token");
  await removeRule("spiffe");
});

test("a rule that goes ends the watches of those who were somebody by it", async () => {
  await addRule("watcher", { match: { cn: "w" }, subject: { kind: "fixed", name: "watcher" } });
  await world.grant(["p", "cert:watcher", "/k", "watch", "allow"]);
  const { watch } = await createWatch(world.connect(leafOf(world.authority, "w")), { key });
  const admin = world.connect(leafOf(world.authority, "admin"));
  const { watch: other } = await createWatch(admin, { key });
  await removeRule("watcher");
  assert.equal((await watch.ended)?.code, "invalid-token");
  await world.admin.put({ key, value: bytes("2") });
  await other.until(({ events }) => events.length === 1);
  await other[Symbol.asyncDispose]();
});

test("a test tells rule, principal and trust, and is recorded", async () => {
  const { cert } = leafOf(world.authority, "ci-7");
  await addRule("ci", { match: { cn: "ci-*" }, groups: ["g"], tenants: ["default", "other"] });
  const { header: _, ...verdict } = await world.admin.certificateTest({ certificate: raw(cert) });
  assert.deepEqual(verdict, {
    rule: "ci",
    refusal: "",
    subject: "cert:ci-7",
    groups: ["g"],
    tenants: ["default", "other"],
    distrust: "",
  });
  const stranger = createAuthority({ commonName: "stranger" });
  const foreign = raw(leafOf(stranger, "ci-7").cert);
  const told = await world.admin.certificateTest({ certificate: foreign });
  assert.match(told.distrust, /its authority CN=stranger is not among/);
  const bad = await world.admin.certificateTest({ certificate: raw(stranger.certificate) });
  assert.deepEqual([bad.rule, bad.subject, bad.tenants], ["", "", []]);
  assert.match(bad.refusal, /not for clients/);
  assert.equal(
    world.audit().findLast(({ action }) => action === "certificate-test")?.outcome,
    "ok",
  );
  await removeRule("ci");
});

test("what makes no sense is refused with its cause", async () => {
  const add = (name: string, more: object, authority = "") =>
    failure(addRule(name, more, authority), "invalid-argument");
  assert.match((await add("x", {})).message, /has no condition; only the rule "default"/);
  assert.match(
    (await add("x", { match: { cn: "a" } }, "abc")).message,
    /no authority in this memb/,
  );
  await addRule("one", { match: { cn: "a*", authority: base64(blue) } });
  const twin = addRule("two", { match: { cn: "a*", authority: base64(blue) } });
  assert.match((await failure(twin, "conflict")).message, /rule "one" has the same conditions/);
  const record = Buffer.from(
    JSON.stringify({
      version: 1,
      name: "one",
      match: { cn: "b" },
      subject: { kind: "cn" },
      groups: [],
      tenants: ["default"],
    }),
  );
  const again = world.admin.certificateRuleAdd({ record });
  assert.match((await failure(again, "already-exists")).message, /"one"; --replace takes/);
  assert.match(
    (await failure(removeRule("none"), "not-found")).message,
    /see coffer pki rule list/,
  );
  const { rules } = await world.admin.certificateRuleList();
  assert.deepEqual(
    rules.map(({ name }) => name),
    ["one"],
  );
  await removeRule("one");
});

test("an operator does not lock out the certificate that asks", async () => {
  const { certificate, privateKey } = issueCertificate(world.authority, {
    commonName: "admin",
    organization: ["tenant:default", "tenant:system"],
    usages: ["client"],
  });
  const own = world.connect({ cert: certificate, key: privateKey });
  const off = { tenants: [] };
  const error = await failure(addRule("default", off, "", own), "invalid-argument");
  assert.match(error.message, /your own certificate .*the rule "default" refuses/);
  await addRule("ops", { match: { cn: "admin" }, tenants: ["default", "system"] }, "", own);
  await addRule("default", off, "", own);
  await failure(world.connect(leafOf(world.authority, "bob")).range({ key }), "invalid-token");
  assert.equal((await own.range({ key })).kvs.length, 1);
  const removal = own.certificateRuleRemove({ name: "ops" });
  assert.match((await failure(removal, "invalid-argument")).message, /or use a token/);
  await removeRule("ops");
  await removeRule("default");
});
