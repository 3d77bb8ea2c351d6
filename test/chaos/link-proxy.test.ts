import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import test, { describe } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { LinkProxy } from "./link-proxy.ts";

/** What the faults of links do to the bytes of a connection. */

const SHORT_MS = 50;

interface Stand extends AsyncDisposable {
  readonly proxy: LinkProxy;
  /** The member's end, and what it heard. */
  readonly member: Socket;
  readonly heard: () => string;
  /** What came to the server. */
  readonly served: () => string;
}

/** A server that answers each piece with itself in capitals. */
async function stand(): Promise<Stand> {
  let served = "";
  let heard = "";
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.setEncoding("utf8").on("data", (text) => {
      served += text;
      socket.write(String(text).toUpperCase());
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const proxy = await LinkProxy.open({ host: "127.0.0.1", port }, () => 0.5);
  const member = connect(proxy.port, "127.0.0.1");
  member.on("error", () => undefined);
  member.setEncoding("utf8").on("data", (text) => (heard += text));
  await once(member, "connect");
  return {
    proxy,
    member,
    heard: () => heard,
    served: () => served,
    [Symbol.asyncDispose]: async () => {
      member.destroy();
      await proxy[Symbol.asyncDispose]();
      server.close();
    },
  };
}

/** Unlike `once`, an error does not reject it. */
function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !holds(); i++) await delay(5);
  assert.ok(holds());
}

describe("a link", () => {
  test("carries both ways", async () => {
    await using link = await stand();
    link.member.write("abc");
    await until(() => link.heard() === "ABC");
  });

  test("that holds what goes out delivers it when healed", async () => {
    await using link = await stand();
    link.proxy.set({ held: ["out"] });
    link.member.write("abc");
    await delay(SHORT_MS);
    assert.equal(link.served(), "");
    link.proxy.set({});
    await until(() => link.heard() === "ABC");
  });

  test("that holds what comes in lets the rest through", async () => {
    await using link = await stand();
    link.proxy.set({ held: ["in"] });
    link.member.write("abc");
    await until(() => link.served() === "abc");
    await delay(SHORT_MS);
    assert.equal(link.heard(), "");
    link.proxy.set({});
    await until(() => link.heard() === "ABC");
  });

  test("that is slow keeps the order", async () => {
    await using link = await stand();
    link.proxy.set({ delayMs: SHORT_MS, jitterMs: SHORT_MS });
    const began = performance.now();
    for (const text of ["a", "b", "c", "d"]) {
      link.member.write(text);
      await delay(2);
    }
    await until(() => link.heard() === "ABCD");
    assert.ok(performance.now() - began >= 2 * SHORT_MS, "It was not slow");
  });

  test("that is cut breaks, and takes no more until it heals", async () => {
    await using link = await stand();
    const closed = closing(link.member);
    link.proxy.set({ cut: true });
    await closed;
    const next = connect(link.proxy.port, "127.0.0.1");
    next.on("error", () => undefined);
    await closing(next);
    link.proxy.set({});
    const last = connect(link.proxy.port, "127.0.0.1");
    last.write("x");
    const [answer] = (await once(last, "data")) as readonly Buffer[];
    assert.equal(String(answer), "X");
    last.destroy();
  });

  test("holds a bounded amount", async () => {
    await using link = await stand();
    link.proxy.set({ held: ["out"] });
    const piece = "x".repeat(64 * 1024);
    let sent = 0;
    // The sender's buffers fill, and it is told to wait.
    while (sent < 1024 && link.member.write(piece)) {
      sent++;
      await delay(0);
    }
    assert.ok(sent < 1024, "It took 64 MiB");
    link.proxy.set({});
    await until(() => link.heard().length === (sent + 1) * piece.length);
  });
});
