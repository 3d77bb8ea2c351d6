import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CLUSTER_SCOPE, type RecordChange, tenantId } from "../../src/core/types/mod.ts";
import {
  createRevocationIndex,
  planRevocation,
  type RevocationIndex,
  type RevocationOrder,
  type RevocationQuestion,
  type RevocationTarget,
} from "../../src/identity/mod.ts";
import { failure, NOW, NOW_MS } from "./fixtures.ts";

const ALICE: RevocationQuestion = {
  issuer: "i",
  tokenId: "t1",
  subject: "user:alice",
  issuedAt: NOW - 10,
};
const BLUE = tenantId("22222222-2222-4222-8222-222222222222");
const THUMBPRINT = "A".repeat(43);

function orderOf(
  target: RevocationTarget,
  changes: Partial<RevocationOrder> = {},
): RevocationOrder {
  const rest = { maxAgeSeconds: 3600, certificateEnds: undefined, recordsMax: 100 };
  return { target, by: "user:admin", now: NOW_MS, ...rest, ...changes };
}

function index(): RevocationIndex {
  return createRevocationIndex((id) => assert.fail(`record ${id} could not be read`));
}

function apply(to: RevocationIndex, changes: readonly RecordChange[], scope = CLUSTER_SCOPE): void {
  for (const { id, data } of changes) to.set(scope, id, data);
}

function revoke(to: RevocationIndex, target: RevocationTarget, scope = CLUSTER_SCOPE): string {
  const { revoked, changes } = planRevocation(orderOf(target), to.known(scope));
  apply(to, changes, scope);
  return revoked.id;
}

const subject = (issuer: string, issuedBefore: number): RevocationTarget => {
  return { kind: "subject", issuer, subject: "user:alice", issuedBefore };
};

const CASES: readonly (readonly [RevocationTarget, Partial<RevocationQuestion>, boolean])[] = [
  [{ kind: "token", issuer: "i", tokenId: "t1" }, {}, true],
  [{ kind: "token", issuer: "i", tokenId: "t1" }, { issuedAt: NOW + 999 }, true],
  [{ kind: "token", issuer: "i", tokenId: "t1" }, { tokenId: "T1" }, false],
  [{ kind: "token", issuer: "i", tokenId: "t1" }, { tokenId: undefined }, false],
  [{ kind: "token", issuer: "i", tokenId: "t1" }, { issuer: "i/" }, false],
  [subject("i", NOW), {}, true],
  [subject("i", NOW), { issuedAt: NOW }, true],
  // RFC 7519 §2: a time may have a fraction, and the second of the revocation is not over.
  [subject("i", NOW), { issuedAt: NOW + 0.9 }, true],
  [subject("i", NOW), { issuedAt: NOW + 1 }, false],
  [subject("i", NOW), { issuedAt: undefined }, true],
  [subject("i", NOW), { subject: "user:alic" }, false],
  [subject("i", NOW), { issuer: "j" }, false],
  [subject("", NOW), { issuer: "j" }, true],
  [subject("", NOW), { issuer: "certificate", tokenId: undefined }, true],
  [{ kind: "issuer", issuer: "i", issuedBefore: NOW }, { subject: "sa:x/y" }, true],
  [{ kind: "issuer", issuer: "i", issuedBefore: NOW }, { issuedAt: NOW + 1 }, false],
  [{ kind: "issuer", issuer: "i", issuedBefore: NOW }, { issuer: "j" }, false],
];
for (const [target, changes, expected] of CASES) {
  test(`revoked ${JSON.stringify(target)}: ${JSON.stringify(changes)} is ${expected}`, () => {
    const known = index();
    assert.equal(known.isRevoked(ALICE), false);
    const id = revoke(known, target);
    assert.equal(known.isRevoked({ ...ALICE, ...changes }), expected);
    known.set(CLUSTER_SCOPE, id, undefined);
    assert.equal(known.isRevoked({ ...ALICE, ...changes }), false, "taken back");
  });
}

test("a tenant's revocations hold in that tenant, a certificate's for its thumbprint", () => {
  const known = index();
  revoke(known, subject("", NOW), BLUE);
  revoke(known, { kind: "certificate", thumbprint: THUMBPRINT }, BLUE);
  assert.equal(known.isRevoked(ALICE), false);
  assert.equal(known.isRevokedIn(BLUE, ALICE), true);
  assert.equal(known.isCertificateRevoked(BLUE, THUMBPRINT), true);
  assert.equal(known.isCertificateRevoked(CLUSTER_SCOPE, THUMBPRINT), false);
  known.drop(BLUE);
  assert.equal(known.isRevokedIn(BLUE, ALICE), false);
  assert.deepEqual([...known.scopes], [CLUSTER_SCOPE]);
});

