import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, issueCertificate, type Authority } from "../../src/pki/mod.ts";
import {
  memberDnsName,
  natsConfig,
  natsServerDnsName,
  type NatsAddress,
  type TlsFiles,
} from "../../src/transport/mod.ts";
import { toolPath } from "../setup/tools.ts";

/** Real NATS servers, an authority and certificates, in a folder that goes away with them. */

export const PLACE = { cluster: "00c0ffee00c0ffee", group: "g0" };

export interface StandOptions {
  /** How many servers, as one cluster. */
  readonly servers?: number;
  readonly members?: readonly string[];
  readonly monitor?: NatsAddress;
  /** Instead of "1MB". */
  readonly maxPayload?: string;
}

interface Server {
  readonly port: number;
  readonly routePort: number;
  readonly config: string;
  child: ChildProcess | undefined;
}

export class NatsStand {
  readonly folder: string = mkdtempSync(join(tmpdir(), "coffer-nats-"));
  authority: Authority = createAuthority({ commonName: "test authority" });
  readonly #servers: Server[] = [];

  /** As many servers as one cluster, started. */
  static async start(options: StandOptions = {}): Promise<NatsStand> {
    const stand = new NatsStand();
    try {
      await stand.#configure(options);
      for (const at of stand.#servers.keys()) await stand.run(at);
    } catch (error) {
      await stand[Symbol.asyncDispose]();
      throw error;
    }
    return stand;
  }

  get urls(): readonly string[] {
    return this.#servers.map(({ port }) => `tls://127.0.0.1:${port}`);
  }

  port(at: number): number {
    return this.#servers[at]!.port;
  }

  routePort(at: number): number {
    return this.#servers[at]!.routePort;
  }

  async #configure(options: StandOptions): Promise<void> {
    const { servers: count = 1, members = ["a", "b", "c"], monitor, maxPayload = "1MB" } = options;
    const authority = this.write("ca.crt", this.authority.certificate);
    const ports = await freePorts(count * 2);
    const host = "127.0.0.1";
    for (let at = 0; at < count; at++) {
      const name = `nats-${at + 1}`;
      const routePort = ports[count + at]!;
      const urls = ports.slice(count).filter((port) => port !== routePort);
      const text = natsConfig({
        ...PLACE,
        serverName: name,
        listen: { host, port: ports[at]! },
        tls: { ...this.issueServer(name), ca: authority },
        members,
        ...(monitor === undefined ? {} : { monitor }),
        ...(count === 1
          ? {}
          : {
              routes: {
                listen: { host, port: routePort },
                urls: urls.map((port) => `tls://${host}:${port}`),
              },
            }),
      });
      const config = this.write(`${name}.conf`, text.replace("1MB", maxPayload));
      this.#servers.push({ port: ports[at]!, routePort, config, child: undefined });
    }
  }

  /** Starts server `at`; resolves when it takes connections. */
  async run(at: number): Promise<void> {
    const server = this.#servers[at]!;
    const child = spawn(toolPath("nats-server"), ["-c", server.config], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    server.child = child;
    await new Promise<void>((resolve, reject) => {
      let said = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        if (said.includes("Server is ready")) resolve();
      });
      child.once("exit", () => reject(new Error(`nats-server ended: ${said}`)));
    });
  }

  async kill(at: number): Promise<void> {
    const child = this.#servers[at]!.child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  signal(at: number, signal: NodeJS.Signals): void {
    this.#servers[at]!.child?.kill(signal);
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** Puts the content of `path` in the place of the file `name`. */
  copy(path: string, name: string): void {
    copyFileSync(path, join(this.folder, name));
  }

  /** Another authority from here on, of the same name and in the same file. */
  changeAuthority(): void {
    this.authority = createAuthority({ commonName: "test authority" });
    this.write("ca.crt", this.authority.certificate);
  }

  issueServer(
    name: string,
    profile: {
      readonly notBefore?: number;
      readonly notAfter?: number;
      readonly ips?: readonly string[];
    } = {},
  ): { cert: string; key: string } {
    const issued = issueCertificate(this.authority, {
      commonName: name,
      usages: ["server", "client"],
      dns: [natsServerDnsName, "localhost"],
      ips: ["127.0.0.1"],
      ...profile,
    });
    return {
      cert: this.write(`${name}.crt`, issued.certificate),
      key: this.write(`${name}.key`, issued.privateKey),
    };
  }

  /** Certificate files of a member; `as` names the files, `dns` what is in the certificate. */
  member(name: string, wish: MemberWish = {}): TlsFiles {
    const authority = wish.authority ?? this.authority;
    const issued = issueCertificate(authority, {
      commonName: name,
      usages: ["client"],
      dns: [memberDnsName(name)],
      ...wish.profile,
    });
    const as = wish.as ?? name;
    return {
      ca: this.write("ca.crt", this.authority.certificate),
      cert: this.write(`${as}.crt`, issued.certificate),
      key: this.write(`${as}.key`, issued.privateKey),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const at of this.#servers.keys()) await this.kill(at);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface MemberWish {
  readonly authority?: Authority;
  readonly as?: string;
  readonly profile?: {
    readonly dns?: readonly string[];
    readonly notBefore?: number;
    readonly notAfter?: number;
  };
}

/** Ports that nobody has at this moment. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) {
    server.close();
    await once(server, "close");
  }
  return ports;
}
