import {
  decodeDeleteRange,
  decodePut,
  decodeRange,
  decodeTxn,
} from "../../../src/api/grpc/decode.ts";
import { CofferError } from "../../../src/errors.ts";
import { FRAME_PREFIX_BYTES, FrameReader, frameOf, rpc } from "../../../src/proto/mod.ts";
import { type Prng, byteStringOf } from "../../../src/stdx/mod.ts";
import { mutated, noise, pick, sameBytes } from "../mutate.ts";
import { Finding, type Target, unlessRefused } from "../target.ts";

const MESSAGE_BYTES_MAX = 4096;

/** gRPC's framing cut anywhere, and etcd's messages as our own decoder reads them. */
export function grpcTarget(): Target {
  return {
    name: "grpc",
    attempt(random) {
      frames(random);
      messages(random);
    },
  };
}

/** Whole messages come out whole, in whatever pieces they arrive; garbage is a fault or waits. */
function frames(random: Prng): void {
  const long = frameOf(Buffer.alloc(MESSAGE_BYTES_MAX + 1 + random.below(300)));
  if (readInPieces(long, random).length > 0) throw new Finding("past the limit", long);
  const sent = Array.from({ length: 1 + random.below(3) }, () => noise(random, 300));
  const stream = Buffer.concat(sent.map((message) => frameOf(message)));
  const received = readInPieces(stream, random);
  if (received.length !== sent.length || !received.every((m, i) => sameBytes(m, sent[i]!))) {
    throw new Finding("messages are others when they arrive in pieces", stream);
  }
  const changed = mutated(stream, random);
  for (const message of readInPieces(changed, random)) {
    if (message.length > MESSAGE_BYTES_MAX) throw new Finding("a message past the limit", changed);
  }
}

function readInPieces(stream: Uint8Array, random: Prng): readonly Uint8Array[] {
  const errorOf = (): Error => new CofferError("invalid-argument");
  const reader = new FrameReader({ bytesMax: MESSAGE_BYTES_MAX, errorOf });
  const received: Uint8Array[] = [];
  const piece = stream.length > MESSAGE_BYTES_MAX ? stream.length : 3 * FRAME_PREFIX_BYTES;
  for (let at = 0; at < stream.length;) {
    const end = Math.min(stream.length, at + 1 + random.below(piece));
    reader.push(Buffer.from(stream.subarray(at, end)));
    at = end;
    const taken = unlessRefused(stream, () => takeAll(reader));
    if (taken === undefined) break;
    received.push(...taken);
  }
  return received;
}

function takeAll(reader: FrameReader): readonly Uint8Array[] {
  const taken: Uint8Array[] = [];
  for (let next = reader.next(); next !== undefined; next = reader.next()) {
    taken.push(Uint8Array.from(next));
  }
  return taken;
}

interface Codec {
  readonly sample: (random: Prng) => Uint8Array;
  readonly ours: (bytes: Uint8Array) => unknown;
  /** What both decoders must agree on, as text; from ours and from the generated one. */
  readonly key: (ours: never) => string;
  readonly judge: (bytes: Uint8Array) => string;
}

const codecs: readonly Codec[] = [
  {
    sample: (random) => rpc.RangeRequest.encode(range(random)).finish(),
    ours: decodeRange,
    key: (request: ReturnType<typeof decodeRange>) => `${request.key} ${request.rangeEnd}`,
    judge: (bytes) => keysOf(rpc.RangeRequest.decode(bytes)),
  },
  {
    sample: (random) =>
      rpc.PutRequest.encode(
        rpc.PutRequest.fromPartial({
          key: noise(random),
          value: noise(random, 300),
          lease: BigInt(random.below(9)),
          prevKv: random.below(2) === 0,
        }),
      ).finish(),
    ours: decodePut,
    key: ({ key, value }: ReturnType<typeof decodePut>) => `${key} ${byteStringOf(value)}`,
    judge: (bytes) => {
      const { key, value } = rpc.PutRequest.decode(bytes);
      return `${byteStringOf(key)} ${byteStringOf(value)}`;
    },
  },
  {
    sample: (random) =>
      rpc.DeleteRangeRequest.encode(
        rpc.DeleteRangeRequest.fromPartial({ key: noise(random), rangeEnd: noise(random) }),
      ).finish(),
    ours: decodeDeleteRange,
    key: (request: ReturnType<typeof decodeDeleteRange>) => `${request.key} ${request.rangeEnd}`,
    judge: (bytes) => keysOf(rpc.DeleteRangeRequest.decode(bytes)),
  },
  {
    sample: (random) => rpc.TxnRequest.encode(txn(random, 3)).finish(),
    ours: decodeTxn,
    key: ({ compare, success, failure }: ReturnType<typeof decodeTxn>) =>
      `${compare.length} ${success.length} ${failure.length}`,
    judge: (bytes) => {
      const { compare, success, failure } = rpc.TxnRequest.decode(bytes);
      return `${compare.length} ${success.length} ${failure.length}`;
    },
  },
];

function messages(random: Prng): void {
  const codec = pick(codecs, random);
  const good = codec.sample(random);
  for (const bytes of [good, mutated(good, random)]) {
    const ours = unlessRefused(bytes, () => codec.ours(bytes));
    if (ours === undefined) {
      if (bytes === good) throw new Finding("a good message was refused", bytes);
      continue;
    }
    const theirs = judged(codec, bytes);
    if (theirs !== undefined && theirs !== codec.key(ours as never)) {
      throw new Finding("the generated decoder reads another message", bytes);
    }
  }
}

/** What the generated decoder reads, unless it throws: it checks other things than ours. */
function judged(codec: Codec, bytes: Uint8Array): string | undefined {
  try {
    return codec.judge(bytes);
  } catch {
    return undefined;
  }
}

function keysOf(request: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array }): string {
  return `${byteStringOf(request.key)} ${byteStringOf(request.rangeEnd)}`;
}

function range(random: Prng): rpc.RangeRequest {
  return rpc.RangeRequest.fromPartial({
    key: noise(random),
    rangeEnd: noise(random),
    limit: BigInt(random.below(100)),
    sortOrder: rpc.RangeRequest_SortOrder.DESCEND,
    serializable: random.below(2) === 0,
  });
}

function txn(random: Prng, depth: number): rpc.TxnRequest {
  const ops = (): rpc.RequestOp[] =>
    Array.from({ length: random.below(3) }, () => ({ request: op(random, depth) }));
  const compare = { key: noise(random), target: rpc.Compare_CompareTarget.VALUE } as const;
  return rpc.TxnRequest.fromPartial({
    compare: [{ ...compare, targetUnion: { $case: "value", value: noise(random) } }],
    success: ops(),
    failure: ops(),
  });
}

function op(random: Prng, depth: number): NonNullable<rpc.RequestOp["request"]> {
  if (depth > 0 && random.below(2) === 0) {
    return { $case: "requestTxn", value: txn(random, depth - 1) };
  }
  return { $case: "requestRange", value: range(random) };
}
