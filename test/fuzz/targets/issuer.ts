import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { parseKeySet } from "../../../src/identity/key-set.ts";
import { createKeyLoader } from "../../../src/identity/key-source.ts";
import {
  checkIssuerRecord,
  encodeIssuerRecord,
  parseIssuerRecord,
} from "../../../src/identity/mod.ts";
import { JsonRefused } from "../../../src/identity/strict-json.ts";
import type { Prng } from "../../../src/stdx/mod.ts";
import { bench, keysFor, recordOf, sign } from "../../identity/fixtures.ts";
import { type Json, mutated, mutatedJson, mutatedText, pick } from "../mutate.ts";
import { Finding, type Target, unlessRefused, unlessRefusedLater } from "../target.ts";

const GOOD = keysFor("ES256");
const KEY_ID = GOOD.jwk["kid"] ?? "";
const KEYS: readonly Json[] = [
  GOOD.jwk,
  keysFor("RS256").jwk,
  keysFor("EdDSA").jwk,
  { kty: "oct", k: "AAAA", kid: "shared" },
  { ...keysFor("EdDSA", "leaked").jwk, d: "AAAA" },
];
const WORDS: readonly string[] = [
  '"kty":"oct",',
  '"k":"AAAA",',
  '"d":"AAAA",',
  '"kid":"ES256-main",',
  '"use":"enc",',
  '"keys":[],',
  '"__proto__":{},',
  '"audience":[""],',
  '"algorithms":["none"],',
  '"algorithms":["HS256"],',
  '"any":true,',
  "{",
  "}",
  "[",
  "]",
  ",",
  '"',
  "1e999",
  "\\u0061",
];

const url = "https://issuer.example/jwks";
const account = { namespace: "apps", name: "web", uid: "0c9d" };
const RECORDS: readonly Json[] = [
  {},
  { keys: { kind: "url", url } },
  { keys: { kind: "discovery" }, audience: ["a", "b"] },
  { keys: { kind: "file", path: "/x" } },
  { subject: { kind: "kubernetes", accounts: [account] } },
  { subject: { kind: "own", claim: "sub" }, tenants: { kind: "claim", claim: "t", any: true } },
  { boundClaims: { ref: { glob: "refs/*" }, ok: true, n: 7 } },
].map((changes) => JSON.parse(JSON.stringify(recordOf(changes))) as Json);
const FIELDS: ReadonlySet<string> = new Set(Object.keys(recordOf()));
const ASYMMETRIC = /^(?:(?:ES|PS|RS)(?:256|384|512)|EdDSA|Ed25519)$/;

interface JsonWebKey {
  readonly kid?: unknown;
  readonly kty?: unknown;
  readonly d?: unknown;
  readonly k?: unknown;
}

/** What the document server answers now. */
interface Documents {
  discovery: Buffer;
  keys: Buffer;
  answer: (response: ServerResponse, body: Buffer) => void;
}

/**
 * Records of issuers as operators write them, and what the issuers' servers answer: key sets and the
 * documents that name them. None lets a stranger's key in or switches a check off.
 */
