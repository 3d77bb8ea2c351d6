#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Services, processIo, runCli } from "./cli/mod.ts";
import { exitCode } from "./errors.ts";

/** The composition root: the commands, and what only the whole can do for them. */

// The server's rooms are loaded when they are needed: a client command should start at once.
const services: Services = {
  version: readVersion(),
  server: async (config, io) => {
    const { runServer } = await import("./server/mod.ts");
    await runServer(config, services.version, io.signal);
    return exitCode.ok;
  },
  dev: async (config, io) => {
    const { startDev } = await import("./dev/mod.ts");
    const { aborted, fatal } = await import("./server/mod.ts");
    const { createLogger } = await import("./telemetry/mod.ts");
    const log = createLogger({ level: "warn" });
    const cluster = await startDev(config, {
      version: services.version,
      log,
      print: (line) => io.stdout.write(`${line}\n`),
      onFatal: fatal(log),
      signal: io.signal,
      command: [process.execPath, fileURLToPath(import.meta.url)],
      env: process.env,
    });
    await aborted(io.signal);
    await cluster.stop();
    return exitCode.ok;
  },
  verifyAudit: async (order) => (await import("./server/mod.ts")).verifyTrails(order),
  pki: {
    init: async (order) => (await import("./dev/mod.ts")).initCluster(order),
    inspect: async (pem) => (await import("./pki/mod.ts")).inspectCertificates(pem),
    sign: async (order) => (await import("./pki/mod.ts")).signRequest(order),
  },
};

/** As package.json has it, which lies beside `dist`. */
function readVersion(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { readonly version: string }).version;
}

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
process.exitCode = await runCli(process.argv.slice(2), processIo(stop.signal), { services });
