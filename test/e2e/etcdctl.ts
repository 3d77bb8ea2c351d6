import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import type { LoadTarget } from "../bench/load-connection.ts";
import type { Step } from "./etcdctl-commands.ts";

/** What one command answered, made comparable between two servers. */
export interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

const COMMAND_MS_MAX = 20_000;

/** etcdctl against one server, remembering the lease ids that it was given. */
export class Etcdctl implements Disposable {
  readonly #target: LoadTarget;
  readonly #folder = mkdtempSync(join(tmpdir(), "coffer-etcdctl-"));
  readonly #leases: string[] = [];

  constructor({ target }: { readonly target: LoadTarget }) {
    this.#target = target;
    writeFileSync(this.#file("ca.crt"), target.ca);
    writeFileSync(this.#file("client.crt"), target.cert);
    writeFileSync(this.#file("client.key"), target.key, { mode: 0o600 });
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async run(step: Step): Promise<Answer> {
    const args = step.args.map((arg) =>
      arg.replace(/\{lease(\d+)\}/, (_, n: string) => this.#leases[Number(n) - 1] ?? "none"),
    );
    const child = spawn("etcdctl", args, { env: this.environment() });
    child.stdin.on("error", () => undefined); // It may end before it reads.
    child.stdin.end(step.stdin ?? "");
    let stdout = "";
    let stderr = "";
    const { lines } = step;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (lines !== undefined && stdout.split("\n").length > lines) child.kill("SIGKILL");
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, COMMAND_MS_MAX);
    const [code] = (await once(child, "close")) as [number | null];
    clearTimeout(timer);
    if (late) throw new Error(`etcdctl ${args.join(" ")} did not end, and printed:\n${stdout}`);
    const granted = /^lease ([0-9a-f]+) granted/m.exec(stdout)?.[1];
    if (granted !== undefined) this.#leases.push(granted);
    const cut = lines === undefined ? stdout : stdout.split("\n").slice(0, lines).join("\n");
    return {
      stdout: this.#comparable(cut),
      stderr: this.#comparable(stderr),
      // A watch is ended from here, so how it ends says nothing.
      code: lines === undefined ? code : 0,
    };
  }

  /** Standard output as it is. Throws unless the command succeeds. */
  async bytes(args: readonly string[], stdin: Uint8Array = Buffer.alloc(0)): Promise<Buffer> {
    const child = spawn("etcdctl", args, { env: this.environment() });
    child.stdin.on("error", () => undefined); // It may end before it reads.
    child.stdin.end(stdin);
    const [out, complaint, [code]] = await Promise.all([
      buffer(child.stdout),
      text(child.stderr),
      once(child, "close") as Promise<[number | null]>,
    ]);
    if (code !== 0) throw new Error(`etcdctl ${args.join(" ")} failed: ${complaint}`);
    return out;
  }

  #file(name: string): string {
    return join(this.#folder, name);
  }

  environment(): NodeJS.ProcessEnv {
    return {
      PATH: process.env["PATH"],
      ETCDCTL_API: "3",
      ETCDCTL_ENDPOINTS: `https://127.0.0.1:${this.#target.port}`,
      ETCDCTL_CACERT: this.#file("ca.crt"),
      ETCDCTL_CERT: this.#file("client.crt"),
      ETCDCTL_KEY: this.#file("client.key"),
    };
  }

  /** Replaces what differs between two servers by nature: ids, terms, addresses, times. */
  #comparable(text: string): string {
    let out = text;
    for (const [i, lease] of this.#leases.entries()) {
      out = out.replaceAll(lease, `{lease${i + 1}}`);
      out = out.replaceAll(BigInt(`0x${lease}`).toString(), `{lease${i + 1}}`);
    }
    return (
      out
        .split("\n")
        .filter((line) => !/^\{"level":|^\d{4}[/-]\d\d|^WARNING:|^\d{4}\//.test(line))
        .join("\n")
        .replaceAll(/("(?:cluster_id|member_id|raft_term)":)"?\d+"?/g, "$1N")
        .replaceAll(/("(?:ClusterID|MemberID|RaftTerm)" : )\d+/g, "$1N")
        .replaceAll(/\b(election\/)[0-9a-f]+/g, "$1LEASE")
        .replaceAll(/127\.0\.0\.1:\d+/g, "ADDRESS")
        .replaceAll(/remaining\(\d+s\)/g, "remaining(N)")
        // etcd keeps the keys of a lease in a map of Go, which has no order.
        .replaceAll(/attached keys\(\[(.*?)\]\)/g, (_, keys: string) => {
          return `attached keys([${keys.split(" ").toSorted().join(" ")}])`;
        })
        .replaceAll(/took = [^ \n]+/g, "took = N")
    );
  }
}
