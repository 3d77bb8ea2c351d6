import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import test, { describe } from "node:test";
import { connect, type NatsConnection } from "nats";
import { createAuthority } from "../../src/pki/mod.ts";
import {
  memberDnsName,
  natsConfig,
  natsServerDnsName,
  type TlsFiles,
} from "../../src/transport/mod.ts";
import { refused } from "../seal/refused.ts";
import { assertNatsHealthy } from "./nats-health.ts";
import { NatsStand, PLACE, freePorts } from "./nats-stand.ts";

const SPACE = `coffer.${PLACE.cluster}.${PLACE.group}`;

const MINIMAL = {
  ...PLACE,
  serverName: "nats-1",
  listen: { host: "127.0.0.1", port: 4222 },
  tls: { ca: "ca.crt", cert: "server.crt", key: "server.key" },
  members: ["a", "b"],
};

function dial(stand: NatsStand, tls: TlsFiles, at = 0): Promise<NatsConnection> {
  const servers = stand.urls[at]!;
  const files = { caFile: tls.ca, certFile: tls.cert, keyFile: tls.key };
  return connect({ servers, tls: files, reconnect: false, timeout: 3000 });
}

/** What the server forbids after `act`: "publish <subject>", or "" if all is permitted. */
async function violation(nats: NatsConnection, act: () => void): Promise<string> {
  const statuses = nats.status()[Symbol.asyncIterator]();
  act();
  const seen = statuses.next().then(({ value }) => {
    const context = value?.permissionContext;
    return context === undefined ? String(value?.type) : `${context.operation} ${context.subject}`;
  });
  // The answer to the flush comes behind the complaint, if there is one.
  const told = await Promise.race([seen, nats.flush().then(() => nats.flush().then(() => ""))]);
  return told;
}

describe("the configuration", () => {
  test("names each member with its own subjects and no others", () => {
    const text = natsConfig({ ...MINIMAL, spares: ["c"] });
    for (const name of ["a", "b", "c"]) {
      const line = text.split("\n").find((line) => line.includes(`"${memberDnsName(name)}"`));
      assert.ok(line?.includes(`publish: { allow: ["${SPACE}.*.*.${name}"] }`), line);
      assert.ok(line?.includes(`subscribe: { allow: ["${SPACE}.*.${name}.*"] }`), line);
    }
    assert.ok(!text.includes("_INBOX"));
    assert.ok(!text.includes("cluster {"));
  });

  test("puts routes behind the DNS name of servers, with files of their own if told", () => {
    const tls = { ca: "routes.crt", cert: "route.crt", key: "route.key" };
    const listen = { host: "::", port: 6222 };
    const text = natsConfig({ ...MINIMAL, routes: { listen, urls: ["tls://n2:6222"], tls } });
    const cluster = text.slice(text.indexOf("cluster {"));
    assert.ok(cluster.includes(`authorization { user: "${natsServerDnsName}" }`));
    assert.ok(cluster.includes('listen: "[::]:6222"'));
    assert.ok(cluster.includes('ca_file: "routes.crt"'));
    assert.ok(cluster.includes('routes = ["tls://n2:6222"]'));
  });

  test("refuses names and paths that would say something else", () => {
    for (const members of [["a", "a"], ["A"], ["a.b"], ["*"], [""], ["a b"], ['a"'], [">"]]) {
      refused(
        () => natsConfig({ ...MINIMAL, members }),
        "invalid-argument",
        /cannot name a member/,
      );
    }
    for (const cert of ['a"b', "a\nb", "a\\b"]) {
      const tls = { ...MINIMAL.tls, cert };
      refused(() => natsConfig({ ...MINIMAL, tls }), "invalid-argument", /cannot stand in a NATS/);
    }
  });
});

