import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createFileKeys, keyFileProvider } from "../../src/seal/mod.ts";
import type { FileMac } from "../../src/storage/mod.ts";

/** What a member's own files are authenticated with, for who has its root key. */
export async function macsOfMember(
  dataDir: string,
  rootKeyFile: string,
): Promise<{ readonly raftLog: FileMac; readonly state: FileMac }> {
  const member = JSON.parse(readFileSync(join(dataDir, "member.json"), "utf8")) as {
    readonly memberId: string;
    readonly clusterId: string;
  };
  const provider = keyFileProvider({ path: rootKeyFile });
  const cluster = member.clusterId.padStart(16, "0");
  const keys = await createFileKeys({ provider, cluster });
  try {
    return { raftLog: keys.mac("raft.db", member.memberId), state: keys.mac("state.db", "") };
  } finally {
    keys.close();
  }
}
