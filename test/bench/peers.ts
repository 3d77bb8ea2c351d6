import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { LoadTarget } from "./load-connection.ts";

/** The servers that are measured: this build, and Debian's etcd with the same certificates. */

export interface Peer {
  readonly name: string;
  readonly target: LoadTarget;
  readonly pid: number;
  stop(): Promise<void>;
}

export const MAIN: string = fileURLToPath(new URL("../../src/main.js", import.meta.url));
const STOP_MS_MAX = 20_000;

export async function startCoffer(): Promise<Peer & { readonly pki: string }> {
  const folder = await mkdtemp(join(tmpdir(), "coffer-bench-"));
  const port = await freePort();
  const args = [MAIN, "dev", "--data-dir", folder, "--client-port", String(port)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await lineStarting(child, "ready");
  return {
    ...coffersIn(folder, port),
    pid: child.pid ?? 0,
    pki: join(folder, "pki"),
    stop: () => stopAndRemove(child, folder),
  };
}

/** The way to the member of a folder of `coffer dev`. */
export function coffersIn(folder: string, port: number): Pick<Peer, "name" | "target"> {
  const env = readEnv(join(folder, "env"));
  const pki = {
    ca: readFileSync(env.get("COFFER_CACERT") ?? "", "utf8"),
    cert: readFileSync(env.get("COFFER_CERT") ?? "", "utf8"),
    key: readFileSync(env.get("COFFER_KEY") ?? "", "utf8"),
  };
  const token = env.get("COFFER_TOKEN") ?? "";
  return { name: "coffer", target: { host: "127.0.0.1", port, ...pki, token } };
}

/** etcd with TLS on, serving with the certificate of `like` and asking clients for theirs. */
export async function startEtcd(like: Peer & { readonly pki: string }): Promise<Peer> {
  const folder = await mkdtemp(join(tmpdir(), "coffer-bench-etcd-"));
  const port = await freePort();
  const peerPort = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const flags = {
    "data-dir": folder,
    name: "m1",
    "log-level": "error",
    "listen-client-urls": url,
    "advertise-client-urls": url,
    "listen-peer-urls": peerUrl,
    "initial-advertise-peer-urls": peerUrl,
    "initial-cluster": `m1=${peerUrl}`,
    "quota-backend-bytes": String(8 * 2 ** 30),
    "cert-file": join(like.pki, "server.crt"),
    "key-file": join(like.pki, "server.key"),
    "trusted-ca-file": join(like.pki, "ca.crt"),
    "client-cert-auth": "true",
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const child = spawn("etcd", args, { stdio: ["ignore", "ignore", "ignore"] });
  await once(child, "spawn");
  await acceptsConnections(port);
  return {
    name: "etcd",
    target: { ...like.target, port, token: "" },
    pid: child.pid ?? 0,
    stop: () => stopAndRemove(child, folder),
  };
}

/** Bytes of resident memory. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(status);
  return Number(match?.[1] ?? 0) * 1024;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("No port was given");
  return address.port;
}

export async function stopAndRemove(child: ChildProcess, folder: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
    await gone;
    clearTimeout(timer);
  }
  await rm(folder, { recursive: true, force: true });
}

export async function lineStarting(child: ChildProcess, start: string): Promise<void> {
  if (child.stdout === null) throw new Error("The child has no standard output");
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith(start)) return;
  }
  throw new Error(`The server ended before it printed '${start}'`);
}

export async function acceptsConnections(port: number): Promise<void> {
  const { connect } = await import("node:net");
  const end = Date.now() + STOP_MS_MAX;
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const ok = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (ok) return;
    if (Date.now() > end) throw new Error(`Nothing listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function readEnv(path: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of readFileSync(path, "utf8").split("\n")) {
    const match = /^export ([A-Z_]+)=(?:'(.*)'|(.*))$/.exec(line);
    if (match?.[1] !== undefined) found.set(match[1], match[2] ?? match[3] ?? "");
  }
  return found;
}
