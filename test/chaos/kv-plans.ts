import type { Client, rpc } from "../../src/client/mod.ts";
import type {
  CasLine,
  KeyState,
  MicroOp,
  ReadLine,
  TxnLine,
  TxnValue,
  WriteLine,
} from "./history.ts";
import { keyBytes, textOfBytes } from "./world.ts";

/** Requests and what their answers say, in the words of the history. */

type Body<T> = T extends unknown ? Omit<T, "time" | "process" | "type" | "member"> : never;

export type OpBody = Body<ReadLine> | Body<WriteLine> | Body<CasLine> | Body<TxnLine>;

export interface Plan {
  readonly invoke: OpBody;
  /** Rejects as the client does. `failed`: nothing happened, and the answer says why. */
  readonly run: (client: Client) => Promise<{ readonly done: OpBody; readonly failed: boolean }>;
}

export const KEY_PREFIX = "chaos/";
export const KEY_PREFIX_END = "chaos0";

const EQUAL = { result: 0 } as const;
const TARGET = { create: 1, mod: 2, value: 3 } as const;

interface Keyed {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly version: bigint;
}

export function keyStateOf(kv: Keyed): KeyState {
  return {
    key: textOfBytes(kv.key),
    value: textOfBytes(kv.value),
    create: Number(kv.createRevision),
    mod: Number(kv.modRevision),
    version: Number(kv.version),
  };
}

function revisionOf(header: rpc.ResponseHeader | undefined): number {
  return Number(header?.revision ?? 0n);
}

export function planRead(key: string, serializable: boolean): Plan {
  const invoke = { f: serializable ? "serializable-read" : "read", key, value: null } as const;
  return {
    invoke,
    run: async (client) => {
      const { kvs, header } = await client.range({ key: keyBytes(key), serializable });
      const kv = kvs[0] === undefined ? undefined : keyStateOf(kvs[0]);
      const done = { ...invoke, value: kv?.value ?? null, kv, rev: revisionOf(header) };
      return { done, failed: false };
    },
  };
}

export function planWrite(key: string, value: string, prevKv: boolean): Plan {
  const invoke = { f: "write", key, value } as const;
  return {
    invoke,
    run: async (client) => {
      const request = { key: keyBytes(key), value: keyBytes(value), prevKv };
      const { header, prevKv: before } = await client.put(request);
      const prev = before === undefined ? null : textOfBytes(before.value);
      const told = { ...invoke, rev: revisionOf(header) };
      return { done: prevKv ? { ...told, prev } : told, failed: false };
    },
  };
}

export function planDelete(key: string): Plan {
  const invoke = { f: "delete", key, value: null } as const;
  return {
    invoke,
    run: async (client) => {
      const { header, prevKvs } = await client.deleteRange({ key: keyBytes(key), prevKv: true });
      const prev = prevKvs[0] === undefined ? null : textOfBytes(prevKvs[0].value);
      return { done: { ...invoke, prev, rev: revisionOf(header) }, failed: false };
    },
  };
}

/** What a client last saw of a key; `mod` 0: it was not there. */
export interface Seen {
  readonly value: string | null;
  readonly mod: number;
}

export function planCas(
  key: string,
  { seen, value, by }: { readonly seen: Seen; readonly value: string; readonly by: CasLine["by"] },
): Plan {
  const invoke = { f: "cas", key, value: [seen.value, value], by } as const;
  const compare =
    by === "mod"
      ? {
          ...EQUAL,
          target: TARGET.mod,
          key: keyBytes(key),
          targetUnion: { $case: "modRevision" as const, value: BigInt(seen.mod) },
        }
      : valueCompare(key, seen.value);
  const put = { key: keyBytes(key), value: keyBytes(value) };
  const request: rpc.DeepPartial<rpc.TxnRequest> = {
    compare: [compare],
    success: [{ request: { $case: "requestPut", value: put } }],
    failure: [{ request: { $case: "requestRange", value: { key: keyBytes(key) } } }],
  };
  return {
    invoke,
    run: async (client) => {
      const { header, succeeded, responses } = await client.txn(request);
      const rev = revisionOf(header);
      if (succeeded) return { done: { ...invoke, rev }, failed: false };
      return { done: { ...invoke, rev, prev: valueTold(responses[0]) }, failed: true };
    },
  };
}

/** etcd's compare by value is never true of a key that is not there. */
function valueCompare(key: string, value: string | null): rpc.DeepPartial<rpc.Compare> {
  const base = { ...EQUAL, key: keyBytes(key) };
  return value === null
    ? { ...base, target: TARGET.create, targetUnion: { $case: "createRevision", value: 0n } }
    : { ...base, target: TARGET.value, targetUnion: { $case: "value", value: keyBytes(value) } };
}

export function planTxn(value: TxnValue): Plan {
  const keys = new Set([
    ...value.compare.map(([key]) => key),
    ...[...value.success, ...value.failure].map(([, key]) => key),
  ]);
  const invoke = { f: "txn", key: [...keys].sort().join(","), value } as const;
  const request = {
    compare: value.compare.map(([key, wanted]) => valueCompare(key, wanted)),
    success: value.success.map(requestOf),
    failure: value.failure.map(requestOf),
  };
  return {
    invoke,
    run: async (client) => {
      const { header, succeeded, responses } = await client.txn(request);
      const answered = (ops: readonly MicroOp[]): readonly MicroOp[] =>
        ops.map(([kind, key, written], index) => [
          kind,
          key,
          kind === "w" ? written : valueTold(responses[index]),
        ]);
      const told: TxnValue = succeeded
        ? { ...value, succeeded, success: answered(value.success) }
        : { ...value, succeeded, failure: answered(value.failure) };
      return { done: { ...invoke, value: told, rev: revisionOf(header) }, failed: false };
    },
  };
}

/** All keys of a run in one range: a transaction that only reads. */
export function planRange(keys: readonly string[]): Plan {
  const value: TxnValue = {
    compare: [],
    success: keys.map((key) => ["r", key, null]),
    failure: [],
  };
  const invoke = { f: "txn", key: keys.join(","), value } as const;
  const request = { key: keyBytes(KEY_PREFIX), rangeEnd: keyBytes(KEY_PREFIX_END) };
  return {
    invoke,
    run: async (client) => {
      const { header, kvs } = await client.range(request);
      const held = new Map(kvs.map((kv) => [textOfBytes(kv.key), textOfBytes(kv.value)]));
      const success = keys.map((key): MicroOp => ["r", key, held.get(key) ?? null]);
      const told = { ...value, succeeded: true, success };
      return { done: { ...invoke, value: told, rev: revisionOf(header) }, failed: false };
    },
  };
}

function requestOf([kind, key, value]: MicroOp): rpc.DeepPartial<rpc.RequestOp> {
  const bytes = keyBytes(key);
  switch (kind) {
    case "r":
      return { request: { $case: "requestRange", value: { key: bytes } } };
    case "w": {
      const put = { key: bytes, value: keyBytes(value ?? "") };
      return { request: { $case: "requestPut", value: put } };
    }
    case "d":
      return { request: { $case: "requestDeleteRange", value: { key: bytes, prevKv: true } } };
  }
}

/** What a read found, or a delete removed. */
function valueTold(op: rpc.ResponseOp | undefined): string | null {
  const response = op?.response;
  const kv =
    response?.$case === "responseRange"
      ? response.value.kvs[0]
      : response?.$case === "responseDeleteRange"
        ? response.value.prevKvs[0]
        : undefined;
  return kv === undefined ? null : textOfBytes(kv.value);
}
