import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  decodeCheckpoint,
  openAudit,
  readLine,
  recordedRequest,
  type SignedCheckpoint,
  verifyExport,
  viewOf,
} from "../../../src/audit/mod.ts";
import { loadConfig } from "../../../src/config/mod.ts";
import { createRootKeyFile } from "../../../src/seal/mod.ts";
import { keyFileProvider } from "../../../src/seal/key-file.ts";
import { silentLogger } from "../../../src/telemetry/mod.ts";
import type { Prng } from "../../../src/stdx/mod.ts";
import { checkpointOf, eventOf, fill, NOW_MS, rehash } from "../../audit/fixtures.ts";
import { deep, mutated, mutatedText, pick, sameBytes } from "../mutate.ts";
import { Finding, type Target, unlessRefused, unlessRefusedLater } from "../target.ts";

const CONFIG = `name: m1
data-dir: /var/lib/coffer
listen-client-urls: [https://127.0.0.1:2379]
tls-cert: server.crt
tls-key: server.key
client-ca: ca.crt
client-cert-auth: true
root-key-file: root.key
heartbeat-ms: 100
quota-bytes: 2GiB
log-level: info
`;
const WORDS: readonly string[] = [
  ": ",
  "- ",
  "&a ",
  "*a",
  "<<: *a",
  "!!js/function ",
  "? ",
  "|\n",
  "---\n",
  "...\n",
  "\t",
  "{",
  "}",
  "[",
  "]",
  '"',
  "name: m2\n",
  "__proto__: {}\n",
  "0777",
  "no",
  "\0",
  "\u2028",
  "unknown: 1\n",
];

/**
 * What lies on disks: the root key file, the configuration, and audit files, changed by whoever can
 * write there. A changed key or trail is never taken for the good one.
 */
export async function filesTarget(): Promise<Target> {
  const folder = await mkdtemp(join(tmpdir(), "coffer-fuzz-"));
  const keyPath = join(folder, "root.key");
  createRootKeyFile(keyPath);
  const provider = keyFileProvider({ path: keyPath });
  const context = Buffer.from("fuzz");
  const keyFile = readFileSync(keyPath);
  const { key: derived } = await provider.derive(context);
  const trail = await makeTrail(join(folder, "audit"));
  const trailPath = join(folder, "trail.jsonl");

  const rootKey = async (random: Prng): Promise<void> => {
    const bytes = mutated(keyFile, random);
    writeFileSync(keyPath, bytes);
    const got = await unlessRefusedLater(bytes, () => provider.derive(context));
    if (got === undefined) return;
    // The newline at its end may be missing.
    const isGood = sameBytes(
      Buffer.concat([bytes, Buffer.from("\n")]).subarray(0, keyFile.length),
      keyFile,
    );
    if (!isGood || !sameBytes(got.key, derived))
      throw new Finding("a changed key was taken", bytes);
  };

  const audit = async (random: Prng): Promise<void> => {
    const { bytes, checkpoints } = pick(trail, random);
    const changed = pick([reordered, rewritten, mutated], random)(bytes, random);
    await writeFile(trailPath, changed);
    for (const line of Buffer.from(changed).toString("latin1").split("\n")) {
      unlessRefused(line, () => [recordedRequest(line), decodeCheckpoint(line), readLine(line)]);
    }
    const { ok } = await verifyExport(trailPath, { checkpoints });
    if (ok !== sameBytes(changed, bytes)) {
      throw new Finding(
        ok ? "a changed trail was found good" : "a good trail was refused",
        changed,
      );
    }
  };

  return {
    name: "files",
    attempt: (random) => pick([rootKey, configuration, audit], random)(random),
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

function configuration(random: Prng): void {
  const text =
    random.below(64) === 0
      ? pick(["name: ", ""], random) + deep(pick([15, 100, 20_000], random))
      : mutatedText(CONFIG, random, WORDS);
  const config = unlessRefused(text, () => loadConfig(["--config", "x.yaml"], {}, () => text));
  if (config === undefined) return;
  if (typeof config.name !== "string" || !Number.isSafeInteger(config.heartbeatMs)) {
    throw new Finding("an option of another type", text);
  }
}

interface Trail {
  readonly bytes: Buffer;
  readonly checkpoints: readonly SignedCheckpoint[];
}

/** All of a member, and the view of one of its tenants; both ends told by checkpoints. */
async function makeTrail(folder: string): Promise<readonly Trail[]> {
  const clock = { now: () => NOW_MS };
  const audit = await openAudit({ folder, memberId: "m1", clock, log: silentLogger });
  await fill(audit, 4);
  await audit.append(eventOf({ tenant: "", key: "/\u00e9\n", reason: "permission-denied" }));
  await fill(audit, 4);
  await audit.close();
  const text = await readFile(join(folder, "audit-0000000000000001.000.jsonl"), "latin1");
  const lines = text.split("\n").slice(0, -1);
  const views = lines.filter((line) => !line.includes('"tenant":""')).map(viewOf);
  return [lines, views].map((all) => ({
    bytes: Buffer.from(`${all.join("\n")}\n`, "latin1"),
    checkpoints: [checkpointOf(all.at(-1) ?? "")],
  }));
}

/** One line with another content and hashes that fit it, as who knows the format makes it. */
function rewritten(bytes: Uint8Array, random: Prng): Buffer {
  const lines = linesOf(bytes);
  const at = random.below(lines.length);
  lines[at] = rehash(lines[at] ?? "", "user:alice", "user:mallory");
  return Buffer.from(lines.map((line) => `${line}\n`).join(""), "latin1");
}

function linesOf(bytes: Uint8Array): string[] {
  return Buffer.from(bytes).toString("latin1").split("\n").slice(0, -1);
}

/** The lines in another order, some twice, some not at all. */
function reordered(bytes: Uint8Array, random: Prng): Buffer {
  const lines = linesOf(bytes);
  for (let left = 1 + random.below(3); left > 0; left--) {
    const [line = ""] = lines.splice(random.below(lines.length), 1);
    if (random.below(2) === 0) lines.splice(random.below(lines.length + 1), 0, line);
    if (random.below(4) === 0) lines.splice(random.below(lines.length + 1), 0, line);
  }
  return Buffer.from(lines.map((line) => `${line}\n`).join(""), "latin1");
}
