import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import * as http from "node:http";
import * as http2 from "node:http2";
import { join } from "node:path";
import * as net from "node:net";
import { after, before, test } from "node:test";
import {
  type Authority,
  createAuthority,
  createRevocationList,
  inspectCertificate,
  issueCertificate,
} from "../../src/pki/mod.ts";
import { encodeName } from "../../src/pki/name.ts";
import { forge, intermediate, openRoot } from "../pki/forged.ts";
import type { Identity } from "../pki/handshake.ts";
import { type World, bytes, failure, startWorld } from "./world.ts";
import { closed } from "../setup/closed.ts";

/** Refusals 37 to 40 and 42: who gets no further than the connection. */

const DAY_MS = 86_400_000;

let world: World;

before(async () => {
  world = await startWorld();
  await world.admin.put({ key: bytes("/k"), value: bytes("v") });
});

after(() => world[Symbol.asyncDispose]());

function clientOf(authority: Authority, commonName: string): Identity {
  const { certificate, privateKey } = issueCertificate(authority, {
    commonName,
    organization: "tenant:default",
    usages: ["client"],
  });
  return { certificate, privateKey };
}

/** That a request over a connection with this certificate fails, recorded, with this reason. */
async function assertRefusedConnection(
  who: Identity,
  reason: RegExp,
  at: World = world,
): Promise<void> {
  const seen = at.audit().at(-1)?.seq ?? 0;
  const client = at.connect({
    cert: who.certificate,
    key: who.privateKey,
    // The right token does not help who shows a wrong certificate.
    token: await at.token("user:admin"),
  });
  await failure(client.range({ key: bytes("/k") }), "unreachable");
  const records = at.audit().filter((record) => record.seq > seen);
  assert.deepEqual(
    records.map(({ action, outcome }) => `${action} ${outcome}`),
    ["connect refused"],
  );
  assert.match(records[0]?.reason ?? "", reason);
}

test("a certificate of the authority names its subject", async () => {
  const { certificate, privateKey } = clientOf(world.authority, "admin");
  const client = world.connect({ cert: certificate, key: privateKey });
  assert.equal((await client.range({ key: bytes("/k") })).kvs.length, 1);
  assert.equal((await client.whoAmI()).actor?.subject, "cert:admin");
});

test("refusal 37: another authority of the same subject, a client of the same serial and subject", async () => {
  const impostor = createAuthority({ commonName: "test authority" });
  assert.equal(impostor.subject, world.authority.subject);
  const real = clientOf(world.authority, "admin");
  const serial = Buffer.from(inspectCertificate(real.certificate).serial, "hex");
  const forged = forge(impostor, "admin", { serial });
  const info = inspectCertificate(forged.certificate);
  assert.equal(info.serial, inspectCertificate(real.certificate).serial);
  await assertRefusedConnection(forged, /UNABLE_TO_VERIFY|SIGNATURE|SELF_SIGNED|UNABLE_TO_GET/);
});

test("refusal 38: a client certificate that has expired or is not valid yet", async () => {
  const now = Date.now();
  const expired = forge(world.authority, "admin", {
    notBefore: now - 2 * DAY_MS,
    notAfter: now - DAY_MS,
  });
  await assertRefusedConnection(expired, /CERT_HAS_EXPIRED/);
  const early = forge(world.authority, "admin", {
    notBefore: now + DAY_MS,
    notAfter: now + 2 * DAY_MS,
  });
  await assertRefusedConnection(early, /CERT_NOT_YET_VALID/);
});

test("refusal 38: a revoked client certificate", async () => {
  let revoked: Identity | undefined;
  let good: Identity | undefined;
  await using listed = await startWorld({
    config: (folder, authority) => {
      revoked = clientOf(authority, "admin");
      good = clientOf(authority, "admin");
      const { serial } = inspectCertificate(revoked.certificate);
      const list = createRevocationList(authority, {
        number: 1,
        revoked: [{ serial, revokedAt: Date.now() - DAY_MS }],
        nextUpdate: Date.now() + DAY_MS,
        thisUpdate: Date.now() - DAY_MS,
      });
      const clientCrl = join(folder, "clients.crl");
      writeFileSync(clientCrl, list);
      return { clientCrl };
    },
  });
  assert.ok(revoked !== undefined && good !== undefined);
  await assertRefusedConnection(revoked, /CERT_REVOKED/, listed);
  const client = listed.connect({ cert: good.certificate, key: good.privateKey });
  assert.equal((await client.whoAmI()).actor?.subject, "cert:admin");
});

