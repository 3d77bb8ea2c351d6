import * as http2 from "node:http2";
import { frameOf } from "../../../src/proto/mod.ts";
import type { Prng } from "../../../src/stdx/mod.ts";
import { type World, bytes, startWorld } from "../../edge/world.ts";
import { rawSession } from "../../edge/raw.ts";
import { mutated, noise, pick } from "../mutate.ts";
import { Finding, type Target } from "../target.ts";
import { streamMessages, unaryMessages } from "./messages.ts";

/** gRPC codes UNKNOWN and INTERNAL: a fault of ours, or of a message that is none. */
const FAULTS: ReadonlySet<string> = new Set(["2"]);
const GUARD = bytes("/guard");
/** A stream that did not end of itself is ended then. */
const STREAM_MS = 20;
/** Each reads what must not change: often enough, and not the most of the work. */
const ATTEMPTS_A_LOOK = 16;

/**
 * A whole member over TLS: calls of all methods with changed messages, by nobody, by a subject without
 * any right and by one with rights on its own keys only. What they may not change stays as it is.
 */
export async function memberTarget(): Promise<Target> {
  const world = await startWorld();
  await world.admin.tenantCreate({ name: "guard", owner: "user:guard" });
  await world.admin.put({ key: GUARD, value: bytes("untouched") });
  await world.grant(
    ["p", "user:fuzz", "/fuzz/*", "*", "allow"],
    ["p", "user:fuzz", "/fuzz/deny*", "*", "deny"],
  );
  const tokens = [
    undefined,
    `Bearer ${await world.token("user:nobody", { ttlSeconds: 86_400 })}`,
    `Bearer ${await world.token("user:fuzz", { ttlSeconds: 86_400 })}`,
  ];
  const before = await guarded(world);
  let session = await rawSession(world.endpoint, world.authority.certificate);
  let attempts = 0;
  return {
    name: "member",
    async attempt(random) {
      if (session.destroyed || session.closed) {
        session = await rawSession(world.endpoint, world.authority.certificate);
      }
      const authorization = tokens[random.below(3)];
      const tenant = pick(["", "", "", "guard", "system", "nowhere"], random);
      const metadata = {
        ...(authorization === undefined ? {} : { authorization }),
        ...(tenant === "" ? {} : { "coffer-tenant": tenant }),
      };
      const calls = Array.from({ length: 1 + random.below(4) }, () => anyCall(random));
      await Promise.all(calls.map((call) => make(session, call, metadata)));
      const input = JSON.stringify(calls.map(({ path, body }) => [path, body.toString("hex")]));
      const fault = world.logs.find((line) => /"level":"(?:error|fatal)"/.test(line));
      if (fault !== undefined) throw new Finding(`the member logged: ${fault}`, input);
      if (world.fatals.length > 0) throw new Finding(`fatal: ${String(world.fatals[0])}`, input);
      (world.logs as string[]).length = 0;
      const bad = calls.find(({ status }) => FAULTS.has(status ?? ""));
      if (bad !== undefined) throw new Finding(`${bad.path} answered ${bad.said ?? ""}`, input);
      const open = calls.find((call) => authorization === undefined && isServed(call));
      if (open !== undefined) throw new Finding(`${open.path} was open to nobody`, input);
      if (++attempts % ATTEMPTS_A_LOOK !== 0) return;
      const now = await guarded(world);
      if (now !== before) throw new Finding(`it changed from ${before} to ${now}`, input);
    },
    async close() {
      session.destroy();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** Of the default tenant all but what `user:fuzz` may change, and what is the cluster's. */
async function guarded({ admin }: World): Promise<string> {
  const { kvs } = await admin.range({ key: bytes("\0"), rangeEnd: bytes("\0") });
  const keys = kvs
    .map((kv) => `${Buffer.from(kv.key).toString("latin1")}=${kv.modRevision}`)
    .filter((text) => !text.startsWith("/fuzz/") || text.startsWith("/fuzz/deny"));
  const { policyRevision } = await admin.policyList();
  const { tenants } = await admin.tenantList();
  const { issuers } = await admin.issuerList();
  const { members } = await admin.memberList();
  const { leases } = await admin.leaseLeases();
  return JSON.stringify([
    keys,
    String(policyRevision),
    tenants.map(({ name, suspended }) => `${name} ${suspended}`),
    issuers.length,
    members.length,
    leases.length,
  ]);
}

/** Health is everybody's; a stream on which nothing was asked is answered with nothing, as in etcd. */
function isServed({ path, body, status }: Call): boolean {
  return status === "0" && body.length > 0 && !path.includes("Health");
}

interface Call {
  readonly path: string;
  readonly body: Buffer;
  readonly isStream: boolean;
  /** grpc-status and message of the answer; undefined: it was reset, or ended by us. */
  status?: string | undefined;
  said?: string | undefined;
}

function anyCall(random: Prng): Call {
  const isStream = random.below(3) === 0;
  const [path, good] = pick(isStream ? streamMessages : unaryMessages, random);
  const others = streamMessages.filter(([name]) => name === path).map(([, message]) => message);
  const messages = Array.from({ length: isStream ? 1 + random.below(5) : 1 }, () =>
    oneOf(isStream ? pick(others, random) : good, random),
  );
  const framed = Buffer.concat(messages.map((message) => frameOf(message)));
  const body = random.below(16) === 0 ? Buffer.from(mutated(framed, random)) : framed;
  return { path, body, isStream };
}

function oneOf(good: Uint8Array, random: Prng): Uint8Array {
  switch (random.below(6)) {
    case 0:
      return good;
    case 1:
      return noise(random, 300);
    default:
      return mutated(good, random);
  }
}

/** Makes the call and waits until it is over; a stream is given some time to answer. */
function make(
  session: http2.ClientHttp2Session,
  call: Call,
  metadata: http2.OutgoingHttpHeaders,
): Promise<void> {
  const stream = session.request({
    ":method": "POST",
    ":path": call.path,
    "content-type": "application/grpc",
    te: "trailers",
    ...metadata,
  });
  const note = (headers: http2.IncomingHttpHeaders): void => {
    call.status = headers["grpc-status"]?.toString() ?? call.status;
    call.said = headers["grpc-message"]?.toString() ?? call.said;
  };
  stream.on("error", () => undefined);
  stream.on("response", note);
  stream.on("trailers", note);
  stream.resume();
  stream.end(call.body);
  return new Promise((resolve) => {
    const end = call.isStream
      ? setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), STREAM_MS)
      : undefined;
    stream.once("close", () => {
      clearTimeout(end);
      resolve();
    });
  });
}
