import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Client, connect, type tokenApi } from "../../src/client/mod.ts";
import { createAuthority, issueCertificate } from "../../src/pki/mod.ts";
import { type TestServer, ca, startServer } from "../api/harness.ts";

/** Revocations and issuers, there and back through the protocol. */

let server: TestServer;
let client: Client;

before(async () => {
  server = await startServer();
  client = connect({ endpoints: [`https://127.0.0.1:${String(server.port)}`], ca: ca.pem });
});
after(async () => {
  await client.close();
  await server[Symbol.asyncDispose]();
});

const TARGETS: readonly NonNullable<tokenApi.RevocationTarget["target"]>[] = [
  { $case: "token", value: { issuer: "https://id.example", tokenId: "t1" } },
  { $case: "subject", value: { issuer: "", subject: "user:a", issuedBefore: 1_795_000_000n } },
  { $case: "issuer", value: { issuer: "https://id.example", issuedBefore: 7n } },
  { $case: "certificate", value: "thumbprint" },
];

for (const target of TARGETS) {
  test(`a revoked ${target.$case} comes back as it was asked for`, async () => {
    const { revocation, tenant } = await client.tokenRevoke({
      target: { target },
      certificateEnds: 5n,
    });
    assert.deepEqual(revocation?.target?.target, target);
    const { id, by, created, expires } = revocation ?? {};
    assert.deepEqual([id, by, created, expires], ["id", "user:alice", 1000n, 2005n]);
    assert.equal(tenant, "");
  });
}

test("revocations are listed by pages, and taken back by id", async () => {
  const first = await client.tokenRevocations();
  assert.deepEqual([first.revocations.length, first.tenant, first.next], [1, "blue", "id"]);
  const second = await client.tokenRevocations({ after: "id" });
  assert.equal(second.revocations[0]?.target?.target?.value, "after id");
  assert.equal(second.next, "");
  const { revocation } = await client.tokenUnrevoke({ id: "x" });
  const value = { issuer: "coffer", tokenId: "x" };
  assert.deepEqual(revocation?.target?.target, { $case: "token", value });
});

test("issuers are added, listed, shown and removed", async () => {
  const added = await client.issuerAdd({ record: Buffer.from('{"a":1}'), replace: true });
  assert.deepEqual(added.issuer, {
    issuer: "https://id.example",
    record: '{"a":1}',
    isBuiltin: true,
    keys: 2n,
    failure: "down",
  });
  assert.equal((await client.issuerList()).issuers.length, 1);
  assert.equal((await client.issuerShow({ issuer: "i" })).issuer?.record, '{"issuer":"i"}');
  await client.issuerRemove({ issuer: "i" });
});

test("a key that is not the certificate's is told as that, before anything is sent", async (context) => {
  const authority = createAuthority({ commonName: "test" });
  const [one, other] = ["one", "other"].map((commonName) =>
    issueCertificate(authority, { commonName, usages: ["client"] }),
  );
  const { certificate: cert } = one ?? assert.fail();
  const { privateKey: key } = other ?? assert.fail();
  const client = connect({ endpoints: ["https://127.0.0.1:1"], cert, key });
  context.after(() => client.close());
  await assert.rejects(client.range({ key: Buffer.from("k") }), {
    code: "invalid-argument",
    message: /values mismatch\); COFFER_CERT and COFFER_KEY must belong together/,
  });
});
