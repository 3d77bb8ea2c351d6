import {
  type AuditFile,
  type Checkpoint,
  type SignedCheckpoint,
  decodeCheckpoint,
  encodeCheckpoint,
} from "../audit/mod.ts";
import type { RecordChange, StateReader, TenantId } from "../core/types/mod.ts";

/**
 * The checkpoints of one member in the state: in the cluster's scope those of its whole chain, in a
 * tenant's those of the tenant's records on it. The number of each is bounded.
 */

/** The newest that are kept of a chain, beside those that more hangs on. */
const KEPT_OF_MEMBER = 16;
const KEPT_OF_TENANT = 8;
/** Removed with one that is made. */
const REMOVED_MAX = 64;

export function checkpointsOf(
  state: StateReader,
  scope: TenantId,
  member: string,
): readonly SignedCheckpoint[] {
  return state
    .records(scope, "checkpoint")
    .filter(({ id }) => id.startsWith(`${member}/`))
    .flatMap(({ data }) => decodeCheckpoint(Buffer.from(data).toString("latin1")) ?? []);
}

/** The one with the highest record; a beginning is as good as any. */
export function newestCheckpoint(
  checkpoints: readonly SignedCheckpoint[],
): SignedCheckpoint | undefined {
  return checkpoints.reduce<SignedCheckpoint | undefined>(
    (newest, one) => (newest === undefined || one.seq > newest.seq ? one : newest),
    undefined,
  );
}

/**
 * Adds `made` to `known`, and takes away those that are old. Never the beginning, the newest of each of
 * `files`, or the newest before all of them, which a log that lost its folder goes on from.
 */
export function planCheckpoint(
  made: SignedCheckpoint,
  known: readonly SignedCheckpoint[],
  files: readonly AuditFile[],
): readonly RecordChange[] {
  const change = (checkpoint: Checkpoint, data: Uint8Array | undefined): RecordChange => ({
    table: "checkpoint",
    id: idOf(checkpoint),
    data,
    expect: "any",
  });
  const add = change(made, Buffer.from(encodeCheckpoint(made), "latin1"));
  if (made.kind === "begin") return [add];
  const heads = [...known.filter(({ kind, seq }) => kind === "head" && seq !== made.seq), made];
  const newestFirst = heads.toSorted((a, b) => b.seq - a.seq);
  const kept = made.tenant === "" ? KEPT_OF_MEMBER : KEPT_OF_TENANT;
  const neededOf = new Set(newestFirst.slice(0, kept).map(({ seq }) => seq));
  const begins = [0, ...files.map(({ firstSeq }) => firstSeq)];
  for (const [i, begin] of begins.entries()) {
    const end = begins[i + 1] ?? Number.MAX_SAFE_INTEGER;
    const last = newestFirst.find(({ seq }) => seq >= begin && seq < end);
    if (made.tenant === "" && last !== undefined) neededOf.add(last.seq);
  }
  const old = newestFirst.filter(({ seq }) => !neededOf.has(seq)).slice(-REMOVED_MAX);
  return [add, ...old.map((one) => change(one, undefined))];
}

function idOf({ kind, member, seq }: Checkpoint): string {
  return kind === "begin" ? `${member}/begin` : `${member}/${String(seq).padStart(16, "0")}`;
}
