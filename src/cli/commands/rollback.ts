import { integer, onOff } from "../../config/mod.ts";
import type { OptionTable } from "../../config/mod.ts";
import { type Key, NO_LEASE, type RequestOp } from "../../core/types/mod.ts";
import { CofferError } from "../../errors.ts";
import type { ReplyHeader } from "../client-port.ts";
import { type Call, clientCommand, type Command, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, jsonText } from "../json.ts";
import { stateAt } from "../key-states.ts";
import { base64OfKey, keyOf, leaseText, mistake } from "../keys.ts";
import { safe } from "../print.ts";
import { diffText, isSame, type KeyState } from "../value-diff.ts";

/**
 * The value goes back, the life of the key does not: it stays on the lease it has now, or on none. The
 * lease of the old revision may have ended long ago, and a put without a lease would take the key off
 * the present one unasked.
 */
export const rollback: Command = clientCommand({
  name: "rollback",
  usage: "KEY --rev REVISION",
  summary: "give a key the value it had at a revision, as a new revision",
  examples: [
    ["coffer rollback /app/config --rev 40 --dry-run", "see the difference first"],
    ["coffer rollback /app/config --rev 40", "refused if anyone changes the key meanwhile"],
    ["coffer rollback /app/config --rev 12 --delete", "it did not exist then: delete it again"],
  ],
  options: {
    revision: { name: "rev", parser: integer({ min: 1 }), help: "the revision to go back to" },
    dryRun: { name: "dry-run", parser: onOff, help: "show the difference and change nothing" },
    delete: { name: "delete", parser: onOff, help: "delete the key if it did not exist then" },
  },
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    const { revision, dryRun = false } = call.values;
    if (revision === undefined) throw mistake("--rev is missing; see: coffer history KEY");
    const key = keyOf(name);
    const { body: wanted } = await stateAt(call, key, revision);
    const { header, body: present } = await stateAt(call, key, 0);
    if (dryRun) return await write(call.io, diffText(name, present, wanted) || `${SAME}\n`);
    if (isSame(present, wanted))
      return await report(call, { header, key, done: SAME, changed: false });
    if (wanted.kv === undefined && call.values.delete !== true) {
      throw mistake(`the key did not exist at revision ${revision}: give --delete to delete it`);
    }
    const changed = await exchange(call, key, present, wanted);
    const done = doneText(name, { revision, present, wanted, made: changed.revision });
    await report(call, { header: changed, key, done, changed: true });
  },
});

const SAME = "nothing to change: it is what it was then";

/** Puts `wanted` in the place of `present`, if that is still what is there. */
async function exchange(
  call: Call<OptionTable>,
  key: Key,
  present: KeyState,
  wanted: KeyState,
): Promise<ReplyHeader> {
  const seen = present.kv?.modRevision ?? 0;
  const rangeEnd = "" as Key;
  const request = {
    compare: [{ key, rangeEnd, target: "mod", result: "equal", operand: seen } as const],
    success: [changeOf(key, present, wanted)],
    failure: [],
  };
  const { header, body } = await waitFor(call, call.client.txn(request));
  if (body.succeeded) return header;
  throw new CofferError(
    "conflict",
    "the key was changed while it was rolled back; nothing was done",
  );
}

function changeOf(key: Key, present: KeyState, wanted: KeyState): RequestOp {
  if (wanted.kv === undefined) {
    return { kind: "delete-range", request: { key, rangeEnd: "" as Key, prevKv: false } };
  }
  const request = {
    key,
    value: wanted.kv.value,
    lease: NO_LEASE,
    prevKv: false,
    ignoreValue: false,
    // Only a key that is there has a lease to keep.
    ignoreLease: present.kv !== undefined,
  };
  return { kind: "put", request };
}

function doneText(
  name: string,
  about: {
    readonly revision: number;
    readonly present: KeyState;
    readonly wanted: KeyState;
    readonly made: number;
  },
): string {
  const { revision, present, wanted, made } = about;
  const key = JSON.stringify(safe(name));
  if (wanted.kv === undefined)
    return `deleted ${key}, as at revision ${revision}: revision ${made}`;
  const kept = present.kv?.lease ?? NO_LEASE;
  const had = wanted.kv.lease;
  const lease =
    kept !== NO_LEASE
      ? `; it stays on lease ${leaseText(kept)}`
      : had !== NO_LEASE
        ? `; it was on lease ${leaseText(had)} then, and is on none now`
        : "";
  return `${key} is again what it was at revision ${revision}: revision ${made}${lease}`;
}

async function report(
  call: Call<OptionTable>,
  about: {
    readonly header: ReplyHeader;
    readonly key: Key;
    readonly done: string;
    readonly changed: boolean;
  },
): Promise<void> {
  const { header, key, done, changed } = about;
  const json = jsonText({ header: headerJson(header), key: base64OfKey(key), changed });
  await write(call.io, call.format === "json" ? `${json}\n` : `${done}\n`);
}
