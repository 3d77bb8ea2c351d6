import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { createAuthority } from "../../src/pki/mod.ts";
import { rejected } from "../seal/refused.ts";
import { Member, allLinked, openMembers, stopAll } from "./member.ts";
import { NatsStand, freePorts } from "./nats-stand.ts";

/** Time that passes so many times as fast: what is due each 5 s is due sooner. */
function fastClock(times: number): { now(): number } {
  const start = Date.now();
  return { now: () => start + (Date.now() - start) * times };
}

/** How many TCP connections this process has. */
function openSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length;
}

/** The first line in which a member says why it is not connected; it never gets there. */
async function complaint(member: Member, opened: Promise<unknown>): Promise<string> {
  const line = await member.line(/not connected to NATS/);
  member.abort();
  await rejected(() => opened as Promise<unknown>, "stopped");
  return line;
}

describe("a connection that cannot be made", () => {
  test("NATS down at the start: one line each 5 s, and connected once it is up", async () => {
    await using stand = await NatsStand.start();
    await stand.kill(0);
    const a = new Member("a");
    const began = performance.now();
    const opened = a.open(stand, { clock: fastClock(10) });
    await a.until("three lines", () => a.lines.length === 3);
    assert.ok(performance.now() - began > 900, "Said more often than each 5 s");
    for (const line of a.lines) {
      assert.match(
        line,
        /^warn not connected to NATS, trying again: nothing listens at tls:\/\/127/,
      );
    }
    await stand.run(0);
    await opened;
    assert.match(a.lines.at(-1) ?? "", /^info connected to NATS/);
    await a.transport.stop();
  });

  test("each wrong certificate is named in one line, with what to do", async () => {
    await using stand = await NatsStand.start();
    const foreign = createAuthority({ commonName: "foreign authority" });
    const files = stand.member("a");
    const foreignCa = stand.write("foreign.crt", foreign.certificate);
    const expired = { as: "expired", profile: { notAfter: Date.now() - 60_000 } };
    const early = {
      as: "early",
      profile: { notBefore: Date.now() + 60_000, notAfter: Date.now() + 120_000 },
    };
    const noName = { as: "nameless", profile: { dns: ["b.members.coffer"] } };
    const cases: readonly (readonly [string, RegExp, object])[] = [
      [
        "own expired",
        /this member's certificate '[^']*expired.crt' expired at 20.*; issue another/,
        { tls: stand.member("a", expired) },
      ],
      [
        "own not yet valid",
        /this member's certificate '[^']*early.crt' is not valid before 20/,
        { tls: stand.member("a", early) },
      ],
      [
        "own without the name",
        /nameless.crt' holds 'b.members.coffer' and not 'a.members.coffer'.*issue one with that/,
        { tls: stand.member("a", noName) },
      ],
      [
        "own of another authority",
        /refused this member's certificate '[^']*alien.crt', issued by CN=foreign authority; use/,
        { tls: stand.member("a", { authority: foreign, as: "alien" }) },
      ],
      [
        "authority of another server",
        /the certificate of NATS at tls:\S+ was not issued by the authority in '[^']*foreign.crt'/,
        { tls: { ...files, ca: foreignCa } },
      ],
      [
        "key of another certificate",
        /this member's key '[^']*b.key' does not belong to this member's certificate '[^']*a.crt'/,
        { tls: { ...files, key: stand.member("b").key } },
      ],
      [
        "no file",
        /this member's key '\/nowhere' cannot be read: ENOENT/,
        { tls: { ...files, key: "/nowhere" } },
      ],
      [
        "no certificate",
        /the authority's certificate '[^']*' is no certificate in PEM/,
        { tls: { ...files, ca: stand.write("text.crt", "text") } },
      ],
      [
        "unknown member",
        /does not know 'z.members.coffer'; add member 'z' to its configuration/,
        { name: "z", tls: stand.member("z") },
      ],
      [
        "unknown host",
        /the host of tls:\/\/nats.invalid:4222 is not known/,
        { servers: ["tls://nats.invalid:4222"], tls: files },
      ],
    ];
    for (const [what, pattern, wish] of cases) {
      const member = new Member("a");
      const line = await complaint(member, member.open(stand, { tls: files, ...wish }));
      assert.match(line, pattern, what);
      assert.equal(member.lines.length, 1, what);
    }
  });

  test("a server's certificate that expired or names another host", async () => {
    for (const [profile, pattern] of [
      [{ notAfter: Date.now() - 60_000 }, /the certificate of NATS at tls:\S+ has expired; issue/],
      [{ ips: ["127.0.0.9"] }, /the certificate of NATS at tls:\S+ does not name this host; issue/],
    ] as const) {
      await using stand = await NatsStand.start();
      await stand.kill(0);
      stand.issueServer("nats-1", profile);
      await stand.run(0);
      const member = new Member("a");
      assert.match(await complaint(member, member.open(stand)), pattern);
    }
  });

  test("a server that takes hardly a frame is named", async () => {
    await using stand = await NatsStand.start({ maxPayload: "1024" });
    const member = new Member("a");
    const line = await complaint(member, member.open(stand));
    assert.match(
      line,
      /NATS at tls:\S+: it takes messages of 1024 bytes; set its max_payload to 1MB/,
    );
  });

  test("a certificate that ends soon is said to at each connection", async () => {
    await using stand = await NatsStand.start();
    const profile = { notAfter: Date.now() + 3_600_000 };
    const a = await new Member("a").open(stand, { tls: stand.member("a", { profile }) });
    await a.line(/warn this member's certificate '[^']*a.crt' expires at 20.*; replace it/);
    await a.transport.stop();
  });

  test("several servers: each is named once in the line", async () => {
    await using stand = await NatsStand.start();
    const ports = await freePorts(2);
    const servers = ports.map((port) => `tls://127.0.0.1:${port}`);
    const member = new Member("a");
    const line = await complaint(member, member.open(stand, { servers }));
    for (const server of servers) assert.equal(line.split(server).length, 2);
  });
});

describe("certificates replaced on disk", () => {
  test("are used by the next connection; a half of a pair is not", async () => {
    await using stand = await NatsStand.start();
    const members = await openMembers(stand, ["a", "b"]);
    const [a, b] = members as [Member, Member];
    const stray = stand.member("a", { as: "stray" });
    stand.copy(stray.key, "a.key");
    a.transport.reload();
    await a.line(
      /warn the former certificate for NATS is kept: this member's key .* does not belong/,
    );
    stand.copy(stray.cert, "a.crt");
    a.transport.reload();
    await a.line(/info certificate for NATS read anew/);
    assert.equal(a.transport.connected, true);
    // Everything of another authority: only who reads its files again gets in.
    await stand.kill(0);
    stand.changeAuthority();
    stand.issueServer("nats-1");
    for (const name of ["a", "b"]) stand.member(name);
    const from = a.lines.length;
    await stand.run(0);
    await a.line(/info connected to NATS/, from);
    await allLinked(members);
    await b.until("a message through", () => a.send("b", "anew") && b.messages.length > 0);
    await stopAll(members);
  });

  test("are noticed without being told", async () => {
    await using stand = await NatsStand.start();
    const a = await new Member("a").open(stand);
    stand.member("a");
    await a.line(/info certificate for NATS read anew/);
    await a.transport.stop();
  });
});

describe("three NATS servers", () => {
  test("losing one: its clients move to another at once; order and at most once hold", async () => {
    await using stand = await NatsStand.start({ servers: 3 });
    const members = await openMembers(stand, ["a", "b", "c"]);
    const [a, b] = members as [Member, Member];
    let sent = 0;
    const stream = setInterval(() => {
      for (let at = 0; at < 5; at++) if (a.send("b", `${sent}`)) sent++;
    }, 2);
    await b.until("the stream", () => b.messages.length > 100);
    const lost = stand.urls.indexOf(a.transport.server!);
    const from = a.lines.length;
    const began = performance.now();
    await stand.kill(lost);
    await a.line(/info connected to NATS/, from);
    const took = performance.now() - began;
    assert.notEqual(a.transport.server, stand.urls[lost]);
    await allLinked(members);
    const before = b.messages.length;
    await b.until("the stream again", () => b.messages.length > before + 100);
    clearInterval(stream);
    assert.ok(took < 2000, `It took ${took} ms`);
    const got = b.texts("a").map(Number);
    assert.ok(
      got.every((number, at) => at === 0 || number > got[at - 1]!),
      "Out of order or twice",
    );
    await stopAll(members);
  });

  test("one that stops without a word is left within seconds, though frames keep coming", async () => {
    await using stand = await NatsStand.start({ servers: 2 });
    const members = await openMembers(stand, ["a", "b"]);
    const [a, b] = members as [Member, Member];
    const stopped = stand.urls.indexOf(a.transport.server!);
    const payload = new Uint8Array(256 * 1024);
    let refused = 0;
    const stream = setInterval(() => {
      for (let at = 0; at < 20 && a.transport.connected; at++) {
        if (!a.transport.send("b", "raft", payload)) refused++;
      }
    }, 2);
    const from = a.lines.length;
    stand.signal(stopped, "SIGSTOP");
    await a.line(/warn connection to NATS lost .*no answer for 1.5 s/, from);
    await a.line(/info connected to NATS/, from);
    assert.notEqual(a.transport.server, stand.urls[stopped]);
    assert.ok(refused > 0, "Any amount of frames was taken while nothing was read");
    clearInterval(stream);
    await b.until(
      "b's move",
      () => b.transport.connected && b.transport.server === a.transport.server,
    );
    assert.equal(openSockets(), 2, "The sockets that are stuck were left open");
    stand.signal(stopped, "SIGCONT");
    await allLinked(members);
    const seen = (): boolean => b.texts("a", "fwd").includes("after");
    await b.until("a message through", () => seen() || (a.send("b", "after", "fwd") && false));
    await stopAll(members);
  });

  test("all of them lost: sends are dropped and said to be, and all goes on when one is back", async () => {
    await using stand = await NatsStand.start({ servers: 2 });
    const members = await openMembers(stand, ["a", "b"]);
    const [a, b] = members as [Member, Member];
    for (const at of [0, 1]) await stand.kill(at);
    await a.line(
      /warn not connected to NATS, trying again: nothing listens at \S+;.*nothing listens/,
    );
    assert.equal(a.transport.connected, false);
    assert.equal(a.transport.server, undefined);
    assert.equal(a.send("b", "dropped"), false);
    await a.until("the word", () => a.unreachable.includes("b"));
    await stand.run(1);
    await a.line(/info connected to NATS \{"server":"[^"]*"\}/, a.lines.length);
    await b.until("a message through", () => a.send("b", "back") && b.messages.length > 0);
    assert.ok(b.texts("a").every((text) => text === "back"));
    await stopAll(members);
  });
});
