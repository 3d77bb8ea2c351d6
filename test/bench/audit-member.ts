import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Audit, GENESIS } from "../../src/audit/mod.ts";
import { createAuthority, issueCertificate } from "../../src/pki/mod.ts";
import { startMember } from "../../src/server/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { worldConfig } from "../edge/world.ts";
import type { LoadTarget } from "./load-connection.ts";

/** The process that `audit-cost.ts` measures: one member, with its audit log or, by `off`, without. */

const nothing = async (): Promise<void> => undefined;
const DONE = Promise.resolve();

/** No flag of the product leads here: a member without an audit log is only ever put together so. */
const unaudited: Audit = {
  append: () => DONE,
  blocked: undefined,
  folder: "",
  head: GENESIS,
  tenantHeads: () => [],
  forgetTenant: () => undefined,
  droppedBytes: 0,
  filesBegun: 0,
  files: async () => [],
  search: async () => ({ lines: [], next: undefined, isDone: true, end: undefined }),
  newest: () => ({ [Symbol.asyncIterator]: () => [][Symbol.iterator]() as never }),
  lineAt: async () => undefined,
  onWritten: () => () => undefined,
  resume: () => false,
  sync: nothing,
  saveHeads: nothing,
  close: nothing,
};

const folder = mkdtempSync(join(tmpdir(), "coffer-bench-audit-"));
const authority = createAuthority({ commonName: "bench" });
const member = await startMember(worldConfig(folder, authority), {
  version: "0.0.0",
  log: silentLogger,
  onFatal: (error) => {
    throw error;
  },
  ...(process.argv[2] === "off" ? { openAudit: async () => unaudited } : {}),
});
const { token } = await member.issueToken({
  subject: "user:admin",
  tenants: ["default"],
  ttlSeconds: 3600,
});
const admin = issueCertificate(authority, {
  commonName: "admin",
  organization: "tenant:default",
  usages: ["client"],
});
const target: LoadTarget = {
  host: "127.0.0.1",
  port: member.listening[0]?.port ?? 0,
  ca: authority.certificate,
  cert: admin.certificate,
  key: admin.privateKey,
  token,
};
process.stdout.write(`${JSON.stringify(target)}\n`);
process.once("SIGTERM", () => {
  void member.stop().then(() => rmSync(folder, { recursive: true, force: true }));
});
