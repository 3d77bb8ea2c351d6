import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createRootKeyFile, keyFileProvider } from "../../src/seal/mod.ts";
import { createFolder, utf8 } from "./cluster-fixture.ts";
import { refused } from "./refused.ts";

let folder: string;
before(() => void (folder = createFolder()));
after(() => fs.rmSync(folder, { recursive: true }));

const KEY = new Uint8Array(32).fill(7);
const CONTEXT = utf8("context");

/** Wraps with the file at `path`; the file's checks are the same for unwrap. */
function wrapWith(path: string): unknown {
  return keyFileProvider({ path }).wrap(KEY, CONTEXT);
}

function fresh(name: string): string {
  const path = join(folder, name);
  createRootKeyFile(path);
  return path;
}

test("a new key file has mode 0600 and names its id, and wraps and unwraps", () => {
  const path = join(folder, "new.key");
  const id = createRootKeyFile(path);
  assert.equal(fs.statSync(path).mode & 0o7777, 0o600);
  assert.match(
    fs.readFileSync(path, "utf8"),
    new RegExp(`^coffer-root-key-v1 ${id} [0-9a-f]{64}\n$`),
  );
  const provider = keyFileProvider({ path });
  const box = provider.wrap(KEY, CONTEXT);
  assert.ok(!(box instanceof Promise));
  assert.equal(box.keyId, `key-file:${id}`);
  assert.deepEqual(Uint8Array.from(provider.unwrap(box, CONTEXT) as Uint8Array), KEY);
  refused(
    () => provider.unwrap(box, utf8("contexts")),
    "sealed",
    /altered or is of another cluster/,
  );
});

test("an existing file is kept, whatever it holds", () => {
  const path = join(folder, "kept.key");
  fs.writeFileSync(path, "precious");
  refused(() => createRootKeyFile(path), "already-exists", /kept\.key' is kept as it is/);
  assert.equal(fs.readFileSync(path, "utf8"), "precious");
  assert.deepEqual(
    fs.readdirSync(folder).filter((name) => name.endsWith(".new")),
    [],
  );
});

test("a folder that is not there is named", () => {
  refused(() => createRootKeyFile(join(folder, "no/such.key")), "invalid-argument", /ENOENT/);
  refused(() => wrapWith(join(folder, "none.key")), "sealed", /none\.key' cannot be read: ENOENT/);
});

test("a key file wider than 0600 is refused, and the chmod named", () => {
  const path = fresh("wide.key");
  for (const mode of [0o640, 0o604, 0o660, 0o644, 0o700, 0o610, 0o4600]) {
    fs.chmodSync(path, mode);
    refused(() => wrapWith(path), "sealed", /wider than 0600; run: chmod 600 '.*wide\.key'/);
  }
  for (const mode of [0o600, 0o400]) {
    fs.chmodSync(path, mode);
    wrapWith(path);
  }
});

test("of a symlink the target's mode counts", () => {
  const path = fresh("target.key");
  const link = join(folder, "link.key");
  fs.symlinkSync(path, link);
  wrapWith(link);
  fs.chmodSync(path, 0o644);
  refused(() => wrapWith(link), "sealed", /mode 0644, wider than 0600/);
});

test("an empty, short, long, folder or malformed file is refused", () => {
  const path = fresh("form.key");
  const text = fs.readFileSync(path, "utf8");
  const cases: readonly (readonly [string, RegExp])[] = [
    ["", /is empty/],
    [text.slice(0, -2), /wrong length/],
    [`${text}\n`, /wrong length/],
    [`${text.trimEnd()}x\n`, /wrong length/],
    [text.replace("v1", "v2"), /not of the form/],
    [text.toUpperCase(), /not of the form/],
    [text.replaceAll(" ", ":"), /not of the form/],
    [`${text.slice(0, -2)}g\n`, /not of the form/],
  ];
  for (const [content, message] of cases) {
    fs.writeFileSync(path, content);
    refused(() => wrapWith(path), "sealed", message);
  }
  fs.writeFileSync(path, text.trimEnd());
  wrapWith(path);
  refused(() => wrapWith(folder), "sealed", /not a regular file/);
});

test("a mistyped digit shows, as the id is the key's, and no error shows the key", () => {
  const path = fresh("typo.key");
  const text = fs.readFileSync(path, "latin1");
  const at = text.length - 2;
  const typo = text.slice(0, at) + (text[at] === "0" ? "1" : "0") + "\n";
  fs.writeFileSync(path, typo);
  try {
    wrapWith(path);
    assert.fail("accepted");
  } catch (error) {
    assert.match(String(error), /names an id that is not its key's/);
    assert.equal(String(error).includes(text.slice(-65, -10)), false);
  }
});
