import { type AddressInfo, createServer } from "node:net";

const HOST = "127.0.0.1";

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  return (await tryPort(0)) ?? (await freePort());
}

export async function isFree(port: number): Promise<boolean> {
  return (await tryPort(port)) !== undefined;
}

/** The port that could be listened on, 0 standing for any; undefined if it is taken. */
function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen({ host: HOST, port }, () => {
      const { port: found } = server.address() as AddressInfo;
      server.close(() => resolve(found));
    });
  });
}
