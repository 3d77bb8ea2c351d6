import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ClusterId, type MemberId, clusterId, memberId } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { makeFolders } from "../files/mod.ts";

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

/** The id of the cluster with this token: a joiner has nothing else to know it by. */
export function clusterIdOf(clusterToken: string): ClusterId {
  return clusterId(drawId(["cluster", clusterToken]));
}

/** The id as subjects of NATS and keys of the transport have it. */
export function clusterIdText(id: ClusterId): string {
  return id.toString(16).padStart(16, "0");
}

/**
 * The id of one of the first members, drawn from what all of them are told alike, so that they agree
 * without asking. Members that are added later get theirs from whoever adds them.
 */
export function firstMemberId(clusterToken: string, name: string): MemberId {
  return memberId(drawId(["member", clusterToken, name]));
}

/** The folder's member file; `undefined` for a folder that has none. Refuses another member's. */
export function findMemberFile(
  folder: string,
  wanted: { readonly name: string; readonly clusterId: ClusterId },
): MemberFile | undefined {
  const path = join(folder, FILE_NAME);
  if (!existsSync(path)) return undefined;
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
      `${folder} belongs to another cluster; give the --cluster-token it was made with, or name ` +
        "another --data-dir",
    );
  }
  return found;
}

/** Makes the folder the member's. Throws `invalid-argument` where there can be none. */
export function makeMemberFile(folder: string, file: MemberFile): MemberFile {
  makeFolders(folder);
  writeMemberFile(join(folder, FILE_NAME), file);
  return file;
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