test("refusal 39: a certificate for servers, or for nothing", async () => {
  const server = issueCertificate(world.authority, {
    commonName: "admin",
    usages: ["server"],
    dns: ["localhost"],
  });
  await assertRefusedConnection(server, /INVALID_PURPOSE|UNSUPPORTED|purpose/i);
  // Without any extended key usage TLS lets it pass; it is nobody then.
  const plain = forge(world.authority, "admin", { extensions: [] });
  const client = world.connect({ cert: plain.certificate, key: plain.privateKey });
  const seen = world.audit().at(-1)?.seq ?? 0;
  await failure(client.range({ key: bytes("/k") }), "invalid-token");
  const records = world.audit().filter((record) => record.seq > seen);
  assert.deepEqual(
    records.map(({ action, outcome }) => `${action} ${outcome}`),
    ["range refused"],
  );
});

test("refusal 40: below an intermediate without basicConstraints, and below a client", async () => {
  const root = openRoot("root");
  await using below = await startWorld({
    config: (folder, authority) => {
      const clientCa = join(folder, "roots.crt");
      writeFileSync(clientCa, authority.certificate + root.certificate);
      return { clientCa };
    },
  });
  const chain = (middle: Authority, leaf = forge(middle, "admin")): Identity => {
    return { ...leaf, certificate: leaf.certificate + middle.certificate };
  };
  const good = chain(intermediate(root, "with", "with"));
  const client = below.connect({ cert: good.certificate, key: good.privateKey });
  assert.equal((await client.whoAmI()).actor?.subject, "cert:admin");
  const without = chain(intermediate(root, "without", "without"));
  await assertRefusedConnection(without, /CN=admin .* refused: INVALID_CA$/, below);
  // Who has a client's certificate makes another with its key.
  const bob = forge(root, "bob");
  const subjectName = encodeName({ commonName: "bob" });
  const names = { subjectName, keyId: undefined };
  const signer = { ...root, ...names, certificate: bob.certificate, privateKey: bob.key };
  await assertRefusedConnection(chain(signer), /refused: (?:INVALID_CA|UNSPECIFIED)$/, below);
});

test("refusal 42: plaintext to the TLS port", async () => {
  const seen = (): number => world.audit().at(-1)?.seq ?? 0;
  const forms: readonly ((port: number) => Promise<string>)[] = [httpRequest, http2Request, noise];
  for (const form of forms) {
    const mark = seen();
    const answer = await form(world.port);
    assert.doesNotMatch(answer, /etcd|coffer|200|grpc/i);
    const records = world.audit().filter((record) => record.seq > mark);
    assert.deepEqual(
      records.map(({ action, outcome }) => `${action} ${outcome}`),
      ["connect refused"],
      form.name,
    );
    assert.match(records[0]?.reason ?? "", /TLS handshake failed/);
  }
});

async function httpRequest(port: number): Promise<string> {
  const request = http.get({ host: "127.0.0.1", port, path: "/health" });
  const [error] = (await once(request, "error").catch((thrown: unknown) => [thrown])) as [Error];
  return error.message;
}

async function http2Request(port: number): Promise<string> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  const stream = session.request({ ":path": "/etcdserverpb.KV/Range", ":method": "POST" });
  let answer = "";
  stream.on("response", (headers) => {
    answer = JSON.stringify(headers);
  });
  stream.on("error", () => undefined);
  stream.end();
  await closed(session);
  return answer;
}

async function noise(port: number): Promise<string> {
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  let answer = "";
  socket.on("data", (chunk: Buffer) => {
    answer += chunk.toString("latin1");
  });
  socket.write("GET /metrics HTTP/1.0\r\n\r\n");
  await closed(socket);
  return answer;
}
