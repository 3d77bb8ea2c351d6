import { rpc } from "../../src/proto/mod.ts";

/** The requests that are measured, as protobuf messages of etcd's API. */

export type Workload = "put" | "get" | "get-serializable" | "range-1000" | "txn" | "count";

/** Keys sort by number, so that a range of 1,000 is a run of numbers. */
export function benchKey(n: number): Buffer {
  return Buffer.from(`/bench/${String(n).padStart(9, "0")}`, "latin1");
}

export function workloadPath(workload: Workload): string {
  switch (workload) {
    case "put":
      return "/etcdserverpb.KV/Put";
    case "txn":
      return "/etcdserverpb.KV/Txn";
    default:
      return "/etcdserverpb.KV/Range";
  }
}

export function workloadMessage(workload: Workload, n: number, value: Buffer): Buffer {
  const key = benchKey(n);
  switch (workload) {
    case "put":
      return Buffer.from(
        rpc.PutRequest.encode(rpc.PutRequest.fromPartial({ key, value })).finish(),
      );
    case "get":
    case "get-serializable":
      return rangeMessage({ key, serializable: workload === "get-serializable" });
    case "range-1000":
      return rangeMessage({ key, rangeEnd: Buffer.from("/bench0", "latin1"), limit: 1000n });
    case "count":
      return rangeMessage({ key, rangeEnd: Buffer.from("/bench0", "latin1"), countOnly: true });
    case "txn":
      // kube-apiserver's update: compare, put, or read what is there.
      return Buffer.from(
        rpc.TxnRequest.encode(
          rpc.TxnRequest.fromPartial({
            compare: [{ key, target: 0, result: 1, targetUnion: { $case: "version", value: -1n } }],
            success: [{ request: { $case: "requestPut", value: { key, value } } }],
            failure: [{ request: { $case: "requestRange", value: { key } } }],
          }),
        ).finish(),
      );
  }
}

function rangeMessage(fields: Parameters<typeof rpc.RangeRequest.fromPartial>[0]): Buffer {
  return Buffer.from(rpc.RangeRequest.encode(rpc.RangeRequest.fromPartial(fields)).finish());
}
