import { openFiles, transfer } from "./snapshot-stand.ts";

/**
 * A process of its own that receives the state of one data folder into another, begins to install it,
 * and is killed before the step that it is told. Run without arguments it does nothing: the test runner
 * runs every file of this folder.
 */
const [, , from, to, step] = process.argv;
if (from !== undefined && to !== undefined) await crash(from, to);

async function crash(leaderDir: string, followerDir: string): Promise<void> {
  const leader = openFiles({ dataDir: leaderDir });
  const follower = openFiles({
    dataDir: followerDir,
    beforeStep: (at) => {
      if (at === step) process.kill(process.pid, "SIGKILL");
    },
  });
  // Left in its write-ahead log, where the old state must not come back from.
  follower.fill(50);
  const { meta } = await transfer(leader, follower);
  follower.snapshots.install(meta);
  process.kill(process.pid, "SIGKILL");
}
