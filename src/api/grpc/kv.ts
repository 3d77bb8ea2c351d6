import type { Edge } from "../../edge/mod.ts";
import { rpc } from "../../proto/mod.ts";
import { decodeDeleteRange, decodePut, decodeRange, decodeTxn } from "./decode.ts";
import { frameDeleteRange, framePut, frameRange, frameTxn } from "./encode.ts";
import { type Method, clamp, headerOf, unary } from "./method.ts";

/** etcdserverpb.KV. */
export function kvMethods(edge: Edge): readonly Method[] {
  return [
    {
      kind: "unary",
      path: "/etcdserverpb.KV/Range",
      handle: async (caller, message) => frameRange(await edge.range(caller, decodeRange(message))),
    },
    {
      kind: "unary",
      path: "/etcdserverpb.KV/Put",
      handle: async (caller, message) => framePut(await edge.put(caller, decodePut(message))),
    },
    {
      kind: "unary",
      path: "/etcdserverpb.KV/DeleteRange",
      handle: async (caller, message) =>
        frameDeleteRange(await edge.deleteRange(caller, decodeDeleteRange(message))),
    },
    {
      kind: "unary",
      path: "/etcdserverpb.KV/Txn",
      handle: async (caller, message) => frameTxn(await edge.txn(caller, decodeTxn(message))),
    },
    unary(
      "/etcdserverpb.KV/Compact",
      { request: rpc.CompactionRequest, response: rpc.CompactionResponse },
      async (caller, { revision, physical }) => {
        const reply = await edge.compact(caller, { revision: clamp(revision), physical });
        return { header: headerOf(reply.header) };
      },
    ),
  ];
}
