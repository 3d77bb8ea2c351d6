import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ClusterId, type MemberId, clusterId, memberId } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";

/**
 * Which member of which cluster a data folder belongs to. Written once; a folder of another member
 * or cluster is refused, since serving it would mix two histories.
 */
export interface MemberFile {
  readonly name: string;
  readonly memberId: MemberId;
  readonly clusterId: ClusterId;
}

const FILE_NAME = "member.json";
const FORM_VERSION = 1;

/** Ids drawn from what all members of a cluster are told alike, so that they agree without asking. */
export function deriveIds(options: {
  readonly name: string;
  readonly clusterToken: string;
  readonly initialCluster: readonly string[];
}): MemberFile {
  const { name, clusterToken } = options;
  const names = [...new Set([...options.initialCluster, name])].sort();
  return {
    name,
    memberId: memberId(drawId(["member", clusterToken, name])),
    clusterId: clusterId(drawId(["cluster", clusterToken, ...names])),
  };
}

/** Reads the folder's member file, or writes it for a new folder. */
export function openMemberFile(folder: string, wanted: MemberFile): MemberFile {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, FILE_NAME);
  if (!existsSync(path)) {
    writeMemberFile(path, wanted);
    return wanted;
  }
  const found = readMemberFile(path);
  if (found.name !== wanted.name) {
    throw new CofferError(
      "invalid-argument",
      `${folder} is the data of member '${found.name}', not of '${wanted.name}'; ` +
        "start it under that name or name another --data-dir",
    );
  }
  if (found.clusterId !== wanted.clusterId) {
    throw new CofferError(
      "invalid-argument",
      `${folder} belongs to another cluster; give the --cluster-token and --initial-cluster it was ` +
        "made with, or name another --data-dir",
    );
  }
  return found;
}

function writeMemberFile(path: string, file: MemberFile): void {
  const text = JSON.stringify({
    version: FORM_VERSION,
    name: file.name,
    memberId: file.memberId.toString(16),
    clusterId: file.clusterId.toString(16),
  });
  const draft = `${path}.new`;
  writeFileSync(draft, `${text}\n`, { mode: 0o600 });
  renameSync(draft, path);
}

function readMemberFile(path: string): MemberFile {
  const bad = (problem: string, cause?: unknown): CofferError =>
    new CofferError("invalid-argument", `${path} ${problem}`, { cause });
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw bad("cannot be read as JSON; restore it from a backup of the data folder", cause);
  }
  const fields = parsed as Partial<Record<string, unknown>>;
  const { version, name, memberId: member, clusterId: cluster } = fields;
  if (version !== FORM_VERSION) {
    throw bad(`has form ${String(version)}, this version of coffer reads form ${FORM_VERSION}`);
  }
  if (typeof name !== "string" || typeof member !== "string" || typeof cluster !== "string") {
    throw bad("lacks a field; restore it from a backup of the data folder");
  }
  return {
    name,
    memberId: memberId(BigInt(`0x${member}`)),
    clusterId: clusterId(BigInt(`0x${cluster}`)),
  };
}

/** 64 bits of SHA-256 over length-prefixed parts; never 0, which means none. */
function drawId(parts: readonly string[]): bigint {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return hash.digest().readBigUInt64BE(0) || 1n;
}
