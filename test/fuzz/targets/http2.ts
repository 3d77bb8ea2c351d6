import { type Socket, connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { frameOf, rpc } from "../../../src/proto/mod.ts";
import type { Prng } from "../../../src/stdx/mod.ts";
import { ca, rawCall, rawSession, startServer } from "../../api/harness.ts";
import { Finding, type Target } from "../target.ts";
import { conversation } from "./http2-conversation.ts";

/** How long a connection may stay open after its client has said its last. */
const CLOSE_MS_MAX = 20_000;
const PUT = "/etcdserverpb.KV/Put";
/** Far more than all that one client may hold. */
const HEAP_BYTES_MAX = 1024 ** 3;

/**
 * The client port, whole: connections of broken HTTP/2 and gRPC. Each ends, none is answered by a fault
 * of our own, and after each a good client is served on another.
 */
export async function http2Target(): Promise<Target> {
  // After a protocol error a connection ends with the ping that nobody answers.
  const server = await startServer({ limits: { pingMs: 100, pongMs: 100 } });
  const put = frameOf(
    rpc.PutRequest.encode(
      rpc.PutRequest.fromPartial({ key: Buffer.from("k"), value: Buffer.from("v") }),
    ).finish(),
  );
  return {
    name: "http2",
    async attempt(random) {
      const bytes = conversation(random);
      const ports = { plain: server.plainPort, tls: server.port };
      await send(openSocket(ports, random), bytes, random);
      const fault = server.logged.at(0);
      if (fault !== undefined) throw new Finding(`the server logged an error: ${fault}`, bytes);
      const good = await rawSession(server.port);
      const reply = await rawCall(good, PUT, [put]);
      good.destroy();
      if (reply.status !== "0") {
        throw new Finding(`a good client was answered ${reply.status ?? "nothing"}`, bytes);
      }
      // What the fake edge and the harness remember of calls is of no use here.
      for (const list of [server.edge.calls, server.handled, server.refused]) list.length = 0;
      const { heapUsed } = process.memoryUsage();
      if (heapUsed > HEAP_BYTES_MAX) throw new Finding(`${heapUsed} bytes of heap`, bytes);
    },
    async close() {
      await server[Symbol.asyncDispose]();
    },
  };
}

function openSocket(ports: { readonly plain: number; readonly tls: number }, random: Prng): Socket {
  const host = "127.0.0.1";
  if (random.below(2) === 0) return connect({ port: ports.plain, host, noDelay: true });
  return connectTls({ port: ports.tls, host, ca: ca.pem, ALPNProtocols: ["h2"] });
}

/** Sends in pieces, ends, and waits until the server has closed too. */
async function send(socket: Socket, bytes: Buffer, random: Prng): Promise<void> {
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
