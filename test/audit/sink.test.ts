import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFile, rename, rm } from "node:fs/promises";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { type Audit, type SinkTarget, startSink } from "../../src/audit/mod.ts";
import { counted, syslogMessage } from "../../src/audit/syslog.ts";
import { createAuthority, issueCertificate, savePem } from "../../src/pki/mod.ts";
import { type Folder, eventOf, fill, folderOf } from "./fixtures.ts";

/** Receivers are real sockets; a sink that is started ends with its test. */

type Sink = Awaited<ReturnType<typeof startSink>>;

async function start(
  context: TestContext,
  folder: Folder,
  { audit, target }: { readonly audit: Audit; readonly target: SinkTarget },
): Promise<Sink> {
  const note = (message: string): void => void folder.notices.push(message);
  const log = { info: note, warn: note, error: note };
  const sink = await startSink(target, { audit, log, clock: folder.clock });
  context.after(() => sink.stop());
  return sink;
}

/** What a receiver has got; `until` waits for a state of it. */
class Received {
  text = "";
  #changed: () => void = () => undefined;

  add(chunk: Buffer | string): void {
    this.text += chunk.toString("latin1");
    this.#changed();
  }

  async until(isEnough: (text: string) => boolean): Promise<void> {
    while (!isEnough(this.text)) {
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
  }

  /** The sequence numbers of all whole records. */
  get seqs(): readonly number[] {
    return [...this.text.matchAll(/"seq":(\d+),"prevHash"/g)].map((found) => Number(found[1]));
  }

  has(...numbers: readonly number[]): Promise<void> {
    return this.until(() => numbers.every((seq) => this.seqs.includes(seq)));
  }
}

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i + 1);

interface Receiver {
  readonly port: number;
  readonly received: Received;
  readonly sockets: Set<Socket>;
  close(): Promise<void>;
}

async function receiver(
  context: TestContext,
  options: { readonly port?: number; readonly isReading?: boolean; readonly server?: Server } = {},
): Promise<Receiver> {
  const received = new Received();
  const sockets = new Set<Socket>();
  const server = options.server ?? createServer();
  server.on(options.server === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    if (options.isReading !== false) socket.on("data", (chunk: Buffer) => received.add(chunk));
    else socket.pause();
  });
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  context.after(close);
  return { port: (server.address() as AddressInfo).port, received, sockets, close };
}

const streamTo = (port: number, form: "jsonl" | "syslog" = "jsonl"): SinkTarget => ({
  kind: "stream",
  name: `${form}+tcp://127.0.0.1:${port}`,
  form,
  host: "127.0.0.1",
  port,
  tls: undefined,
});

test("a file gets every record once, in order, over its own rotation and a restart", async (context) => {
  const folder = await folderOf(context);
  const path = join(folder.path, "out.log");
  const target: SinkTarget = { kind: "file", name: `jsonl:${path}`, path };
  const audit = await folder.open({ fileBytesMax: 1500 });
  for (let i = 0; i < 5; i++) await audit.append(eventOf());
  const sink = await start(context, folder, { audit, target });
  await fill(audit, 5);
  while (sink.status().lagRecords > 0) await new Promise(setImmediate);
  await rename(path, `${path}.1`);
  await fill(audit, 3);
  while (sink.status().lagRecords > 0) await new Promise(setImmediate);
  await sink.stop();
  await fill(audit, 2);
  const again = await start(context, folder, { audit, target });
  while (again.status().lagRecords > 0) await new Promise(setImmediate);
  await again.stop();
  const text = (await readFile(`${path}.1`, "latin1")) + (await readFile(path, "latin1"));
  assert.equal(text, `${(await folder.lines()).join("\n")}\n`);
});

test("JSON lines over TCP are the records as they are, and an idle sink hears of new ones", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await fill(audit, 400);
  const { port, received } = await receiver(context);
  const sink = await start(context, folder, { audit, target: streamTo(port) });
  await received.has(400);
  await fill(audit, 2);
  await received.has(402);
  assert.equal(received.text, `${(await folder.lines()).join("\n")}\n`);
  assert.deepEqual(sink.status(), {
    name: `jsonl+tcp://127.0.0.1:${port}`,
    lagRecords: 0,
    lagSeconds: 0,
    isBehind: false,
  });
});

test("syslog over TCP counts its octets, and each message holds a whole record", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const key = 'a"]\\\n\u001b\u00ff';
  await audit.append(eventOf({ key, outcome: "refused", subject: "user:Zo\u00eb" }));
  await audit.append(eventOf());
  const { port, received } = await receiver(context);
  await start(context, folder, { audit, target: streamTo(port, "syslog") });
  await received.has(1, 2);
  const messages: string[] = [];
  for (let rest = received.text; rest !== "";) {
    const [head = "", count = ""] = /^(\d+) /.exec(rest) ?? [];
    assert.notEqual(count, "", rest.slice(0, 40));
    messages.push(rest.slice(head.length, head.length + Number(count)));
    rest = rest.slice(head.length + Number(count));
  }
  const lines = await folder.lines();
  assert.equal(messages.length, 2);
  const [first = "", second = ""] = messages;
  assert.match(
    first,
    /^<108>1 2026-11-22T12:00:00\.000Z \S+ coffer m1 put \[coffer@32473 seq="1" /,
  );
  assert.match(second, /^<110>1 /);
  // The record writes control bytes as \xNN; syslog escapes that backslash, quotes and brackets.
  assert.ok(first.includes('key="a\\"\\]\\\\x5c\\\\x0a\\\\x1b\\\\xff"'), first);
  assert.ok(first.includes('subject="user:Zo\\\\u00eb"'), first);
  assert.ok(first.endsWith(`] ${lines[0]}`));
});

