import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import {
  type AuditVerdict,
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

export interface VerifyResult {
  readonly ok: boolean;
  readonly records: number;
  /** One line each; the first names the first bad line when not ok. */
  readonly notes: readonly string[];
}

/** Verifies audit trails offline: of every member whose data lies in the folder or right below it. */
export async function verifyTrails(order: VerifyOrder): Promise<VerifyResult> {
  const given = order.checkpoints === undefined ? undefined : readCheckpoints(order.checkpoints);
  const { keyId } = order;
  if (order.file !== undefined) {
    const checkpoints = given ?? (await checkpointsIn(order.file));
    const source = given === undefined ? "the export itself" : "the file given";
    return judge(order.file, { checkpoints, source, keyId }, (trusted) =>
      verifyExport(order.file ?? "", { checkpoints: trusted }),
    );
  }
  const { dataDir = "" } = order;
  let ok = true;
  let records = 0;
  const notes: string[] = [];
  for (const member of membersIn(dataDir)) {
    const found = given ?? storedCheckpoints(join(member, "state.db"));
    const source =
      given === undefined ? `${join(member, "state.db")}, beside it` : "the file given";
    const folder = join(member, "audit");
    const verdict = await judge(folder, { checkpoints: found, source, keyId }, (checkpoints) =>
      verifyFolder(folder, { checkpoints }),
    );
    records += verdict.records;
    if (verdict.ok) notes.push(...verdict.notes);
    else notes.unshift(...verdict.notes);
    ok &&= verdict.ok;
  }
  return { ok, records, notes };
}

function membersIn(dataDir: string): readonly string[] {
  const below = existsSync(dataDir) ? readdirSync(dataDir) : [];
  const members = [dataDir, ...below.map((name) => join(dataDir, name))].filter((folder) =>
    existsSync(join(folder, "audit")),
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
    const note = `${place}: the checkpoint of record ${bad.seq} was altered: its signature is wrong`;
    return { ok: false, records: 0, notes: [note] };
  }
  const keys = [...new Set(checkpoints.map(({ publicKey }) => checkpointKeyId(publicKey)))];
  const strange = keyId === undefined ? undefined : keys.find((key) => key !== keyId);
  if (strange !== undefined) {
    return { ok: false, records: 0, notes: [`${place}: a checkpoint is signed by key ${strange}`] };
  }
  const { ok, records, chains, firstBad } = await verify(checkpoints);
  if (firstBad !== undefined) {
    const { file, line, reason } = firstBad;
    return { ok, records, notes: [`${file === "" ? place : file}:${line}: ${reason}`] };
  }
  const notes = chains.flatMap((chain) => notesOf(place, chain));
  if (keys.length > 0)
    notes.push(`${place}: checkpoints of ${source}, signed by ${keys.join(", ")}`);
  return { ok, records, notes };
}

function notesOf(place: string, chain: VerifiedChain): readonly string[] {
  const { member, tenant, records, first, head, proven } = chain;
  const whose = tenant === undefined ? `member ${member}` : `member ${member}, tenant ${tenant}`;
  const notes = [`${place}: ${whose}: ${records} records, the last is ${head.seq} ${head.hash}`];
  if (first > 1) notes.push(`${place}: ${whose}: begins at record ${first}, after a checkpoint`);
  if (proven < head.seq) {
    const from = proven === 0 ? "no checkpoint is known" : `the last checkpoint is of ${proven}`;
    notes.push(
      `${place}: ${whose}: the end is not proven, ${from}: records after it could be missing`,
    );
  }
  return notes;
}
