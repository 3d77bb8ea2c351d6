import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import {
  type Audit,
  type AuditEvent,
  type AuditOptions,
  type CheckpointSigner,
  type SignedCheckpoint,
  openAudit,
  readLine,
  signCheckpoint,
  signerOf,
} from "../../src/audit/mod.ts";

/** 2026-11-22T12:00:00Z. */
export const NOW_MS = 1_795_348_800_000;

export function eventOf(changes: Partial<AuditEvent & AuditEvent["actor"]> = {}): AuditEvent {
  const {
    issuer = "https://issuer.example",
    subject = "user:alice",
    groups = ["dev"],
    tokenId = "t1",
    ...others
  } = changes;
  return {
    tenant: "5f0c8a52-0000-4000-8000-000000000001",
    revision: 7,
    policyRevision: 3,
    requestId: "r-1",
    actor: { issuer, subject, groups, tokenId },
    certThumbprint: "",
    peerAddress: "127.0.0.1:40000",
    action: "put",
    key: "/db/url",
    rangeEnd: "",
    outcome: "ok",
    reason: "",
    ...others,
  };
}

export interface Folder {
  readonly path: string;
  readonly notices: string[];
  readonly clock: { ms: number; now: () => number };
  open(options?: Partial<AuditOptions>): Promise<Audit>;
  names(): Promise<readonly string[]>;
  /** All lines of all files, in chain order. */
  lines(): Promise<readonly string[]>;
  text(name?: string): Promise<string>;
  /** Rewrites the only file, or the one named. */
  write(text: string, name?: string): Promise<void>;
}

export async function folderOf(context: TestContext): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), "coffer-audit-"));
  const opened: Audit[] = [];
  context.after(async () => {
    for (const audit of opened) await audit.close();
    await rm(path, { recursive: true, force: true });
  });
  const notices: string[] = [];
  const note = (message: string): void => void notices.push(message);
  const clock = { ms: NOW_MS, now: () => clock.ms };
  const names = async (): Promise<readonly string[]> =>
    (await readdir(path)).filter((name) => name.endsWith(".jsonl")).sort();
  const text = async (name?: string): Promise<string> =>
    readFile(join(path, name ?? (await names())[0] ?? ""), "latin1");
  return {
    path,
    notices,
    clock,
    names,
    text,
    open: async (options = {}) => {
      const log = { info: note, warn: note, error: note };
      const audit = await openAudit({ folder: path, memberId: "m1", clock, log, ...options });
      opened.push(audit);
      return audit;
    },
    lines: async () => {
      const all = await Promise.all((await names()).map(text));
      return all.flatMap((content) => content.split("\n").slice(0, -1));
    },
    write: async (content, name) =>
      writeFile(join(path, name ?? (await names())[0] ?? ""), content, "latin1"),
  };
}

/** Appends `count` records, each in a turn of its own when `turns` is set. */
export async function fill(
  audit: Audit,
  count: number,
  changes?: Parameters<typeof eventOf>[0],
): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, i) =>
      audit.append(eventOf({ requestId: `r-${i}`, ...changes })),
    ),
  );
}

/** What signs the checkpoints of these tests. */
export const signer: CheckpointSigner = signerOf(generateKeyPairSync("ed25519").privateKey);

/** A checkpoint of a member's line, or of a tenant's view of one. */
export function checkpointOf(line: string): SignedCheckpoint {
  const reading = readLine(line);
  assert.ok(reading.ok);
  const { memberId, member, tenant, ofTenant } = reading;
  const { seq, hash } = member ?? ofTenant;
  const whose = { cluster: "c1", member: memberId, tenant: member === undefined ? tenant : "" };
  return signCheckpoint({ kind: "head", ...whose, seq, hash, time: NOW_MS }, signer);
}

/**
 * A line with another content and hashes that fit it: what an attacker who knows the format makes.
 */
export function rehash(line: string, from: string, to: string): string {
  const at = line.indexOf(',"recordHash":"');
  const body = line.slice(0, at).replace(from, to);
  const [, place = ""] =
    /,"recordHash":"[0-9a-f]{64}"(.*),"hash":"[0-9a-f]{64}"\}$/.exec(line) ?? [];
  const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
  const chained = `,"recordHash":"${sha256(body)}"${place}`;
  return `${body}${chained},"hash":"${sha256(chained)}"}`;
}
