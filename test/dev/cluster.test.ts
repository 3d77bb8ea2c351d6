import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Client, connect } from "../../src/client/mod.ts";
import { findNatsServer } from "../../src/dev/find-program.ts";
import { isFree } from "../../src/dev/ports.ts";
import { MAIN } from "../e2e/member-process.ts";
import { PORT_MAX, PORT_MIN } from "../setup/port-range.ts";

/** `coffer dev --members 3`, as a process of its own, with all that it starts. */

const NAMES = ["m1", "m2", "m3"];
const HEAR_MS_MAX = 60_000;
const END_MS_MAX = 20_000;

interface Place {
  readonly folder: string;
  readonly port: number;
}

async function placeOf(context: TestContext): Promise<Place> {
  const parent = mkdtempSync(join(tmpdir(), "coffer-dev3-"));
  context.after(() => rmSync(parent, { recursive: true, force: true }));
  return { folder: join(parent, "data"), port: await freeBase() };
}

/** A port that is free, as those 10 and 20 above it are, and that no outgoing connection is given. */
async function freeBase(): Promise<number> {
  const port = randomInt(PORT_MIN, PORT_MAX - 20);
  const free = await Promise.all([0, 10, 20].map((more) => isFree(port + more)));
  return free.every(Boolean) ? port : await freeBase();
}

class DevProcess {
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  readonly #waiting = new Set<() => void>();
  #output = "";