test("a header field of syslog has no space or control character and a limit", () => {
  const action = `${"x".repeat(40)} y`;
  const line = JSON.stringify({ time: "t t", member: "", action, outcome: "odd" });
  const message = syslogMessage(line, "a host\u0000");
  assert.match(message, /^<109>1 t_t a_host_ coffer - x{32} \[coffer@32473 /);
  assert.equal(counted("\u00eb"), "2 \u00eb");
  assert.match(syslogMessage("no json", ""), /^<109>1 - - coffer - - \[coffer@32473\] no json$/);
});

test("syslog over UDP is one datagram for each record", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  await fill(audit, 3);
  const socket = createSocket("udp4");
  context.after(() => socket.close());
  const messages: string[] = [];
  const received = new Received();
  socket.on("message", (message) => {
    messages.push(message.toString("latin1"));
    received.add(message);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  const target: SinkTarget = { kind: "udp", name: "udp", host: "127.0.0.1", port };
  await start(context, folder, { audit, target });
  await received.has(1, 2, 3);
  assert.equal(messages.length, 3);
  for (const message of messages) assert.match(message, /^<110>1 .*"hash":"[0-9a-f]{64}"\}$/);
});

test("syslog over TLS takes the receiver of its authority, and no other", async (context) => {
  const folder = await folderOf(context);
  const authority = createAuthority({ commonName: "logs" });
  const other = createAuthority({ commonName: "others" });
  for (const [name, { certificate }] of Object.entries({ authority, other })) {
    savePem(join(folder.path, `${name}.pem`), certificate);
  }
  const { certificate: cert, privateKey: key } = issueCertificate(authority, {
    commonName: "receiver",
    usages: ["server"],
    dns: ["localhost"],
    ips: ["127.0.0.1"],
  });
  const server = createTlsServer({ cert, key });
  const { port, received } = await receiver(context, { server });
  const audit = await folder.open();
  await fill(audit, 2);
  const targetOf = (ca: string): SinkTarget => ({
    ...streamTo(port, "syslog"),
    kind: "stream",
    form: "syslog",
    host: "127.0.0.1",
    port,
    name: ca,
    tls: { caFile: join(folder.path, `${ca}.pem`), certFile: undefined, keyFile: undefined },
  });
  const stranger = await start(context, folder, { audit, target: targetOf("other") });
  while (!folder.notices.some((notice) => notice.includes("does not take records"))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(stranger.status().lagRecords, 2);
  assert.equal(received.text, "");
  await start(context, folder, { audit, target: targetOf("authority") });
  await received.has(1, 2);
});

test("a receiver that does not read holds up no request, and costs one slice of memory", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const { port, received, sockets } = await receiver(context, { isReading: false });
  const sink = await start(context, folder, { audit, target: streamTo(port) });
  // More than the buffers of both kernels take.
  const key = "k".repeat(1000);
  for (let i = 0; i < 20; i++) await fill(audit, 1000, { key });
  while (sockets.size === 0) await new Promise(setImmediate);
  folder.clock.ms += 120_000;
  await fill(audit, 1);
  const { lagRecords, lagSeconds, isBehind } = sink.status();
  assert.ok(lagRecords > 1000, `${lagRecords}`);
  assert.ok(lagSeconds >= 119);
  assert.equal(isBehind, true);
  const [socket] = sockets;
  socket?.on("data", (chunk: Buffer) => received.add(chunk)).resume();
  await received.has(20_001);
  assert.deepEqual(received.seqs, upTo(20_001));
});

test("a receiver that dies gets what it may have lost again, and the next one all", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const first = await receiver(context);
  const { port } = first;
  await start(context, folder, { audit, target: streamTo(port) });
  await fill(audit, 5);
  await first.received.has(5);
  await first.close();
  await fill(audit, 5);
  const second = await receiver(context, { port });
  await second.received.has(10);
  // Nothing says that the first five were read by more than a kernel.
  assert.deepEqual(second.received.seqs, upTo(10));
});

test("after a restart it goes on: what a receiver took to the end is not sent again", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open();
  const { port, received } = await receiver(context);
  const sink = await start(context, folder, { audit, target: streamTo(port) });
  await fill(audit, 5);
  await received.has(5);
  await sink.stop();
  await fill(audit, 5);
  await start(context, folder, { audit, target: streamTo(port) });
  await received.has(10);
  assert.deepEqual(received.seqs, upTo(10));
});

test("records that are gone from the log are told of", async (context) => {
  const folder = await folderOf(context);
  const audit = await folder.open({ fileBytesMax: 1 });
  const { port, received } = await receiver(context);
  const sink = await start(context, folder, { audit, target: streamTo(port) });
  await audit.append(eventOf());
  await received.has(1);
  await sink.stop();
  for (let i = 0; i < 3; i++) await audit.append(eventOf());
  await rm(join(folder.path, (await folder.names())[1] ?? ""));
  await start(context, folder, { audit, target: streamTo(port) });
  await received.has(4);
  assert.ok(folder.notices.some((notice) => notice.includes("gone from the log")));
});
