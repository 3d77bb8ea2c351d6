import { CofferError } from "../errors.ts";
import { MemberTransport } from "./member-transport.ts";
import type { Transport, TransportOptions } from "./ports.ts";
import { isMemberName } from "./subjects.ts";

/** How long a process that runs under the same name has to answer, and how often it is asked. */
const CLAIM_MS = 600;
const CLAIMS = 4;

/**
 * Resolves once connected and sure that no other process runs under this name. While there is no
 * connection it says why, in one line each 5 s. `signal` ends the wait: rejects with `stopped`.
 * Rejects with `invalid-argument` where trying again cannot help: another process runs under this
 * name, or a name or URL is none.
 */
export async function openTransport(
  options: TransportOptions,
  signal: AbortSignal,
): Promise<Transport> {
  checkOptions(options);
  const transport = new MemberTransport(options);
  transport.start();
  const outcome = await claim(transport, signal);
  if (outcome === "free") {
    transport.holdName();
    return transport;
  }
  await transport.stop();
  if (outcome === "stopped") throw new CofferError("stopped");
  const detail = `another process runs as member '${options.name}'; stop it, or give this one a name of its own`;
  throw new CofferError("invalid-argument", detail);
}

/**
 * Asks several times within the wait: a running process that has just lost its NATS server, or whose
 * subscription other servers have yet to learn of, hears one of them. A new connection begins anew.
 */
function claim(
  transport: MemberTransport,
  signal: AbortSignal,
): Promise<"free" | "taken" | "stopped"> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const end = (outcome: "free" | "taken" | "stopped"): void => {
      clearTimeout(timer);
      transport.whenUp(undefined);
      signal.removeEventListener("abort", abort);
      resolve(outcome);
    };
    const abort = (): void => end("stopped");
    const ask = (asked: number): void => {
      // Otherwise the connection was lost, and the next one asks again.
      if (!transport.connected) return;
      if (asked === CLAIMS) {
        end("free");
        return;
      }
      transport.claimName(() => end("taken"));
      timer = setTimeout(() => ask(asked + 1), CLAIM_MS / CLAIMS);
    };
    if (signal.aborted) {
      end("stopped");
      return;
    }
    signal.addEventListener("abort", abort);
    transport.whenUp(() => {
      clearTimeout(timer);
      ask(0);
    });
  });
}

function checkOptions(options: TransportOptions): void {
  const { name, servers } = options;
  if (!isMemberName(name)) {
    throw new CofferError("invalid-argument", `'${name}' cannot name a member`);
  }
  if (servers.length === 0) throw new CofferError("invalid-argument", "no URL of NATS was given");
  const wrong = servers.find((server) => !isServerUrl(server));
  if (wrong === undefined) return;
  throw new CofferError("invalid-argument", `'${wrong}' is no URL of NATS; say tls://HOST:4222`);
}

/** Without TLS nobody would be known; credentials in a URL would end up in the log. */
function isServerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, pathname } = new URL(text);
  const bare = username === "" && password === "" && (pathname === "" || pathname === "/");
  return protocol === "tls:" && hostname !== "" && bare;
}
