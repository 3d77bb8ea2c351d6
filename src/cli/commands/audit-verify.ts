import { duration, onOff, parseCommandLine, path, text } from "../../config/mod.ts";
import { exitCode, type ExitCode } from "../../errors.ts";
import {
  type AuditVerdict,
  type Command,
  type Context,
  type VerifiedTrail,
  formatOption,
} from "../command.ts";
import { textFile, withProgress, write } from "../io.ts";
import { type Json, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe } from "../print.ts";

const options = {
  dataDir: { name: "data-dir", parser: path("FOLDER"), help: "the member's data folder" },
  checkpoints: {
    name: "checkpoints",
    parser: path("FILE"),
    help: "what coffer audit checkpoints -w json printed; proves the end too",
  },
  keyId: {
    name: "key-id",
    parser: text("ID"),
    help: "the only key whose checkpoints count, as coffer audit checkpoints shows it",
  },
  requireCheckpoint: {
    name: "require-checkpoint",
    parser: onOff,
    help: "exit 3 unless checkpoints of a known key cover every record",
  },
  allowUnsigned: {
    name: "allow-unsigned",
    parser: duration(),
    help: "with --require-checkpoint: but for records younger than this, such as 10m",
  },
  format: formatOption,
} as const;

export const auditVerify: Command = {
  name: "audit verify",
  usage: "FILE | --data-dir FOLDER",
  summary: "prove that no audit record was edited, dropped or reordered; needs no server",
  examples: [
    [
      "coffer audit verify --data-dir .coffer",
      "up to where it is proven; names the first bad line, and exits 1",
    ],
    [
      "coffer audit verify --data-dir .coffer --checkpoints kept.json",
      "also that nothing was cut off, by checkpoints kept elsewhere",
    ],
    ["coffer audit verify trail.jsonl", "a trail that coffer audit export wrote"],
    [
      "coffer audit verify --data-dir .coffer --key-id ID --require-checkpoint --allow-unsigned 10m",
      "for scripts: exits 3 if older records than that have no checkpoint",
    ],
  ],
  options,
  isClient: false,
  run: async (argv: readonly string[], { io, services }: Context): Promise<ExitCode> => {
    const { values, positional } = parseCommandLine(options, argv);
    const [file] = positional;
    const { keyId, requireCheckpoint = false, allowUnsigned } = values;
    // A file needs no folder, and the environment may name one for other commands.
    const dataDir = values.dataDir ?? (file === undefined ? io.env["COFFER_DATA_DIR"] : undefined);
    if (positional.length > 1) throw mistake("audit verify takes one FILE");
    if ((dataDir === undefined) === (file === undefined)) {
      throw mistake("audit verify needs either FILE or --data-dir FOLDER");
    }
    if (allowUnsigned !== undefined && !requireCheckpoint) {
      throw mistake("--allow-unsigned goes with --require-checkpoint");
    }
    const checkpoints =
      values.checkpoints === undefined ? undefined : textFile(io, values.checkpoints);
    const order = { dataDir, file, checkpoints, keyId };
    const verdict = await withProgress(io, "reading the audit log", services.verifyAudit(order));
    const shown =
      values.format === "json" ? jsonText(jsonOf(verdict)) : linesOf(verdict).map(safe).join("\n");
    await write(io, `${shown}\n`);
    if (!verdict.ok) return exitCode.failed;
    const lack = requireCheckpoint ? lackOf(verdict, allowUnsigned) : undefined;
    if (lack === undefined) return exitCode.ok;
    io.stderr.write(`${lack}: --require-checkpoint\n`);
    return exitCode.notFound;
  },
};

type Extent = "all" | "part" | "none";

function extentOf({ proven, unsigned }: VerifiedTrail): Extent {
  if (proven === 0) return "none";
  return unsigned > 0 ? "part" : "all";
}

/** Of the trail of which least is proven. */
function leastOf({ chains }: AuditVerdict): Extent {
  const extents = new Set(chains.map(extentOf));
  if (extents.has("none") || extents.size === 0) return "none";
  return extents.has("part") ? "part" : "all";
}

/** Why it is no proof to somebody who trusts neither the log nor what lies beside it. */
function lackOf(verdict: AuditVerdict, allowedMs: number | undefined): string | undefined {
  if (!isCovered(verdict, allowedMs)) {
    return "Not all of these records are covered by a checkpoint";
  }
  if (verdict.sources.every(({ isTrusted }) => isTrusted)) return undefined;
  return (
    "These checkpoints were found with the records, and so may their key have been: " +
    "give --key-id ID, or --checkpoints FILE that was kept elsewhere"
  );
}

