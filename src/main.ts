#!/usr/bin/env node
import { join } from "node:path";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type AuditVerdict, type Services, processIo, runCli } from "./cli/mod.ts";
import { CofferError, exitCode } from "./errors.ts";

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
  verifyAudit: verifyFolders,
  pki: {
    init: async (order) => (await import("./dev/mod.ts")).initCluster(order),
    inspect: async (pem) => (await import("./pki/mod.ts")).inspectCertificates(pem),
  },
};

/** As package.json has it, which lies beside `dist`. */
function readVersion(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { readonly version: string }).version;
}

/** Verifies the chain of every member whose data lies in the folder or right below it. */
async function verifyFolders(dataDir: string): Promise<AuditVerdict> {
  const members = existsSync(dataDir) ? readdirSync(dataDir) : [];
  const folders = [dataDir, ...members.map((name) => join(dataDir, name))]
    .map((folder) => join(folder, "audit"))
    .filter((folder) => existsSync(folder));
  if (folders.length === 0) {
    throw new CofferError("not-found", `no audit folder in ${dataDir} or right below it`);
  }
  const { verifyAudit } = await import("./audit/mod.ts");
  let ok = true;
  let records = 0;
  const notes: string[] = [];
  for (const folder of folders) {
    const verdict = await verifyAudit(folder);
    records += verdict.records;
    const { firstBad, head } = verdict;
    if (firstBad !== undefined) {
      ok = false;
      const place = firstBad.file === "" ? folder : join(folder, firstBad.file);
      notes.unshift(`${place}:${firstBad.line}: ${firstBad.reason}`);
    } else if (head !== undefined) {
      notes.push(`${folder}: ${verdict.records} records, the last is ${head.seq} ${head.hash}`);
    }
  }
  return { ok, records, notes };
}

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
process.exitCode = await runCli(process.argv.slice(2), processIo(stop.signal), { services });
