import { connect } from "node:http2";
import { once } from "node:events";
import { rpc } from "../../src/proto/mod.ts";
import type { LoadTarget } from "./load-connection.ts";
import { benchKey, workloadMessage } from "./workloads.ts";

/** Milliseconds from sending a put to seeing its event on a watch, one at a time. */
export async function watchLatency(target: LoadTarget, rounds: number): Promise<number[]> {
  const session = connect(`https://127.0.0.1:${target.port}`, {
    ca: target.ca,
    cert: target.cert,
    key: target.key,
    servername: "localhost",
  });
  await once(session, "connect");
  const open = (path: string): ReturnType<typeof session.request> =>
    session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...(target.token === "" ? {} : { authorization: `Bearer ${target.token}` }),
    });
  const watch = open("/etcdserverpb.Watch/Watch");
  const key = benchKey(0);
  const create = rpc.WatchRequest.fromPartial({
    requestUnion: { $case: "createRequest", value: { key } },
  });
  watch.write(grpcFrame(Buffer.from(rpc.WatchRequest.encode(create).finish())));
  await once(watch, "data"); // created
  const found: number[] = [];
  const value = Buffer.alloc(256, 1);
  for (let i = 0; i < rounds; i++) {
    const seen = once(watch, "data");
    const started = performance.now();
    const put = open("/etcdserverpb.KV/Put");
    put.end(grpcFrame(workloadMessage("put", 0, value)));
    put.resume();
    await seen;
    found.push(performance.now() - started);
    if (!put.closed) await once(put, "close");
  }
  watch.close();
  session.close();
  return found;
}

function grpcFrame(message: Buffer): Buffer {
  const out = Buffer.alloc(5 + message.length);
  out.writeUInt32BE(message.length, 1);
  message.copy(out, 5);
  return out;
}
