import { writeSync } from "node:fs";
import { memberId } from "../../src/core/types/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { openRaftLog } from "../../src/storage/raft-log.ts";
import { entriesFrom } from "./raft-log-stand.ts";
import { TEST_MAC } from "./test-mac.ts";

/**
 * A process of its own that appends to a Raft log at full speed until it is killed, and writes the
 * last index to its standard output after each save that returned. Run without a path it does nothing:
 * the test runner runs every file of this folder.
 */
const [, , path, savesText] = process.argv;
if (path !== undefined) append(path, Number(savesText ?? Infinity));

function append(file: string, saves: number): void {
  const log = openRaftLog({ mac: TEST_MAC, path: file, log: silentLogger });
  writeSync(1, `${log.lastIndex}\n`);
  for (let save = 0; save < saves; save++) {
    const next = log.lastIndex + 1;
    const entries = entriesFrom(next, next + 1 + (save % 3));
    log.save({ hardState: { term: 1, vote: memberId(7n), commit: next - 1 }, entries });
    if (next % 200 === 0) log.compact(next - 100);
    writeSync(1, `${log.lastIndex}\n`);
  }
  // Stay, holding the lock and an open write-ahead log, until killed.
  setInterval(() => undefined, 60_000);
}
