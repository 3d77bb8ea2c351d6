import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { newKeyPair } from "../../src/key-pair/mod.ts";
import { savePem } from "../../src/pki/mod.ts";
import { encodeAltNames } from "../../src/pki/alt-name.ts";
import { boolean, sequence } from "../../src/pki/der.ts";
import { OID } from "../../src/pki/oids.ts";
import { type World, bytes, failure, startWorld } from "../edge/world.ts";
import { type RequestParts, requestOf } from "../pki/signing-request.ts";
import { MAIN } from "./member-process.ts";

/** `coffer pki sign`, by the authority whose client certificates a member takes. */

let world: World;

before(async () => {
  world = await startWorld();
  savePem(join(world.folder, "ours.crt"), world.authority.certificate);
  const key = world.authority.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  savePem(join(world.folder, "ours.key"), key);
});

after(() => world[Symbol.asyncDispose]());

function sign(
  parts: RequestParts,
  options: readonly string[] = [],
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  writeFileSync(join(world.folder, "web.csr"), requestOf(parts));
  const args = ["pki", "sign", "web.csr", "--cn", "web", "--authority", "ours.crt", ...options];
  return spawnSync(process.execPath, [MAIN, ...args], { cwd: world.folder, encoding: "utf8" });
}

test("who asked acts by the name, and in the tenant, that were granted", async () => {
  const keys = newKeyPair("p-256");
  const { status, stdout, stderr } = sign({ keys }, ["--tenants", "default"]);
  assert.deepEqual([status, stderr], [0, ""]);
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  const web = world.connect({ cert: stdout, key });
  const request = { key: bytes("/web/a"), value: bytes("1") };
  await failure(web.put(request), "permission-denied");
  await world.grant(["p", "cert:web", "/web/*", "write", "allow"]);
  await web.put(request);
  const record = world.audit().findLast(({ action }) => action === "put");
  assert.equal(record?.actor.subject, "cert:web");
});

const ASKING: readonly (readonly [string, RequestParts, RegExp])[] = [
  [
    "to be an authority",
    { extensions: [{ id: OID.basicConstraints, critical: true, value: sequence(boolean(true)) }] },
    /^Error: the signing request asks to be an authority /m,
  ],
  [
    "for a foreign name",
    {
      extensions: [
        {
          id: OID.subjectAltName,
          critical: false,
          value: encodeAltNames({ dns: ["web.example.com", "evil.example"], ips: [] }),
        },
      ],
    },
    /^Error: the signing request asks for the name "evil\.example", not granted$/m,
  ],
];

for (const [what, parts, expected] of ASKING) {
  test(`refusal 41: a request asking ${what}`, () => {
    const { status, stdout, stderr } = sign(parts, ["--dns", "web.example.com"]);
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, expected);
  });
}