  constructor(context: TestContext, { folder, port }: Place, flags: readonly string[] = []) {
    const own = ["--members", "3", "--data-dir", folder, "--client-port", String(port)];
    this.#child = spawn(process.execPath, [MAIN, "dev", ...own, ...flags], {
      // Set for clients and for servers of the user's own: not for these.
      env: { PATH: process.env["PATH"] ?? "", COFFER_NAME: "else", COFFER_TOKEN: "x" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#gone = once(this.#child, "close");
    const hear = (text: string): void => {
      this.#output += text;
      for (const look of this.#waiting) look();
    };
    this.#child.stdout?.setEncoding("utf8").on("data", hear);
    this.#child.stderr?.setEncoding("utf8").on("data", hear);
    context.after(async () => {
      this.#child.kill("SIGKILL");
      await this.#gone;
      await allEnded(folder);
    });
  }

  get output(): string {
    return this.#output;
  }

  /** Waits for a line that matches. */
  async hears(pattern: RegExp): Promise<RegExpExecArray> {
    const match = new Promise<RegExpExecArray>((resolve, reject) => {
      const fail = (why: string) => (): void => reject(new Error(`${why}:\n${this.#output}`));
      const timer = setTimeout(fail(`no ${pattern}`), HEAR_MS_MAX);
      const look = (): void => {
        const found = pattern.exec(this.#output);
        if (found === null) return;
        this.#waiting.delete(look);
        clearTimeout(timer);
        resolve(found);
      };
      this.#waiting.add(look);
      void this.#gone.then(fail("it ended"));
      look();
    });
    return await match;
  }

  /** Sends the signal and answers the exit code; null if the signal itself ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    await this.#gone;
    return this.#child.exitCode;
  }

  /** The exit code of one that ends by itself. */
  async exit(): Promise<number | null> {
    await this.#gone;
    return this.#child.exitCode;
  }
}

/** Command lines of running processes that name the folder, by process id. */
function processesOf(folder: string): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const line = readFileSync(`/proc/${entry}/cmdline`, "utf8").replaceAll("\0", " ");
      if (line.includes(folder)) found.set(Number(entry), line);
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

function memberOf(folder: string, name: string): number {
  const wanted = `--data-dir ${join(folder, name)} `;
  const found = [...processesOf(folder)].filter(([, line]) => line.includes(wanted));
  assert.equal(found.length, 1, `${name}: ${found.map(([, line]) => line).join("\n")}`);
  const [[pid, line] = assert.fail()] = found;
  assert.match(line, / server /);
  // Whoever looks for one member must not find another.
  for (const other of NAMES.filter((one) => one !== name)) {
    assert.ok(!line.includes(join(folder, other)), line);
  }
  return pid;
}

async function allEnded(folder: string): Promise<void> {
  const end = Date.now() + END_MS_MAX;
  for (;;) {
    const left = processesOf(folder);
    if (left.size === 0) return;
    assert.ok(Date.now() < end, `left over:\n${[...left.values()].join("\n")}`);
    await delay(50);
  }
}

function environmentOf(folder: string): Readonly<Record<string, string>> {
  const text = readFileSync(join(folder, "env"), "utf8");
  return Object.fromEntries(
    [...text.matchAll(/^export ([A-Z_]+)='([^']*)'$/gm)].map(([, name, value]) => [name, value]),
  ) as Record<string, string>;
}

/** A client by the env file; of the members at `ports` alone if given. */
function clientOf(folder: string, ports?: readonly number[]): Client {
  const env = environmentOf(folder);
  const read = (name: string): string => readFileSync(env[name] ?? "", "utf8");
  const all = (env["COFFER_ENDPOINTS"] ?? "").split(",");
  return connect({
    endpoints: ports?.map((port) => `https://127.0.0.1:${port}`) ?? all,
    ca: read("COFFER_CACERT"),
    cert: read("COFFER_CERT"),
    key: read("COFFER_KEY"),
    token: env["COFFER_TOKEN"],
  });
}

const key = Buffer.from("greeting");

async function put(folder: string, value: string, ports?: readonly number[]): Promise<void> {
  await using client = clientOf(folder, ports);
  await client.put({ key, value: Buffer.from(value) });
}

async function get(folder: string, ports?: readonly number[]): Promise<string> {
  await using client = clientOf(folder, ports);
  const { kvs } = await client.range({ key });
  return Buffer.from(kvs[0]?.value ?? []).toString();
}

test("three members: one may be killed, a stop is clean, the next start finds the data", async (context) => {
  const place = await placeOf(context);
  const { folder, port } = place;
  const first = new DevProcess(context, place);
  const [line] = await first.hears(/^ready .*$/m);
  const endpoints = [0, 10, 20].map((more) => `https://127.0.0.1:${port + more}`).join(",");
  assert.equal(line, `ready ${endpoints}`);
  const env = environmentOf(folder);
  assert.deepEqual([env["COFFER_ENDPOINTS"], env["ETCDCTL_ENDPOINTS"]], [endpoints, endpoints]);
  await put(folder, "hello", [port]);
  assert.equal(await get(folder, [port + 20]), "hello");
  // An operator's work, by the certificate of the env file.
  await using client = clientOf(folder);
  assert.deepEqual((await client.memberList()).members.map(({ name }) => name).toSorted(), NAMES);

  process.kill(memberOf(folder, "m2"), "SIGKILL");
  await first.hears(/^m2 ended \(SIGKILL\); its log is .*m2\.log; only coffer dev --restart/m);
  await put(folder, "two are enough", [port, port + 20]);
  assert.equal(await get(folder, [port]), "two are enough");
  assert.ok(![...processesOf(folder).values()].some((text) => text.includes(join(folder, "m2"))));

  assert.equal(await first.end("SIGTERM"), 0, first.output);
  assert.deepEqual([...processesOf(folder)], []);
  assert.ok(!first.output.includes("was killed"), first.output);

  const natsPort = readFileSync(join(folder, "nats/port"), "utf8");
  const second = new DevProcess(context, place);
  await second.hears(/^ready/m);
  assert.equal(await get(folder, [port + 10]), "two are enough");
  assert.equal(readFileSync(join(folder, "nats/port"), "utf8"), natsPort);
  // Without its own stop: they must notice by themselves.
  await second.end("SIGKILL");
  const third = new DevProcess(context, place, ["--restart"]);
  await third.hears(/^ready/m);
  assert.equal(await get(folder), "two are enough");

  const killed = memberOf(folder, "m3");
  process.kill(killed, "SIGKILL");
  await third.hears(/^m3 ended \(SIGKILL\).*starts again in 1 s/m);
  await until(async () => (await get(folder, [port + 20])) === "two are enough");
  assert.notEqual(memberOf(folder, "m3"), killed);
  assert.equal(await third.end("SIGINT"), 0, third.output);
  assert.deepEqual([...processesOf(folder)], []);
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + HEAR_MS_MAX; ; await delay(100)) {
    if (await condition().catch(() => false)) return;
    assert.ok(Date.now() < end, "it never came true");
  }
}

test("a member whose disk was lost joins anew", async (context) => {
  const place = await placeOf(context);
  const { folder, port } = place;
  const first = new DevProcess(context, place);
  await first.hears(/^ready/m);
  await put(folder, "kept by two");
  await first.end("SIGTERM");
  rmSync(join(folder, "m2"), { recursive: true });
  const second = new DevProcess(context, place);
  await second.hears(/^m2 has no data and the others have; .* member remove m2; .* add m2$/m);
  await until(async () => (await get(folder, [port, port + 20])) === "kept by two");
  await using client = clientOf(folder, [port, port + 20]);
  const lost = (await client.memberList()).members.find(({ name }) => name === "m2");
  await client.memberRemove({ ID: lost?.ID ?? 0n });
  await client.memberAdd({ peerURLs: ["https://m2:2380"], isLearner: false });
  await second.hears(/^ready/m);
  assert.equal(await get(folder, [port + 10]), "kept by two");
  assert.equal(await second.end("SIGTERM"), 0, second.output);
});

test("a stop while it starts leaves nothing behind", async (context) => {
  const place = await placeOf(context);
  const dev = new DevProcess(context, place);
  await until(async () => processesOf(join(place.folder, "m1")).size > 0);
  assert.equal(await dev.end("SIGINT"), 0, dev.output);
  assert.doesNotMatch(dev.output, /ready|Error/);
  assert.deepEqual([...processesOf(place.folder)], []);
});

test("a taken port is named before anything is touched, with --reset too", async (context) => {
  const place = await placeOf(context);
  const server = createServer().listen(place.port + 10, "127.0.0.1");
  await once(server, "listening");
  context.after(() => server.close());
  const dev = new DevProcess(context, place, ["--reset"]);
  assert.equal(await dev.exit(), 2);
  assert.match(dev.output, new RegExp(`port ${place.port + 10} is taken`));
  assert.ok(!existsSync(place.folder));
});

test("a member that cannot start is named, with its reason and its log", async (context) => {
  const place = await placeOf(context);
  const first = new DevProcess(context, place);
  await first.hears(/^ready/m);
  await first.end("SIGTERM");
  // As a disk that lost half of a member's files.
  writeFileSync(join(place.folder, "m2/member.json"), "{");
  const second = new DevProcess(context, place);
  assert.notEqual(await second.exit(), 0);
  assert.match(
    second.output,
    /Error: m2 ended \(exit code \d\): .*member\.json.*; its log is .*m2\.log/,
  );
  assert.deepEqual([...processesOf(place.folder)], []);
});

test("the root key that went missing is not made anew over data", async (context) => {
  const place = await placeOf(context);
  const first = new DevProcess(context, place);
  await first.hears(/^ready/m);
  await first.end("SIGTERM");
  rmSync(join(place.folder, "root.key"));
  const second = new DevProcess(context, place);
  assert.notEqual(await second.exit(), 0);
  assert.match(second.output, /root\.key is not there, and .* holds data/);
  assert.ok(!existsSync(join(place.folder, "root.key")));
});

test("without nats-server it says how to install it", () => {
  assert.throws(
    () => findNatsServer(["/nowhere"]),
    /nats-server is not on PATH; install it \(Debian/,
  );
});
