import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { test } from "node:test";
import { MemberFolder } from "./member-process.ts";

/** Refusal 57 at its full number. A process may have far fewer files open by default: `ulimit -n 20000`. */

const IDLE = 10_000;
/** Sockets that say nothing; a thousand of them are some MiB. */
const MEBIBYTES_MAX = 256;

/** Resident memory of a process in MiB. */
function residentOf(pid: number): number {
  const [, kibibytes] =
    /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kibibytes) / 1024;
}

/** Resolves when the connection is there, or was refused. */
function opened(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(socket));
    socket.once("close", () => resolve(socket));
  });
}

test("refusal 57: 10,000 idle connections cost little, keep nobody from being served, and are cut", async () => {
  using folder = await MemberFolder.make();
  await using member = await folder.start();
  await using client = folder.client();
  const key = Buffer.from("/idle");
  await client.put({ key, value: Buffer.from("before") });
  const before = residentOf(member.pid);
  const sockets: Socket[] = [];
  const closed: Promise<void>[] = [];
  for (let n = 0; n < IDLE; n += 100) {
    const some = await Promise.all(Array.from({ length: 100 }, () => opened(folder.port)));
    for (const socket of some) {
      socket.resume();
      sockets.push(socket);
      closed.push(new Promise((resolve) => socket.once("close", () => resolve())));
    }
    await client.put({ key, value: Buffer.from(`with ${n}`) });
  }
  const open = sockets.filter(({ destroyed }) => !destroyed).length;
  assert.ok(open > IDLE / 2, `only ${open} are open: allow more files, ulimit -n 20000`);
  const grown = residentOf(member.pid) - before;
  assert.ok(grown < MEBIBYTES_MAX, `${grown} MiB more for ${open} connections`);
  await client.put({ key, value: Buffer.from("with all") });
  // Each is cut when its handshake has not ended in time; then there is room for others.
  await Promise.all(closed);
  await using later = folder.client();
  const { kvs } = await later.range({ key });
  assert.equal(Buffer.from(kvs[0]?.value ?? []).toString(), "with all");
  assert.equal(await member.stop(), 0);
});
