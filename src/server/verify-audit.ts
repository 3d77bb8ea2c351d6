import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  type AuditVerdict,
  GENESIS,
  type SignedCheckpoint,
  type VerifiedChain,
  checkpointKeyId,
  checkpointsIn,
  decodeCheckpoint,
  isSignedByItsKey,
  verifyExport,
  verifyFolder,
} from "../audit/mod.ts";
import { CofferError } from "../errors.ts";
import { readRecords } from "../storage/mod.ts";

export interface VerifyOrder {
  /** A member's data folder, or one that holds several. Either this or `file`. */
  readonly dataDir: string | undefined;
  /** An exported trail. */
  readonly file: string | undefined;
  /** What `coffer audit checkpoints -w json` printed, or an export with its checkpoints. */
  readonly checkpoints: string | undefined;
  /** The only key whose checkpoints count. */
  readonly keyId: string | undefined;
}

/** A chain, and the file or folder that holds it. */
export type VerifiedTrail = VerifiedChain & { readonly place: string };

/** Where the checkpoints of a trail came from. */
export interface CheckpointSource {
  readonly place: string;
  /** In words. */
  readonly source: string;
  /** The ids of the keys that signed them. */
  readonly keys: readonly string[];
  /** Who can write the trail cannot have made them: they were kept elsewhere, or their key is known. */
  readonly isTrusted: boolean;
}

export interface VerifyResult {
  readonly ok: boolean;
  /** Good ones, up to the first bad line. */
  readonly records: number;
  /** One line each, which names the first bad line of a trail; none when ok. */
  readonly broken: readonly string[];
  /** Of the trails that are not broken. */
  readonly chains: readonly VerifiedTrail[];
  readonly sources: readonly CheckpointSource[];
}

/** Verifies audit trails offline: of every member whose data lies in the folder or right below it. */
export async function verifyTrails(order: VerifyOrder): Promise<VerifyResult> {
  const given = order.checkpoints === undefined ? undefined : readCheckpoints(order.checkpoints);
  const { keyId } = order;
  if (order.file !== undefined) {
    const { file } = order;
    requireFile(file);
    const checkpoints = given ?? (await checkpointsIn(file));
    const source = given === undefined ? "the export itself" : GIVEN;
    return judge(file, { checkpoints, source, keyId }, (trusted) =>
      verifyExport(file, { checkpoints: trusted }),
    );
  }
  const results: VerifyResult[] = [];
  for (const member of membersIn(order.dataDir ?? "")) {
    const folder = join(member, "audit");
    if (!existsSync(folder)) {
      results.push(broken(`${member}: there is no audit folder beside the member's data`));
      continue;
    }
    const beside = join(member, "state.db");
    const checkpoints = given ?? storedCheckpoints(beside);
    const source = given === undefined ? `${beside}, beside it` : GIVEN;
    const result = await judge(folder, { checkpoints, source, keyId }, (trusted) =>
      verifyFolder(folder, { checkpoints: trusted }),
    );
    results.push(result);
  }
  return {
    ok: results.every(({ ok }) => ok),
    records: results.reduce((sum, { records }) => sum + records, 0),
    broken: results.flatMap(({ broken }) => broken),
    chains: results.flatMap(({ chains }) => chains),
    sources: results.flatMap(({ sources }) => sources),
  };
}

function requireFile(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new CofferError("not-found", `there is no file ${path}`);
  if (!found.isDirectory()) return;
  const help = `${path} is a folder; the data folder of a member goes with --data-dir`;
  throw new CofferError("invalid-argument", help);
}

const GIVEN = "the file given";

function membersIn(dataDir: string): readonly string[] {
  const below = existsSync(dataDir) ? readdirSync(dataDir) : [];
  const folders = [dataDir, ...below.map((name) => join(dataDir, name))];
  // A member whose log was taken away whole is one, too.
  const members = folders.filter((folder) =>
    ["audit", "raft.db"].some((name) => existsSync(join(folder, name))),
  );
  if (members.length > 0) return members;
  throw new CofferError("not-found", `no audit folder in ${dataDir} or right below it`);
}

function storedCheckpoints(path: string): readonly SignedCheckpoint[] {
  if (!existsSync(path)) return [];
  return readRecords(path, "checkpoint").flatMap(({ data }) => {
    const checkpoint = decodeCheckpoint(Buffer.from(data).toString("latin1"));
    return checkpoint === undefined ? [] : [checkpoint];
  });
}

/** Throws `invalid-argument` for text that holds no checkpoint. */
function readCheckpoints(text: string): readonly SignedCheckpoint[] {
  const values: unknown[] = text.split("\n");
  try {
    const parsed = JSON.parse(text) as { readonly checkpoints?: unknown };
    if (Array.isArray(parsed.checkpoints)) values.push(...(parsed.checkpoints as unknown[]));
  } catch {
    // A checkpoint in each line, then.
  }
  const found = values.flatMap((value) => decodeCheckpoint(value) ?? []);
  if (found.length > 0) return found;
  throw new CofferError(
    "invalid-argument",
    "the file of --checkpoints holds none; it is what coffer audit checkpoints -w json prints",
  );
}

interface Evidence {
  readonly checkpoints: readonly SignedCheckpoint[];
  readonly source: string;
  readonly keyId: string | undefined;
}

async function judge(
  place: string,
  { checkpoints, source, keyId }: Evidence,
  verify: (checkpoints: readonly SignedCheckpoint[]) => Promise<AuditVerdict>,
): Promise<VerifyResult> {
  const bad = checkpoints.find((one) => !isSignedByItsKey(one));
  if (bad !== undefined) {
    return broken(
      `${place}: the checkpoint of record ${bad.seq} was altered: its signature is wrong`,
    );
  }
  const keys = [...new Set(checkpoints.map(({ publicKey }) => checkpointKeyId(publicKey)))];
  const strange = keyId === undefined ? undefined : keys.find((key) => key !== keyId);
  if (strange !== undefined) return broken(`${place}: a checkpoint is signed by key ${strange}`);
  const { ok, records, chains, firstBad } = await verify(checkpoints);
  if (firstBad !== undefined) {
    const { file, line, reason } = firstBad;
    return broken(`${file === "" ? place : file}:${line}: ${reason}`, records);
  }
  const isTrusted = source === GIVEN || keyId !== undefined;
  const trails = chains.length === 0 ? [EMPTY] : chains;
  return {
    ok,
    records,
    broken: [],
    chains: trails.map((chain) => ({ place, ...chain })),
    sources: keys.length === 0 ? [] : [{ place, source, keys, isTrusted }],
  };
}

const broken = (line: string, records = 0): VerifyResult => ({
  ok: false,
  records,
  broken: [line],
  chains: [],
  sources: [],
});

/** A folder or file without any record. */
const EMPTY: VerifiedChain = {
  member: "",
  tenant: undefined,
  records: 0,
  first: 0,
  head: GENESIS,
  proven: 0,
  provenTime: undefined,
  unsigned: 0,
  unsignedSince: undefined,
};
