import { createHash } from "node:crypto";

/** The cluster id as in NATS subjects: 16 hex digits. */
export function clusterIdText(clusterToken: string): string {
  const hash = createHash("sha256");
  for (const part of ["cluster", clusterToken]) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return (hash.digest().readBigUInt64BE(0) || 1n).toString(16).padStart(16, "0");
}
