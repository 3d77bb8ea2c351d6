import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import {
  type DecodedBatch,
  type ForwardMessage,
  type SnapshotStreamMessage,
  decodeBatch,
  decodeConfState,
  decodeForward,
  decodeMessages,
  decodeSnapshotMessage,
  encodeConfState,
  encodeForward,
  encodeMessages,
  encodeProposals,
  encodeSnapshotMessage,
} from "../../../src/wire/mod.ts";
import {
  confStates,
  forwardsByKind,
  messageLists,
  snapshotsByKind,
} from "../../wire/arbitrary-message.ts";
import { batches } from "../../wire/arbitrary-proposal.ts";
import { goldenHeader } from "../../wire/golden-proposals.ts";
import { mutated, pick } from "../mutate.ts";
import { Finding, type Target, unlessRefused } from "../target.ts";

interface Format {
  readonly name: string;
  /** Bytes of a value drawn by `seed`. */
  sample(seed: number): Uint8Array;
  decode(bytes: Uint8Array): unknown;
  encode(value: unknown): Uint8Array;
}

function formatOf<T>(
  name: string,
  values: fc.Arbitrary<T>,
  codec: { readonly encode: (value: T) => Uint8Array; readonly decode: (bytes: Uint8Array) => T },
): Format {
  return {
    name,
    sample: (seed) => {
      const [value] = fc.sample(values, { seed, numRuns: 1 });
      return codec.encode(value as T);
    },
    decode: codec.decode,
    encode: (value) => codec.encode(value as T),
  };
}

const batchValues = batches.map((proposals): Omit<DecodedBatch, "movesCredentials"> => ({
  header: goldenHeader,
  proposals,
}));

/** What members tell each other, and what the log holds: foreign bytes are refused, never guessed. */
export function wireTarget(): Target {
  const formats: readonly Format[] = [
    formatOf("messages", messageLists, {
      encode: encodeMessages,
      decode: (bytes) => decodeMessages(bytes),
    }),
    formatOf("conf state", confStates, { encode: encodeConfState, decode: decodeConfState }),
    formatOf("forward", oneOf<ForwardMessage>(forwardsByKind), {
      encode: encodeForward,
      decode: decodeForward,
    }),
    formatOf("snapshot", oneOf<SnapshotStreamMessage>(snapshotsByKind), {
      encode: encodeSnapshotMessage,
      decode: decodeSnapshotMessage,
    }),
    formatOf("batch", batchValues, {
      encode: ({ header, proposals }) => encodeProposals(header, proposals),
      decode: (bytes) => {
        const { header, proposals } = decodeBatch(bytes);
        return { header, proposals };
      },
    }),
  ];
  return {
    name: "wire",
    attempt(random) {
      const format = pick(formats, random);
      const good = format.sample(random.below(2 ** 31));
      const longer = Buffer.concat([good, Buffer.alloc(1 + random.below(3), random.below(256))]);
      if (unlessRefused(longer, () => format.decode(longer)) !== undefined) {
        throw new Finding(`${format.name}: taken with bytes behind its end`, longer);
      }
      const bytes = mutated(good, random);
      const value = unlessRefused(bytes, () => format.decode(bytes));
      if (value === undefined) return;
      const again = format.decode(format.encode(value));
      if (!isDeepStrictEqual(again, value)) {
        throw new Finding(`${format.name}: another value when written and read again`, bytes);
      }
    },
  };
}

function oneOf<T>(kinds: Readonly<Record<string, fc.Arbitrary<T>>>): fc.Arbitrary<T> {
  return fc.oneof(...Object.values(kinds));
}