export async function issuerTarget(): Promise<Target> {
  // Under the good key's id: another would be waited for, since issuers add keys.
  const stranger = await sign({}, { kid: KEY_ID }, keysFor("ES256", "stranger"));
  const good = await sign();
  const documents: Documents = { discovery: Buffer.alloc(0), keys: Buffer.alloc(0), answer: plain };
  const server = await serve(documents);
  const origin = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const load = createKeyLoader({ allowLoopbackHttp: true, fetchMsMax: 2000 });

  const keySet = async (random: Prng): Promise<void> => {
    const bytes = keySetOf(random);
    const isKnown = parsedKeys(bytes)?.has(KEY_ID) ?? false;
    const b = bench([recordOf({ keys: { kind: "url", url } })], {
      loadKeys: () => Promise.resolve(bytes),
    });
    try {
      const enter = (token: string): Promise<unknown> =>
        unlessRefusedLater(bytes, () => b.authenticate(token));
      if ((await enter(stranger)) !== undefined) {
        throw new Finding("a key that the set does not hold was taken", bytes);
      }
      if (!isKnown) return;
      if ((await enter(good)) !== undefined && !bytes.includes(GOOD.jwk["x"] ?? "?")) {
        throw new Finding("a key was taken that is not in the set", bytes);
      }
    } finally {
      b.identity.close();
    }
  };

  const discovery = async (random: Prng): Promise<void> => {
    const elsewhere = pick(["/keys", "/keys?x", "/moved"], random);
    const document = { issuer: origin, jwks_uri: `${origin}${elsewhere}`, other: ["x"] };
    const texts = [JSON.stringify(document), mutatedJson(document, random)];
    documents.discovery = changed(pick(texts, random), random);
    documents.keys = Buffer.from(JSON.stringify({ keys: KEYS }));
    documents.answer = pick([plain, plain, plain, cutShort, tooLong, moved], random);
    let bytes: Uint8Array;
    try {
      bytes = await load({ kind: "discovery", issuer: origin });
    } catch (error) {
      // Refused for a reason; anything of the language itself is a fault of ours.
      if (error instanceof TypeError || error instanceof RangeError) {
        throw new Finding(`threw ${String(error)}`, documents.discovery, error);
      }
      return;
    }
    if (!documents.keys.equals(bytes)) {
      throw new Finding("what was loaded is not what the server has", documents.discovery);
    }
    const told = JSON.parse(documents.discovery.toString()) as { readonly issuer: unknown };
    if (told.issuer !== origin) {
      throw new Finding("the document of another issuer was taken", documents.discovery);
    }
  };

  return {
    name: "issuer",
    attempt: (random) => pick([record, record, keySet, discovery], random)(random),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function record(random: Prng): void {
  const bytes = changed(mutatedJson(pick(RECORDS, random), random), random);
  const parsed = unlessRefused(bytes, () => parseIssuerRecord(bytes));
  unlessRefused(bytes, () => checkIssuerRecord(bytes));
  if (parsed === undefined) return;
  if (!isDeepStrictEqual(parseIssuerRecord(encodeIssuerRecord(parsed)), parsed)) {
    throw new Finding("another record when it is written and read again", bytes);
  }
  const given = JSON.parse(bytes.toString()) as object;
  if (!Object.keys(given).every((name) => FIELDS.has(name))) {
    throw new Finding("an unknown field was taken", bytes);
  }
  const { algorithms, audience, maxAgeSeconds, clockToleranceSeconds } = parsed;
  const isBounded = maxAgeSeconds <= 366 * 86_400 && clockToleranceSeconds <= 30;
  if (!isBounded || algorithms.length === 0 || !algorithms.every((name) => ASYMMETRIC.test(name))) {
    throw new Finding("a check was switched off", bytes);
  }
  if (audience.length === 0 || audience.includes("")) throw new Finding("no audience", bytes);
}

function keySetOf(random: Prng): Buffer {
  const set = { keys: [pick(KEYS, random), pick(KEYS, random)] };
  return changed(random.below(4) === 0 ? JSON.stringify(set) : mutatedJson(set, random), random);
}

function parsedKeys(bytes: Buffer): ReadonlySet<string> | undefined {
  try {
    const { keys, keyIds } = parseKeySet(bytes);
    if (keys === 0 || keys > 50 || keyIds.size > keys) throw new Finding("an odd key set", bytes);
    const given = JSON.parse(bytes.toString()) as { readonly keys: readonly JsonWebKey[] };
    const own = given.keys.filter(({ kid }) => typeof kid === "string" && keyIds.has(kid));
    if (own.some(({ kty, d, k }) => kty === "oct" || d !== undefined || k !== undefined)) {
      throw new Finding("a key that others know was taken", bytes);
    }
    return keyIds;
  } catch (error) {
    if (error instanceof Finding) throw error;
    if (error instanceof JsonRefused) return undefined;
    throw new Finding(`threw ${String(error)}`, bytes, error);
  }
}

/** Mostly as it is, at times no good JSON or UTF-8. */
function changed(text: string, random: Prng): Buffer {
  switch (random.below(4)) {
    case 0:
      return Buffer.from(mutatedText(text, random, WORDS));
    case 1:
      return Buffer.from(mutated(Buffer.from(text), random));
    default:
      return Buffer.from(text);
  }
}

async function serve(documents: Documents): Promise<Server> {
  const server = createServer((request, response) => {
    const isDiscovery = request.url?.startsWith("/.well-known/") ?? false;
    documents.answer(response, isDiscovery ? documents.discovery : documents.keys);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function plain(response: ServerResponse, body: Buffer): void {
  response.end(body);
}

function cutShort(response: ServerResponse, body: Buffer): void {
  response.writeHead(200, { "content-length": body.length + 1 });
  response.write(body, () => response.destroy());
}

function tooLong(response: ServerResponse, body: Buffer): void {
  response.end(Buffer.concat([body, Buffer.alloc(66_000, " ")]));
}

function moved(response: ServerResponse, body: Buffer): void {
  response.writeHead(302, { location: "/keys" }).end(body);
}
