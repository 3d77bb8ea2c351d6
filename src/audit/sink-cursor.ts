import { hash } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { GENESIS } from "./record.ts";
import type { LogPosition } from "./log-reader.ts";

/** Up to where a sink has got the records. */
export interface SinkCursor {
  /** undefined: nothing yet. */
  readonly position: LogPosition | undefined;
  /** The last record that it has got. */
  readonly seq: number;
}

const NOTHING: SinkCursor = { position: undefined, seq: GENESIS.seq };

function pathOf(folder: string, sink: string): string {
  return join(folder, `sink-${hash("sha256", sink, "hex").slice(0, 16)}`);
}

/** A cursor that is missing or damaged begins anew: records come twice rather than not at all. */
export async function readCursor(folder: string, sink: string): Promise<SinkCursor> {
  let text: string;
  try {
    text = await readFile(pathOf(folder, sink), "utf8");
  } catch {
    return NOTHING;
  }
  const [, file, offset, seq] = /^([^ ]+) (\d{1,16}) (\d{1,16})\n/.exec(text) ?? [];
  if (file === undefined) return NOTHING;
  return { position: { file, offset: Number(offset) }, seq: Number(seq) };
}

export async function writeCursor(
  folder: string,
  sink: string,
  { position, seq }: SinkCursor,
): Promise<void> {
  if (position === undefined) return;
  const path = pathOf(folder, sink);
  const file = await open(`${path}.next`, "w", 0o600);
  try {
    await file.writeFile(`${position.file} ${position.offset} ${seq}\n${sink}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.next`, path);
}
