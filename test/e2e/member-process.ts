import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, type ClientOptions, connect } from "../../src/client/mod.ts";
import { createAuthority, issueCertificate, savePem } from "../../src/pki/mod.ts";
import type { LoadTarget } from "../bench/load-connection.ts";
import { freePort } from "../bench/peers.ts";

export const MAIN: string = fileURLToPath(new URL("../../src/main.js", import.meta.url));
const STARTED = '"Serving clients"';
const START_MS_MAX = 30_000;
const STOP_MS_MAX = 20_000;

/** A folder with the certificates and data of one member, which may be started again and again. */
export class MemberFolder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "coffer-e2e-"));
  readonly pki: string = join(this.path, "pki");
  readonly data: string = join(this.path, "data");
  readonly port: number;
  readonly #flags: readonly string[];

  private constructor(port: number, flags: readonly string[]) {
    this.port = port;
    this.#flags = flags;
    mkdirSync(this.pki, { mode: 0o700 });
    const authority = createAuthority({ commonName: "coffer e2e authority" });
    savePem(this.#file("ca.crt"), authority.certificate);
    const server = issueCertificate(authority, {
      commonName: "server",
      usages: ["server"],
      dns: ["localhost"],
      ips: ["127.0.0.1"],
    });
    savePem(this.#file("server.crt"), server.certificate);
    savePem(this.#file("server.key"), server.privateKey);
    const admin = issueCertificate(authority, {
      commonName: "admin",
      organization: ["tenant:default", "tenant:system"],
      usages: ["client"],
    });
    savePem(this.#file("admin.crt"), admin.certificate);
    savePem(this.#file("admin.key"), admin.privateKey);
  }

  /** `flags` are given to `coffer server` beside those that every member needs. */
  static async make(flags: readonly string[] = []): Promise<MemberFolder> {
    return new MemberFolder(await freePort(), flags);
  }

  get endpoint(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** Private keys that lie in their own files, and belong nowhere else. */
  get privateKeyFiles(): readonly string[] {
    return ["server.key", "admin.key", "root.key"].map((name) => this.#file(name));
  }

  get rootKeyFile(): string {
    return this.#file("root.key");
  }

  /** PEM of the administrator, as a client or etcdctl takes them. */
  get credentials(): { readonly ca: string; readonly cert: string; readonly key: string } {
    const read = (name: string): string => readFileSync(this.#file(name), "utf8");
    return { ca: read("ca.crt"), cert: read("admin.crt"), key: read("admin.key") };
  }

  /** As the peers of the benchmark have it. */
  get target(): LoadTarget {
    return { host: "127.0.0.1", port: this.port, token: "", ...this.credentials };
  }

  client(options: Partial<ClientOptions> = {}): Client {
    return connect({ endpoints: [this.endpoint], ...this.credentials, ...options });
  }

  /** The environment of `coffer` commands. */
  environment(): Readonly<Record<string, string>> {
    return {
      PATH: process.env["PATH"] ?? "",
      COFFER_ENDPOINTS: this.endpoint,
      COFFER_CACERT: this.#file("ca.crt"),
      COFFER_CERT: this.#file("admin.crt"),
      COFFER_KEY: this.#file("admin.key"),
    };
  }

  /** Starts the member; use `ready` to wait until it serves. */
  spawn(): MemberProcess {
    const options = {
      name: "m1",
      "data-dir": this.data,
      "listen-client-urls": this.endpoint,
      "root-key-file": this.rootKeyFile,
      "tls-cert": this.#file("server.crt"),
      "tls-key": this.#file("server.key"),
      "client-ca": this.#file("ca.crt"),
    };
    const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
    const args = [MAIN, "server", ...flags, ...this.#flags];
    // The environment of whoever runs the tests must not configure the member.
    const env = { PATH: process.env["PATH"] ?? "" };
    return new MemberProcess(
      spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "pipe"] }),
    );
  }

  async start(): Promise<MemberProcess> {
    const member = this.spawn();
    await member.ready;
    return member;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #file(name: string): string {
    return join(this.pki, name);
  }
}

/** One process of a member. */
export class MemberProcess implements AsyncDisposable {
  readonly pid: number;
  /** Resolves once it serves; rejects if it ends before. */
  readonly ready: Promise<void>;
  /** Resolves when the process is gone and its output is read. */
  readonly gone: Promise<void>;
  readonly #child: ChildProcess;
  #output = "";

  constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.gone = once(child, "close").then(() => undefined);
    const timeout = AbortSignal.timeout(START_MS_MAX);
    this.ready = new Promise((resolve, reject) => {
      const hear = (text: string): void => {
        this.#output += text;
        if (this.#output.includes(STARTED)) resolve();
      };
      child.stdout?.setEncoding("utf8").on("data", hear);
      child.stderr?.setEncoding("utf8").on("data", hear);
      const fail = (why: string) => (): void =>
        reject(new Error(`The member ${why} before it served:\n${this.#output}`));
      child.once("close", fail("ended"));
      timeout.addEventListener("abort", fail("took too long"), { once: true });
    });
    this.ready.catch(() => undefined); // Whoever awaits it hears of it.
  }

  /** All that it wrote to standard output and standard error. */
  get output(): string {
    return this.#output;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.gone;
  }

  /** SIGTERM, and its exit code; null if it had to be killed. */
  async stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS_MAX);
    await this.gone;
    clearTimeout(timer);
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.stop();
  }
}
