import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { CofferError } from "../../src/errors.ts";
import { key, type Command, type Proposal, type TxnRequest } from "../../src/core/types/mod.ts";
import { AssertionFailure } from "../../src/stdx/mod.ts";
import {
  PROPOSALS_VERSION,
  TXN_DEPTH_MAX,
  BATCH_HEADER_BYTES,
  decodeBatch,
  encodeProposals,
  proposalBytes,
} from "../../src/wire/mod.ts";
import { batches, commandsByKind, proposalsOf } from "./arbitrary-proposal.ts";
import { goldenHeader, goldenProposals } from "./golden-proposals.ts";

const encode = (proposals: readonly Proposal[]): Uint8Array =>
  encodeProposals(goldenHeader, proposals);
const decode = (bytes: Uint8Array): readonly Proposal[] => decodeBatch(bytes).proposals;

function emptyTxn(): TxnRequest {
  return { compare: [], success: [], failure: [] };
}

function txnOfDepth(depth: number): TxnRequest {
  let txn = emptyTxn();
  for (let i = 1; i < depth; i++) {
    txn = { ...emptyTxn(), success: [{ kind: "txn", request: txn }] };
  }
  return txn;
}

function proposalOf(command: Command): Proposal {
  const [sample] = goldenProposals.values();
  assert.ok(sample !== undefined);
  return { ...sample, command };
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof CofferError, `not a CofferError: ${String(error)}`);
    return error.code;
  }
  return "none";
}

/** Decodes what may be garbage: either proposals that encode to the same bytes, or a CofferError. */
function checkGarbage(bytes: Uint8Array): void {
  let decoded: readonly Proposal[];
  try {
    decoded = decode(bytes);
  } catch (error) {
    assert.ok(error instanceof CofferError, `not a CofferError: ${String(error)}`);
    return;
  }
  assert.deepStrictEqual(decode(encode(decoded)), decoded);
}

describe("proposals", () => {
  for (const [kind, commands] of Object.entries(commandsByKind)) {
    test(`${kind} comes back as it was`, () => {
      fc.assert(
        fc.property(proposalsOf(commands as fc.Arbitrary<Command>), (proposal) => {
          assert.deepStrictEqual(decode(encode([proposal])), [proposal]);
        }),
        { numRuns: 100 },
      );
    });
  }

  test("a batch comes back as it was", () => {
    fc.assert(
      fc.property(batches, (batch) => {
        assert.deepStrictEqual(decode(encode(batch)), batch);
      }),
      { numRuns: 200 },
    );
  });

  test("equal batches have equal bytes, wherever the array lies in its buffer", () => {
    fc.assert(
      fc.property(batches, (batch) => {
        const bytes = encode(batch);
        const shifted = new Uint8Array(bytes.length + 3);
        shifted.set(bytes, 3);
        assert.deepStrictEqual(encode(decode(shifted.subarray(3))), bytes);
      }),
      { numRuns: 50 },
    );
  });

  test("a size estimate is an upper bound when texts are ASCII", () => {
    const ascii = batches.filter((batch) => !/[^\x20-\x7e]/.test(textsOf(batch)));
    fc.assert(
      fc.property(ascii, (batch) => {
        const estimate = batch.reduce(
          (sum, proposal) => sum + proposalBytes(proposal),
          8 + BATCH_HEADER_BYTES,
        );
        assert.ok(encode(batch).length <= estimate);
      }),
      { numRuns: 50 },
    );
  });

  test("decoded values are views of the bytes, not copies", () => {
    const put = goldenProposals.get("put");
    assert.ok(put !== undefined);
    const bytes = encode([put]);
    const [decoded] = decode(bytes);
    assert.ok(decoded?.command.kind === "put");
    assert.equal(decoded.command.request.value.buffer, bytes.buffer);
  });
});

