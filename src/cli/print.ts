import type {
  DeleteRangeResult,
  KeyValue,
  PutResult,
  RangeResult,
  TxnResult,
} from "../core/types/mod.ts";
import { assertNever } from "../stdx/mod.ts";
import { bytesOfKey } from "./keys.ts";

/** etcdctl's simple output as pieces of bytes: keys and values are never decoded. */
export type Piece = string | Uint8Array;

export function kvPieces(kvs: readonly KeyValue[], valueOnly = false): readonly Piece[] {
  return kvs.flatMap((kv) =>
    valueOnly ? [kv.value, "\n"] : [bytesOfKey(kv.key), "\n", kv.value, "\n"],
  );
}

export function rangePieces(result: RangeResult): readonly Piece[] {
  return kvPieces(result.kvs);
}

export function putPieces(result: PutResult): readonly Piece[] {
  return ["OK\n", ...kvPieces(result.prevKv === undefined ? [] : [result.prevKv])];
}

export function deletePieces(result: DeleteRangeResult): readonly Piece[] {
  return [`${result.deleted}\n`, ...kvPieces(result.prevKvs)];
}

export function txnPieces(result: TxnResult): readonly Piece[] {
  const pieces: Piece[] = [result.succeeded ? "SUCCESS\n" : "FAILURE\n"];
  for (const op of result.responses) {
    pieces.push("\n");
    switch (op.kind) {
      case "range":
        pieces.push(...rangePieces(op.response));
        break;
      case "put":
        pieces.push(...putPieces(op.response));
        break;
      case "delete-range":
        pieces.push(...deletePieces(op.response));
        break;
      case "txn":
        pieces.push(...txnPieces(op.response));
        break;
      default:
        assertNever(op);
    }
  }
  return pieces;
}

/** The pieces as one array, so that one write carries an answer whole. */
export function joinPieces(pieces: readonly Piece[]): Uint8Array {
  return Buffer.concat(
    pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece, "utf8") : piece)),
  );
}

/** Rows as aligned columns under a heading. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heading, ...rows];
  const widths = heading.map((_, at) => Math.max(...all.map((row) => (row[at] ?? "").length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd();
  return `${all.map(line).join("\n")}\n`;
}

/** Text that others chose, made safe for a terminal. */
export function safe(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** `2026-11-22T17:00:00Z` */
export function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, "Z");
}

/** `1.5 MiB` */
export function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 2 ** (10 * power)).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
