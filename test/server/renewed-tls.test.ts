import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import tls from "node:tls";
import { once } from "node:events";
import {
  type Authority,
  createAuthority,
  createRevocationList,
  inspectCertificate,
  issueCertificate,
  savePem,
} from "../../src/pki/mod.ts";
import { createWatch } from "../edge/streams.ts";
import { type World, bytes, startWorld } from "../edge/world.ts";
import { until } from "./until.ts";

/** A running member whose files of certificates are replaced. */

const HOUR_MS = 3_600_000;
const key = bytes("/k");

interface Leaf {
  readonly cert: string;
  readonly key: string;
  readonly serial: string;
}

function leafOf(authority: Authority, commonName: string): Leaf {
  const { certificate, privateKey } = issueCertificate(authority, {
    commonName,
    organization: "tenant:default",
    usages: ["client"],
  });
  return { cert: certificate, key: privateKey, serial: inspectCertificate(certificate).serial };
}

function listOf(authority: Authority, ...revoked: readonly Leaf[]): string {
  return createRevocationList(authority, {
    revoked: revoked.map(({ serial }) => ({ serial, revokedAt: Date.now() - HOUR_MS })),
    number: revoked.length + 1,
    thisUpdate: Date.now() - HOUR_MS,
    nextUpdate: Date.now() + HOUR_MS,
  });
}

/** The serial number of the certificate that the member shows now. */
async function shown(world: World): Promise<string> {
  const ca = world.authority.certificate;
  const socket = tls.connect({ host: "127.0.0.1", port: world.port, ca });
  await once(socket, "secureConnect");
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

const saw = (world: World, text: string): boolean => world.logs.some((line) => line.includes(text));

test("refusal 38: revoked after the connection, by a new list: the live watch ends, others go on", async () => {
  const admin: { leaf?: Leaf; other?: Leaf } = {};
  await using world = await startWorld({
    config: (folder, authority) => {
      admin.leaf = leafOf(authority, "admin");
      admin.other = leafOf(authority, "admin");
      const clientCrl = join(folder, "clients.crl");
      writeFileSync(clientCrl, listOf(authority));
      return { clientCrl };
    },
  });
  const { leaf, other } = admin;
  assert.ok(leaf && other);
  const revoked = world.connect(leaf);
  const { watch } = await createWatch(revoked, { key });
  const { watch: good } = await createWatch(world.connect(other), { key });
  savePem(world.config.clientCrl ?? "", listOf(world.authority, leaf));
  assert.equal((await watch.ended)?.code, "invalid-token");
  const record = world.audit().find(({ action }) => action === "disconnect");
  assert.equal(record?.outcome, "refused");
  assert.match(
    record?.reason ?? "",
    /^client certificate of O=tenant:default, CN=admin \(.*Z to .*Z\) is no longer good: .* is revoked$/,
  );
  await assert.rejects(revoked.range({ key }), { code: "unreachable" });
  assert.match(world.audit().at(-1)?.reason ?? "", /CN=admin .* refused: CERT_REVOKED$/);
  await world.admin.put({ key, value: bytes("v") });
  await good.until(({ events }) => events.length === 1);
  await good[Symbol.asyncDispose]();
});

test("certificate and key are replaced together, and the former pair is kept with one warning between", async () => {
  await using world = await startWorld();
  const before = await shown(world);
  const next = issueCertificate(world.authority, {
    commonName: "renewed",
    usages: ["server"],
    ips: ["127.0.0.1"],
  });
  savePem(world.config.tlsCert ?? "", next.certificate);
  await until(() => saw(world, "the former certificates of the client port are kept"));
  assert.equal(await shown(world), before);
  savePem(world.config.tlsKey ?? "", next.privateKey);
  // A signal makes it happen at once.
  process.emit("SIGHUP");
  await until(() => saw(world, "Certificates of the client port read anew"));
  assert.equal(await shown(world), inspectCertificate(next.certificate).serial);
  const kept = world.logs.filter((line) => line.includes("are kept"));
  assert.equal(kept.length, 1);
  assert.match(kept[0] ?? "", /--tls-key .* is not the key of the certificate in --tls-cert/);
});

test("refusal 37: clients of an authority that was taken away", async () => {
  const second = createAuthority({ commonName: "second" });
  await using world = await startWorld();
  const file = world.config.clientCa ?? "";
  const client = world.connect(leafOf(second, "admin"));
  await assert.rejects(client.range({ key }), { code: "unreachable" });
  savePem(file, world.authority.certificate + second.certificate);
  process.emit("SIGHUP");
  await until(() => saw(world, "read anew"));
  await client.range({ key });
  const { watch } = await createWatch(client, { key });
  // Half of a file is no file: nobody is ended by it.
  writeFileSync(file, world.authority.certificate.slice(0, 300));
  process.emit("SIGHUP");
  await until(() => saw(world, "is cut short"));
  await client.range({ key });
  savePem(file, world.authority.certificate);
  process.emit("SIGHUP");
  assert.equal((await watch.ended)?.code, "invalid-token");
  await assert.rejects(client.range({ key }), { code: "unreachable" });
});

test("past its date a revocation list lets nobody in; who is connected stays", async () => {
  const leaves: Leaf[] = [];
  await using world = await startWorld({
    config: (folder, authority) => {
      leaves.push(leafOf(authority, "admin"));
      const clientCrl = join(folder, "clients.crl");
      writeFileSync(clientCrl, listOf(authority));
      return { clientCrl };
    },
  });
  const [leaf] = leaves;
  assert.ok(leaf);
  const connected = world.connect(leaf);
  await connected.range({ key });
  const { authority } = world;
  const dates = { thisUpdate: Date.now() - 2 * HOUR_MS, nextUpdate: Date.now() - HOUR_MS };
  const expired = createRevocationList(authority, { revoked: [], number: 3, ...dates });
  savePem(world.config.clientCrl ?? "", expired);
  process.emit("SIGHUP");
  await until(() => saw(world, "read anew"));
  await connected.range({ key });
  const later = world.connect(leaf);
  await assert.rejects(later.range({ key }), { code: "unreachable" });
  assert.match(world.audit().at(-1)?.reason ?? "", /refused: CRL_HAS_EXPIRED$/);
});

test("the ends of the files are in the metrics, by option", async () => {
  await using world = await startWorld();
  const ca = world.authority.certificate;
  const socket = tls.connect({ host: "127.0.0.1", port: world.port, ca });
  socket.write("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  const name = "coffer_certificate_expiry_timestamp_seconds";
  const end = Math.floor(world.authority.notAfter / 1000);
  assert.ok(text.includes(`${name}{file="client-ca",kind="client-ca"} ${String(end)}`));
  assert.match(text, new RegExp(`${name}\\{file="tls-cert",kind="server"\\} [0-9]+`));
  assert.ok(!text.includes(world.folder));
});