describe("proposals refused by the encoder", () => {
  test("a transaction nested past the limit", () => {
    const fits = proposalOf({ kind: "txn", request: txnOfDepth(TXN_DEPTH_MAX), guards: [] });
    assert.deepStrictEqual(decode(encode([fits])), [fits]);
    const deep = proposalOf({ kind: "txn", request: txnOfDepth(TXN_DEPTH_MAX + 1), guards: [] });
    assert.equal(
      codeOf(() => encode([deep])),
      "invalid-argument",
    );
  });

  test("numbers that are no safe integers", () => {
    for (const revision of [2 ** 53, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      const proposal = proposalOf({ kind: "compact", revision });
      assert.equal(
        codeOf(() => encode([proposal])),
        "invalid-argument",
      );
    }
  });

  test("a key that is no byte string, and a text without UTF-8", () => {
    const request = { key: key("\u0100"), rangeEnd: key(""), prevKv: false };
    const wide = proposalOf({ kind: "delete-range", request });
    assert.equal(
      codeOf(() => encode([wide])),
      "invalid-argument",
    );
    const actor = { issuer: "", subject: "user:\ud800", requestId: "" };
    const torn = { ...proposalOf({ kind: "compact", revision: 1 }), actor };
    assert.equal(
      codeOf(() => encode([torn])),
      "invalid-argument",
    );
  });

  test("a compare on a value that the edge did not decide is a bug", () => {
    const compare = {
      target: "value",
      operand: Buffer.from("plaintext"),
      key: key("a"),
      rangeEnd: key(""),
      result: "equal",
    } as const;
    const request = { ...emptyTxn(), compare: [compare] };
    const proposal = proposalOf({ kind: "txn", request, guards: [] });
    assert.throws(() => encode([proposal]), AssertionFailure);
  });
});

describe("proposals refused by the decoder", () => {
  test("another format version, naming both", () => {
    const bytes = encode([...goldenProposals.values()]);
    bytes[0] = PROPOSALS_VERSION + 1;
    assert.throws(
      () => decode(bytes),
      (error: unknown) =>
        error instanceof CofferError &&
        error.code === "unimplemented" &&
        error.message.includes("format version 4") &&
        error.message.includes("reads version 2 to 3") &&
        error.message.includes("coffer dev --reset"),
    );
  });

  test("every truncation of every golden batch", () => {
    for (const proposal of goldenProposals.values()) {
      const bytes = encode([proposal, proposal]);
      for (let end = 0; end < bytes.length; end++) {
        assert.equal(
          codeOf(() => decode(bytes.subarray(0, end))),
          "corrupt",
        );
      }
    }
  });

  test("bytes after the end", () => {
    const bytes = encode([...goldenProposals.values()]);
    assert.equal(
      codeOf(() => decode(Buffer.concat([bytes, Buffer.of(0)]))),
      "corrupt",
    );
  });

  test("a huge count or length does not allocate", () => {
    const header = encode([]).subarray(0, BATCH_HEADER_BYTES);
    const huge = Buffer.concat([header, Buffer.from("ffffffffffffff0f", "hex")]);
    assert.equal(
      codeOf(() => decode(huge)),
      "corrupt",
    );
  });

  test("transactions nested past the limit, however deep", () => {
    const flat = proposalOf({ kind: "txn", request: emptyTxn(), guards: [] });
    const bytes = encode([flat]);
    // Without compares, successes, failures and guards, each a count of 0.
    const head = Buffer.from(bytes.subarray(0, bytes.length - 4));
    const nested = (depth: number): Buffer => {
      const down = Buffer.alloc((depth - 1) * 3);
      for (let at = 0; at < down.length; at += 3) down.set([0, 1, 3], at);
      return Buffer.concat([head, down, Buffer.alloc(3 + depth - 1), Buffer.of(0)]);
    };
    const deepest = proposalOf({ kind: "txn", request: txnOfDepth(TXN_DEPTH_MAX), guards: [] });
    assert.deepStrictEqual(decode(nested(TXN_DEPTH_MAX)), [deepest]);
    for (const depth of [TXN_DEPTH_MAX + 1, 1_000_000]) {
      assert.equal(
        codeOf(() => decode(nested(depth))),
        "corrupt",
      );
    }
  });

  test("a message never holds bytes of the batch", () => {
    const put = goldenProposals.get("put");
    assert.ok(put?.command.kind === "put");
    const secret = put.command.request.value;
    const bytes = encode([put]);
    for (let end = 0; end < bytes.length; end++) {
      try {
        decode(bytes.subarray(0, end));
      } catch (error) {
        assert.ok(!String(error).includes(Buffer.from(secret).toString("latin1")));
      }
    }
  });

  test("mutated bytes give a CofferError or proposals, never anything else", () => {
    const mutation = fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(batches, fc.array(mutation, { minLength: 1, maxLength: 4 }), (batch, changes) => {
        const bytes = Uint8Array.from(encode(batch));
        for (const { at, to } of changes) bytes[at % bytes.length] = to;
        checkGarbage(bytes);
      }),
      { numRuns: 2_000 },
    );
  });

  test("random bytes behind a good version byte", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (tail) => {
        checkGarbage(Uint8Array.from([...encode([]).subarray(0, BATCH_HEADER_BYTES), ...tail]));
      }),
      { numRuns: 5_000 },
    );
  });
});

function textsOf(batch: readonly Proposal[]): string {
  let all = "";
  for (const { actor, command } of batch) {
    all += actor.issuer + actor.subject + actor.requestId;
    if (command.kind === "tenant-create") all += command.name;
    if (command.kind === "tenant-update") all += command.name ?? "";
    if (command.kind === "tenant-create") all += command.records.map(({ id }) => id).join("");
    if (command.kind === "records") all += command.changes.map(({ id }) => id).join("");
    if (command.kind === "member-update") all += command.peerUrls.join("");
    if (command.kind === "member" || command.kind === "member-add") {
      const { name, peerUrls, clientUrls } = command.member;
      all += [name, ...peerUrls, ...clientUrls].join("");
    }
  }
  return all;
}
