import { connect } from "node:net";
import { frameOf, rpc } from "../../../src/proto/mod.ts";
import type { Prng } from "../../../src/stdx/mod.ts";
import { rawCall, rawSession, startServer } from "../../api/harness.ts";
import {
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  clientHello,
  frame,
  frameType,
  headerBlocks,
  windowUpdate,
} from "../../bench/http2-frames.ts";
import { mutated, noise, pick } from "../mutate.ts";
import { Finding, type Target } from "../target.ts";

const PATHS: readonly string[] = [
  "/etcdserverpb.KV/Put",
  "/etcdserverpb.KV/Range",
  "/etcdserverpb.Watch/Watch",
  "/etcdserverpb.Lease/LeaseKeepAlive",
  "/coffer.v1.Tenants/List",
  "/x",
  "",
];
/** How long a connection may stay open after its client has said its last. */
const CLOSE_MS_MAX = 20_000;
const PUT = "/etcdserverpb.KV/Put";

/**
 * The client port, whole: connections of broken HTTP/2 and gRPC. Each ends, none is answered by a fault
 * of our own, and after each a good client is served on another.
 */
export async function http2Target(): Promise<Target> {
  // After a protocol error a connection ends with the ping that nobody answers.
  const server = await startServer({ limits: { pingMs: 100, pongMs: 100 } });
  const good = await rawSession(server.port);
  const put = frameOf(
    rpc.PutRequest.encode(
      rpc.PutRequest.fromPartial({ key: Buffer.from("k"), value: Buffer.from("v") }),
    ).finish(),
  );
  return {
    name: "http2",
    async attempt(random) {
      const bytes = conversation(random);
      await send(server.plainPort, bytes, random);
      const fault = server.logged.at(0);
      if (fault !== undefined) throw new Finding(`the server logged an error: ${fault}`, bytes);
      const reply = await rawCall(good, PUT, [put]);
      if (reply.status !== "0") {
        throw new Finding(`a good client was answered ${reply.status ?? "nothing"}`, bytes);
      }
    },
    async close() {
      good.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** A client's side of a connection: sound at first, then changed. */
function conversation(random: Prng): Buffer {
  const frames = Array.from({ length: 1 + random.below(8) }, (_, n) => anyFrame(random, 2 * n + 1));
  const sound = Buffer.concat(frames);
  const rest = random.below(4) === 0 ? sound : Buffer.from(mutated(sound, random));
  // Mostly past the preface, so that more than its check is met.
  const hello =
    random.below(16) === 0 ? Buffer.from(mutated(clientHello(), random)) : clientHello();
  return Buffer.concat([hello, rest]);
}

function anyFrame(random: Prng, stream: number): Buffer {
  switch (random.below(8)) {
    case 0:
      return frame(frameType.ping, 0, 0, Buffer.alloc(8));
    case 1:
      return windowUpdate(random.below(2 ** 31));
    case 2:
      return frame(frameType.rstStream, 0, Math.max(1, stream - 2), Buffer.alloc(4));
    case 3:
      return frame(
        random.below(256),
        random.below(256),
        random.below(16),
        Buffer.from(noise(random)),
      );
    case 4:
      return frame(frameType.goaway, 0, 0, Buffer.alloc(8));
    default:
      return call(random, stream);
  }
}

function call(random: Prng, stream: number): Buffer {
  const { first } = headerBlocks([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", pick(PATHS, random)],
    [":authority", "localhost"],
    ["content-type", pick(["application/grpc", "application/grpc+proto", "text/plain"], random)],
    ["te", "trailers"],
    ["grpc-timeout", pick(["1S", "99999999H", "-1n", "x", "1"], random)],
    ["authorization", Buffer.from(noise(random)).toString("base64")],
  ]);
  const flags = FLAG_END_HEADERS | (random.below(8) === 0 ? FLAG_END_STREAM : 0);
  const message = random.below(2) === 0 ? frameOf(noise(random, 200)) : noise(random, 200);
  return Buffer.concat([
    frame(frameType.headers, flags, stream, first),
    frame(frameType.data, FLAG_END_STREAM, stream, Buffer.from(message)),
  ]);
}

/** Sends in pieces, ends, and waits until the server has closed too. */
async function send(port: number, bytes: Buffer, random: Prng): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  // A reset is an answer like any other here.
  socket.on("error", () => undefined);
  socket.resume();
  const closed = new Promise<boolean>((resolve) => {
    const late = setTimeout(() => resolve(false), CLOSE_MS_MAX);
    socket.on("close", () => {
      clearTimeout(late);
      resolve(true);
    });
  });
  const cut = random.below(bytes.length);
  socket.write(bytes.subarray(0, cut));
  socket.end(bytes.subarray(cut));
  const isClosed = await closed;
  socket.destroy();
  if (!isClosed) throw new Finding("the connection was not closed", bytes);
}