/** Whether checkpoints cover each trail, but for records of the last `allowedMs`. */
function isCovered(verdict: AuditVerdict, allowedMs: number | undefined): boolean {
  const least = leastOf(verdict);
  if (least === "none" || allowedMs === undefined) return least === "all";
  const since = Date.now() - allowedMs;
  return verdict.chains.every(({ unsignedSince = Infinity }) => unsignedSince > since);
}

const unsignedOf = ({ chains }: AuditVerdict): number =>
  chains.reduce((sum, { unsigned }) => sum + unsigned, 0);

function linesOf(verdict: AuditVerdict): readonly string[] {
  return [...headlineOf(verdict), ...notesOf(verdict)];
}

/** What one must see first: up to where it is proven. */
function headlineOf(verdict: AuditVerdict): readonly string[] {
  const { ok, records, chains } = verdict;
  if (!ok) return [`broken: ${records} records in order`];
  const [first] = chains;
  const isOne = chains.length === 1 && first !== undefined;
  switch (leastOf(verdict)) {
    case "none": {
      const bare = chains.filter((chain) => extentOf(chain) === "none").length;
      const whose = isOne ? "" : ` of ${bare} of ${chains.length} trails`;
      return [
        `not proven: no signed checkpoint is known${whose}; ${records} records are in order, ` +
          "but could have been cut off or all written anew",
        "Give checkpoints that were kept elsewhere: --checkpoints FILE, the output of " +
          "coffer audit checkpoints --tenant system -w json",
      ];
    }
    case "part": {
      const upTo = isOne ? provenText(first) : "the last checkpoint of each trail";
      const later = unsignedOf(verdict);
      return [
        `ok up to ${upTo}`,
        `${later} later ${later === 1 ? "record is" : "records are"} chained but not yet signed, ` +
          "and could have been changed or cut off",
      ];
    }
    case "all": {
      const upTo = isOne ? provenText(first) : "the last checkpoint of each trail";
      return [`ok: all ${records} records are proven, up to ${upTo}`];
    }
  }
}

const provenText = ({ proven, provenTime }: VerifiedTrail): string =>
  `record ${proven} (checkpoint of ${timeText(provenTime)})`;

const timeText = (time: number | undefined): string =>
  time === undefined ? "an unknown time" : new Date(time).toISOString();

function notesOf({ broken, chains, sources }: AuditVerdict): readonly string[] {
  return [
    ...broken,
    ...chains.map(trailText),
    ...sources.map(({ place, source, keys, isTrusted }) => {
      const doubt = "; who can write there could have signed anew: give --key-id to be sure";
      const signed = `${place}: checkpoints of ${source}, signed by ${keys.join(", ")}`;
      return `${signed}${isTrusted ? "" : doubt}`;
    }),
  ];
}

function trailText(chain: VerifiedTrail): string {
  const { place, member, tenant, records, first, head } = chain;
  if (records === 0) return `${place}: no records`;
  const whose = tenant === undefined ? `member ${member}` : `member ${member}, tenant ${tenant}`;
  const begin = first > 1 ? `; it begins at record ${first}, after a checkpoint` : "";
  return `${place}: ${whose}: ${records} records, the last is ${head.seq} ${head.hash}${begin}; ${extentText(chain)}`;
}

function extentText(chain: VerifiedTrail): string {
  const { unsigned, proven, head } = chain;
  switch (extentOf(chain)) {
    case "none":
      return "no checkpoint is known";
    case "part":
      return `proven up to ${provenText(chain)}, ${unsigned} later not signed`;
    case "all":
      // The member's notes of its place in the log of the cluster, which tell of no request.
      return `proven up to ${provenText(chain)}${proven < head.seq ? ", after it only marks" : ""}`;
  }
}

function jsonOf(verdict: AuditVerdict): Json {
  const { ok, records, broken, chains, sources } = verdict;
  return {
    ok,
    proven: ok ? leastOf(verdict) : undefined,
    records,
    unsigned: unsignedOf(verdict),
    broken,
    chains: chains.map(({ head, provenTime, unsignedSince, ...chain }) => ({
      ...chain,
      last: head.seq,
      hash: head.hash,
      provenTime: provenTime === undefined ? undefined : timeText(provenTime),
      unsignedSince: unsignedSince === undefined ? undefined : timeText(unsignedSince),
    })),
    sources: sources.map((source) => ({ ...source })),
    notes: notesOf(verdict),
  };
}
