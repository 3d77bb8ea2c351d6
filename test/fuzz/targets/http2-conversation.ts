import { frameOf } from "../../../src/proto/mod.ts";
import type { Prng } from "../../../src/stdx/mod.ts";
import {
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  clientHello,
  frame,
  frameType,
  headerBlocks,
  plainField,
  windowUpdate,
} from "../../bench/http2-frames.ts";
import { mutated, noise, pick } from "../mutate.ts";
import { streamMessages, unaryMessages } from "./messages.ts";

/** A client's side of an HTTP/2 connection: sound at first, then changed, at times a flood. */

const CONTINUATION = 9;
const ODD_PATHS: readonly string[] = ["/x", "", "/health", "/metrics", "*", "/coffer.v1.X/"];
const METHODS: readonly string[] = ["POST", "POST", "POST", "GET", "CONNECT", "", "PRI"];

export function conversation(random: Prng): Buffer {
  if (random.below(8) === 0) return Buffer.concat([clientHello(), flood(random)]);
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
  const [path, good] = pick(random.below(2) === 0 ? unaryMessages : streamMessages, random);
  const headers = headerBlock(random, random.below(8) === 0 ? pick(ODD_PATHS, random) : path);
  const flags = FLAG_END_HEADERS | (random.below(8) === 0 ? FLAG_END_STREAM : 0);
  const parts = [frame(frameType.headers, flags, stream, headers)];
  const count = 1 + random.below(4);
  for (let n = 1; n <= count; n++) {
    const body = random.below(3) === 0 ? noise(random, 200) : mutated(good, random);
    const message = random.below(4) === 0 ? Buffer.from(body) : frameOf(body);
    const ends = n === count && random.below(8) !== 0 ? FLAG_END_STREAM : 0;
    parts.push(frame(frameType.data, ends, stream, Buffer.from(message)));
  }
  return Buffer.concat(parts);
}

function headerBlock(random: Prng, path: string): Buffer {
  return headerBlocks([
    [":method", pick(METHODS, random)],
    [":scheme", "http"],
    [":path", path],
    [":authority", "localhost"],
    ["content-type", pick(["application/grpc", "application/grpc+proto", "text/plain"], random)],
    ["te", "trailers"],
    ["grpc-timeout", pick(["1S", "99999999H", "-1n", "x", "1"], random)],
    ["authorization", Buffer.from(noise(random)).toString("base64")],
    ["user-agent", Buffer.from(noise(random)).toString("latin1")],
  ]).first;
}

/** Much of one thing, none of it ever of use. */
function flood(random: Prng): Buffer {
  const many = (count: number, part: (n: number) => Buffer): Buffer =>
    Buffer.concat(Array.from({ length: 1 + random.below(count) }, (_, n) => part(n)));
  const headers = headerBlock(random, "/etcdserverpb.Watch/Watch");
  const open = (n: number): Buffer =>
    frame(frameType.headers, FLAG_END_HEADERS, 2 * n + 1, headers);
  switch (random.below(7)) {
    case 0:
      // Headers that never end (CVE-2024-27983 and its kin).
      return Buffer.concat([
        frame(frameType.headers, 0, 1, headers),
        many(400, () => frame(CONTINUATION, 0, 1, plainField("x", "y".repeat(500)))),
      ]);
    case 1:
      // Rapid reset (CVE-2023-44487).
      return many(1000, (n) =>
        Buffer.concat([open(n), frame(frameType.rstStream, 0, 2 * n + 1, Buffer.alloc(4))]),
      );
    case 2:
      return many(5000, () => frame(frameType.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 1])));
    case 3:
      return many(5000, (n) =>
        frame(frameType.ping, n % 2 === 0 ? 0 : FLAG_ACK, 0, Buffer.alloc(8)),
      );
    case 4:
      return many(3000, open);
    case 5:
      return frame(
        frameType.headers,
        FLAG_END_HEADERS,
        1,
        Buffer.concat([
          headers,
          many(200, (n) => plainField(`x-${n}`, "y".repeat(random.below(60)))),
        ]),
      );
    default:
      // Frames without content, which cost nothing to send (CVE-2019-9518).
      return Buffer.concat([
        open(0),
        many(5000, () => frame(frameType.data, 0, 1, Buffer.alloc(0))),
      ]);
  }
}