test("revoking again adds nothing, and a later time takes the place of an earlier one", () => {
  const known = index();
  const first = revoke(known, subject("i", NOW - 100));
  assert.equal(revoke(known, subject("i", NOW - 100)), first);
  revoke(known, subject("i", NOW));
  assert.equal([...known.known(CLUSTER_SCOPE)].length, 1);
  // An earlier one beside it must not move the time back.
  revoke(known, subject("i", NOW - 50));
  assert.equal(known.isRevoked({ ...ALICE, issuedAt: NOW }), true);
  revoke(known, { kind: "token", issuer: "i", tokenId: "other" });
  revoke(known, { kind: "issuer", issuer: "i", issuedBefore: NOW });
  const kinds = [...known.known(CLUSTER_SCOPE)].map(({ target }) => target.kind).toSorted();
  assert.deepEqual(kinds, ["issuer", "token"]);
});

test("a record goes with the first proposal after its end, and not before", () => {
  const known = index();
  revoke(known, { kind: "token", issuer: "i", tokenId: "old" });
  const [{ expires } = { expires: 0 }] = known.known(CLUSTER_SCOPE);
  // A token issued now may live for the issuer's hour, by a clock that is a little off.
  assert.ok(expires > NOW_MS + 3_600_000 && expires < NOW_MS + 3_800_000, String(expires));
  const next: RevocationTarget = { kind: "token", issuer: "i", tokenId: "new" };
  const at = (now: number) => planRevocation(orderOf(next, { now }), known.known(CLUSTER_SCOPE));
  assert.equal(at(expires - 1).changes.length, 1);
  const { changes } = at(expires);
  apply(known, changes);
  const left = [...known.known(CLUSTER_SCOPE)].map(({ target }) => target);
  assert.deepEqual(left, [next]);
});

test("how long a record is kept", () => {
  const until = (target: RevocationTarget, changes: Partial<RevocationOrder> = {}): number =>
    planRevocation(orderOf(target, changes), []).revoked.expires - NOW_MS;
  const day = 86_400_000;
  const unknownAge = { maxAgeSeconds: undefined };
  assert.ok(until({ kind: "token", issuer: "x", tokenId: "t" }, unknownAge) > 365 * day);
  assert.ok(until({ kind: "issuer", issuer: "i", issuedBefore: NOW - 7200 }) < 0);
  const certificate = { kind: "certificate", thumbprint: THUMBPRINT } as const;
  assert.equal(until(certificate, { certificateEnds: NOW_MS + day }), day);
  assert.equal(until(subject("", NOW), { certificateEnds: 1 }), until(subject("", NOW)));
  assert.ok(until(certificate) > 3650 * day);
  // Certificates are among what a subject of any issuer holds.
  assert.ok(
    until({ kind: "subject", issuer: "", subject: "cert:a", issuedBefore: NOW }) > 3650 * day,
  );
});

test("a full scope says the way out, and takes what makes room", () => {
  const known = index();
  for (let i = 0; i < 3; i++) revoke(known, { kind: "token", issuer: "i", tokenId: `t${i}` });
  revoke(known, subject("i", NOW - 5));
  const full = (target: RevocationTarget) =>
    planRevocation(orderOf(target, { recordsMax: 4 }), known.known(CLUSTER_SCOPE));
  assert.throws(() => full({ kind: "token", issuer: "i", tokenId: "t9" }), {
    code: "quota-exceeded",
    message:
      /revocations: 4; revoke many tokens at once by subject or by issuer and --issued-before/,
  });
  full({ kind: "token", issuer: "i", tokenId: "t1" });
  full(subject("i", NOW));
});

