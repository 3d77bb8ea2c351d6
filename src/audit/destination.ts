import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type Socket, connect as connectTcp, isIP } from "node:net";
import { hostname } from "node:os";
import { connect as connectTls } from "node:tls";
import { DATAGRAM_BYTES_MAX, counted, syslogMessage } from "./syslog.ts";

/** Where audit records are sent beside the log. `name` stands in logs and metrics. */
export type SinkTarget =
  | { readonly kind: "file"; readonly name: string; readonly path: string }
  | { readonly kind: "udp"; readonly name: string; readonly host: string; readonly port: number }
  | {
      readonly kind: "stream";
      readonly name: string;
      readonly form: "jsonl" | "syslog";
      readonly host: string;
      readonly port: number;
      readonly tls: SinkTls | undefined;
    };

export interface SinkTls {
  /** PEM files; undefined: the system's authorities, no client certificate. */
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

/** One open way to a sink. After a failure it is closed, and another one opened. */
export interface Destination {
  /** Resolves once the lines are out of this process. Rejects when they cannot be. */
  send(lines: readonly string[]): Promise<void>;
  /** Says why, when it broke though nothing was being sent. */
  readonly broken: string | undefined;
  /** True if the other side has certainly got all that was sent. */
  close(): Promise<boolean>;
}

/**
 * For how long what was sent may still be lost, as nothing acknowledges it: syslog over TCP has no answer
 * (RFC 6587). What was sent in that time before a connection breaks is sent again.
 */
export function settleMsOf({ kind }: SinkTarget): number {
  return kind === "stream" ? 10_000 : 0;
}

export function openDestination(target: SinkTarget): Promise<Destination> {
  switch (target.kind) {
    case "file":
      return openFile(target.path);
    case "udp":
      return Promise.resolve(openUdp(target));
    case "stream":
      return openStream(target);
  }
}

/** Appends; goes on in a new file when the old one was moved away, as log rotation does. */
async function openFile(path: string): Promise<Destination> {
  const openNow = async (): Promise<{ file: FileHandle; inode: number }> => {
    const file = await open(path, "a", 0o600);
    return { file, inode: (await file.stat()).ino };
  };
  let now = await openNow();
  return {
    broken: undefined,
    send: async (lines) => {
      if (statSync(path, { throwIfNoEntry: false })?.ino !== now.inode) {
        await now.file.close();
        now = await openNow();
      }
      await now.file.appendFile(`${lines.join("\n")}\n`, "latin1");
      await now.file.datasync();
    },
    close: async () => {
      await now.file.close();
      return true;
    },
  };
}

function openUdp({ host, port }: Extract<SinkTarget, { kind: "udp" }>): Destination {
  const socket = createSocket(isIP(host) === 6 ? "udp6" : "udp4");
  let broken: string | undefined;
  socket.on("error", (error) => (broken = error.message));
  socket.unref();
  const own = hostname();
  const sendOne = (line: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const message = Buffer.from(syslogMessage(line, own), "latin1");
      socket.send(message.subarray(0, DATAGRAM_BYTES_MAX), port, host, (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  return {
    get broken() {
      return broken;
    },
    send: async (lines) => {
      for (const line of lines) await sendOne(line);
    },
    close: async () => {
      socket.close();
      return true;
    },
  };
}

const CONNECT_MS_MAX = 10_000;
const CLOSE_MS_MAX = 1000;

async function openStream(target: Extract<SinkTarget, { kind: "stream" }>): Promise<Destination> {
  const socket = await connected(target);
  let broken: string | undefined;
  let isEnding = false;
  const breakWith = (reason: string): void => {
    broken ??= reason;
    socket.destroy();
  };
  socket.on("error", (error) => breakWith(error.message));
  socket.on("close", () => breakWith("the connection was closed"));
  // Nobody speaks here but us: a receiver that ends has gone.
  socket.on("end", () => {
    if (!isEnding) breakWith("the receiver ended the connection");
  });
  socket.resume().setKeepAlive(true, 30_000).unref();
  const own = hostname();
  const textOf = (lines: readonly string[]): string =>
    target.form === "jsonl"
      ? `${lines.join("\n")}\n`
      : lines.map((line) => counted(syslogMessage(line, own))).join("");
  return {
    get broken() {
      return broken;
    },
    send: (lines) =>
      new Promise((resolve, reject) => {
        const fail = (): void => reject(new Error(broken ?? "the connection was closed"));
        if (broken !== undefined) return fail();
        socket.once("close", fail);
        // Called once the kernel has all of it, so that one slice at most waits in memory.
        socket.write(textOf(lines), "latin1", (error) => {
          socket.off("close", fail);
          if (error === undefined || error === null) resolve();
          else fail();
        });
      }),
    close: async () => {
      if (broken !== undefined) return false;
      isEnding = true;
      const isClean = await endCleanly(socket);
      socket.destroy();
      return isClean && broken === undefined;
    },
  };
}

async function connected({
  host,
  port,
  tls,
}: Extract<SinkTarget, { kind: "stream" }>): Promise<Socket> {
  const read = (path: string | undefined): Buffer | undefined =>
    path === undefined ? undefined : readFileSync(path);
  const signal = AbortSignal.timeout(CONNECT_MS_MAX);
  if (tls === undefined) {
    const socket = connectTcp({ host, port });
    return await awaited(socket, "connect", signal);
  }
  const [ca, cert, key] = [read(tls.caFile), read(tls.certFile), read(tls.keyFile)];
  const servername = isIP(host) === 0 ? host : "";
  const options = { host, port, servername, minVersion: "TLSv1.2" } as const;
  const pair = cert === undefined || key === undefined ? {} : { cert, key };
  const socket = connectTls({ ...options, ...pair, ...(ca === undefined ? {} : { ca }) });
  return await awaited(socket, "secureConnect", signal);
}

async function awaited(socket: Socket, event: string, signal: AbortSignal): Promise<Socket> {
  try {
    await once(socket, event, { signal });
    return socket;
  } catch (error) {
    socket.on("error", () => undefined);
    socket.destroy();
    if (signal.aborted) throw new Error("it does not answer", { cause: error });
    throw error;
  }
}

/** Whether the other side has read to the end and closed as well. */
function endCleanly(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    // The process must not end meanwhile.
    socket.ref();
    const timer = setTimeout(() => resolve(false), CLOSE_MS_MAX);
    const finish = (isClean: boolean) => (): void => {
      clearTimeout(timer);
      resolve(isClean);
    };
    socket.once("end", finish(true)).once("close", finish(false));
    socket.end();
  });
}
