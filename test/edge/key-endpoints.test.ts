import assert from "node:assert/strict";
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { issueCertificate } from "../../src/pki/mod.ts";
import { keysFor, signText } from "../identity/fixtures.ts";
import { type World, bytes, failure, startWorld } from "./world.ts";

/** Refusal 35 at a member: what the servers of its issuers may do to it. */

let world: World;
let operator: Client;

before(async () => {
  world = await startWorld();
  operator = await world.as("user:admin", { tenants: ["system"] });
  await world.grant(["p", "user:alice", "*", "*", "allow"]);
});

after(() => world[Symbol.asyncDispose]());

function add(issuer: string, url: string): ReturnType<Client["issuerAdd"]> {
  const record = {
    version: 1,
    issuer,
    keys: { kind: "url", url, ca: world.authority.certificate },
    algorithms: ["ES256"],
    audience: ["coffer"],
    maxAgeSeconds: 3600,
    tenants: { kind: "fixed", tenants: ["default"] },
  };
  return operator.issuerAdd({ record: Buffer.from(JSON.stringify(record)) });
}

function tokenOf(iss: string, jti: string, keys = keysFor("ES256")): Promise<string> {
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss, sub: "alice", aud: "coffer", iat, exp: iat + 600, jti };
  return signText(JSON.stringify(claims), {}, keys);
}

const NEXT = keysFor("ES256", "next");

/** What a key endpoint answers after it has been good once, by its path; and what is told of it. */
const BAD_ANSWERS: Readonly<Record<string, readonly [RequestListener, RegExp]>> = {
  "/10-mb": [
    (_, response) =>
      void response.end(JSON.stringify({ keys: [NEXT.jwk], x: "x".repeat(10 ** 7) })),
    /longer than 64 KiB/,
  ],
  "/5000-keys": [
    (_, response) => {
      const keys = Array.from({ length: 5000 }, (__, n) => ({ kty: "EC", kid: `${n}` }));
      response.end(JSON.stringify({ keys: [NEXT.jwk, ...keys] }));
    },
    /longer than 64 KiB/,
  ],
  "/51-keys": [
    (_, response) => {
      const keys = Array.from({ length: 50 }, (__, n) => ({ ...NEXT.jwk, kid: `${n}` }));
      response.end(JSON.stringify({ keys: [NEXT.jwk, ...keys] }));
    },
    /more than 50 keys/,
  ],
  "/redirect": [
    (_, response) => void response.writeHead(302, { location: "/elsewhere" }).end(),
    /answered 302/,
  ],
  "/down": [(request) => void request.socket.destroy(), /./],
};

test("refusal 35: key endpoints that answer too much, redirect or are down, after they were good", async () => {
  const served = issueCertificate(world.authority, {
    commonName: "id",
    usages: ["server"],
    ips: ["127.0.0.1"],
  });
  const asked: string[] = [];
  const good = JSON.stringify({ keys: [keysFor("ES256").jwk] });
  const options = { cert: served.certificate, key: served.privateKey };
  const server = createServer(options, (request, response) => {
    const { url = "" } = request;
    const isFirst = !asked.includes(url);
    asked.push(url);
    const bad = BAD_ANSWERS[url];
    if (isFirst && bad !== undefined) response.end(good);
    else if (bad === undefined) response.end(JSON.stringify({ keys: [NEXT.jwk] }));
    else bad[0](request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuerOf = (path: string): string => `https://id.example${path}`;
  const put = async (path: string, token: string): Promise<unknown> =>
    await world.connect({ token }).put({ key: bytes(path) });
  const all = Object.entries(BAD_ANSWERS);
  try {
    for (const [path] of all) {
      await add(issuerOf(path), origin + path);
      await put(path, await tokenOf(issuerOf(path), "first"));
    }
    const seen = world.audit().at(-1)?.seq ?? 0;
    await Promise.all(
      all.map(async ([path, [, reason]]) => {
        const iss = issuerOf(path);
        // The key that the answer holds, if it were taken.
        const token = await tokenOf(iss, "next", NEXT);
        await failure(put(path, token), "invalid-token");
        const { issuer } = await operator.issuerShow({ issuer: iss });
        assert.equal(issuer?.keys, 1n, path);
        assert.match(issuer.failure, reason, path);
        // What was known stays so.
        await put(path, await tokenOf(iss, "later"));
      }),
    );
    assert.ok(!asked.includes("/elsewhere"), "the redirect was followed");
    for (const [path] of all) assert.equal(asked.filter((one) => one === path).length, 2, path);
    const refused = world.audit().filter(({ seq, outcome }) => seq > seen && outcome === "refused");
    assert.deepEqual(
      refused.map(({ action, reason }) => `${action} ${reason.split(":")[0] ?? ""}`),
      all.map(() => "put invalid-token"),
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
