import { integer, onOff } from "../../config/mod.ts";
import type { WatchEvent, WatchResponse } from "../../core/types/mod.ts";
import { CofferError, errorCodeOfText, errorRow } from "../../errors.ts";
import { clientCommand, type Command } from "../command.ts";
import { write } from "../io.ts";
import { eventJson, headerJson, jsonText } from "../json.ts";
import { keyOf, targetOf } from "../keys.ts";
import { joinPieces, kvPieces } from "../print.ts";
import type { Reply } from "../client-port.ts";

export const watch: Command = clientCommand({
  name: "watch",
  usage: "KEY [RANGE_END]",
  summary: "print changes as they come, until interrupted",
  examples: [
    ["coffer watch --prefix /app/", "all changes below /app/ from now on"],
    ["coffer watch /app/url --rev 12 --prev-kv", "from revision 12 on, with what was there before"],
    ["coffer watch --prefix /app/ -w json | jq .Events", "one line of JSON for each answer"],
    ["coffer watch /app/url --events 1", "wait for the next change and end"],
  ],
  options: {
    prefix: { name: "prefix", parser: onOff, help: "all keys that start with KEY" },
    fromKey: { name: "from-key", parser: onOff, help: "all keys from KEY on, by bytes" },
    rev: { name: "rev", parser: integer(), help: "start at this revision (now)" },
    prevKv: { name: "prev-kv", parser: onOff, help: "show what the key held before" },
    progressNotify: {
      name: "progress-notify",
      parser: onOff,
      help: "have the server tell its revision when nothing happens (seen with -w json)",
    },
    events: { name: "events", parser: integer({ min: 1 }), help: "end after this many (never)" },
  },
  arity: [1, 2],
  run: async ({ io, client, values, positional, format }) => {
    const request = {
      ...targetOf(positional.map(keyOf), values),
      startRevision: values.rev ?? 0,
      progressNotify: values.progressNotify ?? false,
      noPut: false,
      noDelete: false,
      prevKv: values.prevKv ?? false,
      watchId: 0,
      fragment: false,
    };
    const stop = new AbortController();
    let left = values.events ?? Number.POSITIVE_INFINITY;
    const signal = AbortSignal.any([io.signal, stop.signal]);
    for await (const reply of client.watch(request, signal)) {
      const events = reply.body.events.slice(0, left);
      left -= events.length;
      if (format === "json") await writeJson(io, { ...reply, body: { ...reply.body, events } });
      else await write(io, joinPieces(events.flatMap(eventPieces)));
      if (reply.body.canceled) throw cancellation(reply.body);
      if (left <= 0) break;
    }
    stop.abort();
  },
});

/** The cause, as the code whose text the server gave. */
function cancellation({ cancelReason, compactRevision }: WatchResponse): CofferError {
  if (compactRevision > 0) {
    return new CofferError("compacted", `the oldest that is left is ${compactRevision}`);
  }
  // As etcd, the server says some of its reasons as grpc's errors print.
  const reason = cancelReason.replace(/^rpc error: code = \w+ desc = /, "");
  const code = errorCodeOfText(reason) ?? "canceled";
  const { text } = errorRow(code);
  const detail = reason.startsWith(text) ? reason.slice(text.length + ": ".length) : reason;
  return new CofferError(code, detail || undefined);
}

function eventPieces(event: WatchEvent): readonly (string | Uint8Array)[] {
  const before = event.prevKv === undefined ? [] : [event.prevKv];
  return [event.type === "put" ? "PUT\n" : "DELETE\n", ...kvPieces([...before, event.kv])];
}

async function writeJson(
  io: Parameters<typeof write>[0],
  { header, body }: Reply<WatchResponse>,
): Promise<void> {
  // etcdctl prints neither the answer to the creation nor empty fields of the client's own type.
  if (body.created && body.events.length === 0) return;
  const json = {
    Header: headerJson(header),
    Events: body.events.map(eventJson),
    CompactRevision: body.compactRevision,
    Canceled: body.canceled,
    Created: body.created,
  };
  await write(io, `${jsonText(json)}\n`);
}
