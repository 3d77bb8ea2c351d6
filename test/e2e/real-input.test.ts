import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { buffer, text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { createAuthority, issueCertificate } from "../../src/pki/mod.ts";
import { Etcdctl } from "./etcdctl.ts";
import { MAIN, MemberFolder, type MemberProcess } from "./member-process.ts";

/** What people keep in such a store comes back to the byte, whichever client put and gets it. */

let folder: MemberFolder;
let member: MemberProcess;

before(async () => {
  folder = await MemberFolder.make();
  member = await folder.start();
});

after(async () => {
  await member.stop();
  folder[Symbol.dispose]();
});

/** Keys and indentation as kubectl writes them; `data` is base64, `stringData` is as it is. */
const manifest = `apiVersion: v1
kind: Secret
metadata:
  name: database
  namespace: shop
  labels:
    app.kubernetes.io/part-of: "shop"
type: Opaque
data:
  username: ${Buffer.from("shop").toString("base64")}
  password: ${Buffer.from("not-a-real-p4ssw0rd \"'\\\n").toString("base64")}
stringData:
  config.yaml: |
    url: "postgres://db.shop.svc:5432/shop?sslmode=verify-full"
    grüße: ☃
`;

function chainWithKey(): string {
  const authority = createAuthority({ commonName: "shop authority" });
  const leaf = issueCertificate(authority, {
    commonName: "shop.example.org",
    usages: ["server"],
    dns: ["shop.example.org", "*.shop.example.org"],
  });
  return `${leaf.certificate}${authority.certificate}${leaf.privateKey}`;
}

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

const inputs: Readonly<Record<string, Buffer>> = {
  "a Secret manifest": Buffer.from(manifest),
  "the same with Windows line ends and a byte order mark": Buffer.from(
    `\uFEFF${manifest.replaceAll("\n", "\r\n")}`,
  ),
  "a PEM chain with its key": Buffer.from(chainWithKey()),
  "every byte": everyByte,
  "every byte, backwards and without a line end": Buffer.from(everyByte.toReversed()),
  "nothing but line ends": Buffer.from("\n\n\r\n"),
};

/** A client's way to put a value from standard input, and to get its bytes. */
interface Tool {
  put(key: string, value: Buffer): Promise<void>;
  get(key: string): Promise<Buffer>;
}

function etcdctl(): Tool {
  return {
    put: async (key, value) => {
      using tool = new Etcdctl(folder);
      assert.equal((await tool.bytes(["put", key], value)).toString(), "OK\n");
    },
    get: async (key) => {
      using tool = new Etcdctl(folder);
      return withoutLineEnd(await tool.bytes(["get", key, "--print-value-only"]));
    },
  };
}

const coffer: Tool = {
  put: async (key, value) => {
    assert.equal((await runCoffer(["put", key], value)).toString(), "OK\n");
  },
  get: async (key) => {
    const printed = await runCoffer(["get", key, "--print-value-only"]);
    const raw = await runCoffer(["get", "--raw", key]);
    assert.deepEqual(withoutLineEnd(printed), raw);
    return raw;
  },
};

/** Both commands end the value that they print with one line feed of their own. */
function withoutLineEnd(printed: Buffer): Buffer {
  assert.equal(printed.at(-1), 0x0a);
  return printed.subarray(0, -1);
}

for (const [title, value] of Object.entries(inputs)) {
  test(`byte for byte: ${title}`, async () => {
    const tools = { etcdctl: etcdctl(), coffer };
    for (const [writer, from] of Object.entries(tools)) {
      const key = `/${writer}/${title}`;
      await from.put(key, value);
      for (const [reader, to] of Object.entries(tools)) {
        const got = await to.get(key);
        assert.ok(got.equals(value), `put by ${writer}, got by ${reader}`);
      }
    }
  });
}

async function runCoffer(
  args: readonly string[],
  stdin: Uint8Array = new Uint8Array(),
): Promise<Buffer> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: folder.environment() });
  child.stdin.on("error", () => undefined); // It may end before it reads.
  child.stdin.end(stdin);
  const [out, complaint, [code]] = await Promise.all([
    buffer(child.stdout),
    text(child.stderr),
    once(child, "close") as Promise<[number | null]>,
  ]);
  assert.equal(code, 0, complaint);
  return out;
}
