#!/usr/bin/env node
import { join } from "node:path";
import { existsSync, readdirSync } from "node:fs";
import { verifyAudit } from "./audit/mod.ts";
import { type AuditVerdict, type Services, processIo, runCli } from "./cli/mod.ts";
import { startDev } from "./dev/mod.ts";
import { CofferError, exitCode } from "./errors.ts";
import { aborted, COFFER_VERSION, fatal, runServer } from "./server/mod.ts";
import { createLogger } from "./telemetry/mod.ts";

/** The composition root: the commands, and what only the whole can do for them. */

const services: Services = {
  version: COFFER_VERSION,
  server: async (config, io) => {
    await runServer(config, io.signal);
    return exitCode.ok;
  },
  dev: async (config, io) => {
    const log = createLogger({ level: "warn" });
    const cluster = await startDev(config, {
      log,
      print: (line) => io.stdout.write(`${line}\n`),
      onFatal: fatal(log),
    });
    await aborted(io.signal);
    await cluster.stop();
    return exitCode.ok;
  },
  verifyAudit: verifyFolders,
};

/** Verifies the chain of every member whose data lies in the folder or right below it. */
async function verifyFolders(dataDir: string): Promise<AuditVerdict> {
  const members = existsSync(dataDir) ? readdirSync(dataDir) : [];
  const folders = [dataDir, ...members.map((name) => join(dataDir, name))]
    .map((folder) => join(folder, "audit"))
    .filter((folder) => existsSync(folder));
  if (folders.length === 0) {
    throw new CofferError("not-found", `no audit folder in ${dataDir} or right below it`);
  }
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