const BAD: readonly (readonly [RevocationTarget, RegExp])[] = [
  [{ kind: "token", issuer: "", tokenId: "t" }, /its jti and its issuer/],
  [{ kind: "token", issuer: "i", tokenId: "" }, /jti/],
  [{ kind: "token", issuer: "i", tokenId: "x".repeat(257) }, /256/],
  [{ kind: "token", issuer: "i\n", tokenId: "t" }, /issuer must be a printable/],
  [{ kind: "subject", issuer: "", subject: "alice", issuedBefore: NOW }, /user:NAME/],
  [{ kind: "subject", issuer: "", subject: "user:", issuedBefore: NOW }, /user:NAME/],
  [{ kind: "subject", issuer: "", subject: "user:a\u202e", issuedBefore: NOW }, /printable/],
  [{ kind: "issuer", issuer: "", issuedBefore: NOW }, /name the issuer/],
  [{ kind: "issuer", issuer: "i", issuedBefore: NOW + 120 }, /in the future/],
  [{ kind: "issuer", issuer: "i", issuedBefore: 1.5 }, /whole seconds/],
  [{ kind: "issuer", issuer: "i", issuedBefore: -1 }, /whole seconds/],
  [{ kind: "certificate", thumbprint: "AA:BB" }, /43 characters/],
];
for (const [target, message] of BAD) {
  test(`refused: ${JSON.stringify(target).slice(0, 80)}`, async () => {
    const error = await failure(() => planRevocation(orderOf(target), []), "invalid-argument");
    assert.match(error.message, message);
  });
}

test("a record of a newer version is told of, and revokes nothing", () => {
  const unread: string[] = [];
  const known = createRevocationIndex((id) => void unread.push(id));
  const newer = { version: 2, target: {}, by: "a", created: 1, expires: 2 };
  for (const [id, text] of [
    ["v2", JSON.stringify(newer)],
    ["text", "no JSON"],
    ["kind", JSON.stringify({ ...newer, version: 1, target: { kind: "all" } })],
  ] as const) {
    known.set(CLUSTER_SCOPE, id, Buffer.from(text));
  }
  assert.deepEqual(unread, ["v2", "text", "kind"]);
  assert.deepEqual([...known.known(CLUSTER_SCOPE)], []);
});

const targets: fc.Arbitrary<RevocationTarget> = fc.oneof(
  fc.record({
    kind: fc.constant("token" as const),
    issuer: fc.constantFrom("i", "j"),
    tokenId: fc.constantFrom("a", "b"),
  }),
  fc.record({
    kind: fc.constant("subject" as const),
    issuer: fc.constantFrom("", "i", "j"),
    subject: fc.constantFrom("user:a", "sa:b/c"),
    issuedBefore: fc.integer({ min: NOW - 3, max: NOW }),
  }),
  fc.record({
    kind: fc.constant("issuer" as const),
    issuer: fc.constantFrom("i", "j"),
    issuedBefore: fc.integer({ min: NOW - 3, max: NOW }),
  }),
);
const questions: fc.Arbitrary<RevocationQuestion> = fc.record({
  issuer: fc.constantFrom("i", "j"),
  tokenId: fc.constantFrom("a", "b", undefined),
  subject: fc.constantFrom("user:a", "sa:b/c"),
  issuedAt: fc.integer({ min: NOW - 4, max: NOW + 1 }),
});

/** What the words of the documentation say, one target at a time. */
function names(target: RevocationTarget, asked: RevocationQuestion): boolean {
  if (target.kind === "certificate") return false;
  const ofIssuer = target.issuer === asked.issuer || target.issuer === "";
  if (target.kind === "token") return ofIssuer && target.tokenId === asked.tokenId;
  const isEarly = (asked.issuedAt ?? 0) <= target.issuedBefore;
  if (target.kind === "issuer") return ofIssuer && isEarly;
  return ofIssuer && isEarly && target.subject === asked.subject;
}

test("revoked is what any one revocation names, whatever took whose place, read in slices or not", () => {
  fc.assert(
    fc.property(fc.array(targets, { maxLength: 12 }), fc.array(questions), (wanted, asked) => {
      const known = index();
      const stored = new Map<string, Uint8Array>();
      for (const target of wanted) {
        const { changes } = planRevocation(orderOf(target), known.known(CLUSTER_SCOPE));
        apply(known, changes);
        for (const { id, data } of changes) {
          if (data === undefined) stored.delete(id);
          else stored.set(id, data);
        }
      }
      const read = index();
      const records = [...stored].map(([id, data]) => ({ id, data }));
      for (const _ of read.replace(CLUSTER_SCOPE, records)) continue;
      for (const question of asked) {
        const expected = wanted.some((target) => names(target, question));
        assert.equal(known.isRevoked(question), expected);
        assert.equal(read.isRevoked(question), expected);
      }
    }),
  );
});