describe("a real server with it", () => {
  test("refusal 43: a NATS client that is no member gets no connection", async () => {
    await using stand = await NatsStand.start();
    const member = await dial(stand, stand.member("a"));
    await member.close();
    const foreign = createAuthority({ commonName: "test authority" });
    await assert.rejects(dial(stand, stand.member("a", { authority: foreign, as: "foreign" })));
    await assert.rejects(dial(stand, stand.member("z")), /Authorization Violation/);
    const noName = { as: "nameless", profile: { dns: ["a"] } };
    await assert.rejects(dial(stand, stand.member("a", noName)), /Authorization Violation/);
    const server = { ...stand.member("a"), ...stand.issueServer("other") };
    await assert.rejects(dial(stand, server), /Authorization Violation/);
    await assert.rejects(connect({ servers: stand.urls[0]!, reconnect: false, timeout: 3000 }));
  });

  test("refusal 43: a member publishes and subscribes under its own name only", async () => {
    await using stand = await NatsStand.start();
    await using nats = await closing(dial(stand, stand.member("a")));
    const publish = async (subject: string): Promise<string> =>
      await violation(nats.connection, () => nats.connection.publish(subject, "x"));
    const subscribe = async (subject: string): Promise<string> =>
      await violation(nats.connection, () => void nats.connection.subscribe(subject, silent));
    assert.equal(await publish(`${SPACE}.raft.b.a`), "");
    assert.equal(await subscribe(`${SPACE}.*.a.*`), "");
    for (const subject of [
      `${SPACE}.raft.b.c`,
      `${SPACE}.raft.a.b`,
      "coffer.00c0ffee00c0ffef.g0.raft.b.a",
      `coffer.${PLACE.cluster}.g1.raft.b.a`,
      "_INBOX.x",
      "$SYS.x",
    ]) {
      assert.equal(await publish(subject), `publish ${subject}`);
    }
    for (const subject of [`${SPACE}.*.b.*`, `${SPACE}.raft.*.a`, `${SPACE}.>`, ">", "_INBOX.*"]) {
      assert.equal(await subscribe(subject), `subscription ${subject}`);
    }
  });

  test("refusal 43: a member's certificate opens no route", async () => {
    await using stand = await NatsStand.start({ servers: 2 });
    const said = async (files: {
      readonly cert: string;
      readonly key: string;
    }): Promise<string> => {
      const { ca } = stand.member("a");
      const [caText, cert, key] = [ca, files.cert, files.key].map((path) => readFileSync(path));
      const tls = connectTls({
        port: stand.routePort(0),
        host: "127.0.0.1",
        ca: caText!,
        cert: cert!,
        key: key!,
      });
      await once(tls, "secureConnect");
      tls.write('CONNECT {"verbose":false,"name":"spy","cluster":"coffer"}\r\nPING\r\n');
      let text = "";
      for await (const chunk of tls) {
        text += String(chunk);
        if (/PONG|-ERR/.test(text)) break;
      }
      tls.destroy();
      return /-ERR '[^']*'|PONG/.exec(text)?.[0] ?? "closed";
    };
    assert.match(await said(stand.member("a")), /-ERR 'Authorization Violation'|closed/);
    assert.equal(await said(stand.issueServer("nats-3")), "PONG");
  });

  test("servers of a cluster carry frames from one to another", async () => {
    await using stand = await NatsStand.start({ servers: 3 });
    await using a = await closing(dial(stand, stand.member("a"), 0));
    await using b = await closing(dial(stand, stand.member("b"), 2));
    const inbound = b.connection.subscribe(`${SPACE}.*.b.*`);
    await b.connection.flush();
    const seen = inbound[Symbol.asyncIterator]().next();
    // Servers learn of a subscription a moment later: until then nothing is there to be carried.
    const timer = setInterval(() => a.connection.publish(`${SPACE}.raft.b.a`, "over"), 20);
    const { value } = await seen;
    clearInterval(timer);
    assert.equal(value?.string(), "over");
  });

  test("the health port answers", async () => {
    const [port] = await freePorts(1);
    await using stand = await NatsStand.start({ monitor: { host: "127.0.0.1", port: port! } });
    await assertNatsHealthy(`http://127.0.0.1:${port}/healthz`, 3);
    assert.ok(stand.port(0) > 0);
  });
});

const silent = { callback: (): void => undefined };

async function closing(
  dialled: Promise<NatsConnection>,
): Promise<{ readonly connection: NatsConnection } & AsyncDisposable> {
  const connection = await dialled;
  return { connection, [Symbol.asyncDispose]: async () => await connection.close() };
}
