import { isDeepStrictEqual } from "node:util";
import type { IssuerRecord, Principal } from "../../../src/identity/mod.ts";
import type { Prng } from "../../../src/stdx/mod.ts";
import {
  bench,
  claimsOf,
  forge,
  keysFor,
  NOW,
  recordOf,
  sign,
  signText,
} from "../../identity/fixtures.ts";
import { type Json, mutated, mutatedJson, mutatedText, pick } from "../mutate.ts";
import { Finding, type Target, unlessRefusedLater } from "../target.ts";

const WORDS: readonly string[] = [
  ".",
  "..",
  "=",
  "A",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  '"',
  "\\u0000",
  "\\ud800",
  '"sub":"role:admin"',
  '"sub":"",',
  '"__proto__":{"sub":"x"},',
  '"exp":1e400',
  '"exp":"9999999999"',
  '"iat":-1',
  '"nbf":99999999999',
  '"aud":[]',
  '"crit":["b64"],',
  '"alg":"none"',
  '"alg":"HS256"',
  '"alg":"RS256"',
  '"alg":"EdDSA"',
  '"jwk":{}',
  '"cnf":{},',
  '"cnf":{"x5t#S256":"b"},',
  '"jti":"stolen",',
  "user:",
  "system",
  "*",
  "null",
  "true",
  "1",
];

const RESERVED = /^(?:role|cert|system|group):/i;
const STOLEN = "stolen";
const CERTIFICATE = "a".repeat(43);
const PODS_ISSUER = "https://pods.example";
const PODS = { namespace: "apps", name: "web", uid: "0c9d" };

/** An issuer, what it signs, and what the principals of its tokens may be. */
interface Issuer {
  readonly record: IssuerRecord;
  readonly algorithm: "ES256" | "RS256" | "EdDSA";
  readonly claims: Json;
  readonly subject: RegExp;
  readonly tenants: (name: string) => boolean;
}

const isFixed = (name: string): boolean => name === "acme" || name === "beta";

const issuers: readonly Issuer[] = [
  issuer("ES256", {}, {}),
  issuer("RS256", { groupsClaim: "groups" }, { groups: ["dev"], jti: STOLEN }),
  issuer("EdDSA", {}, { cnf: { "x5t#S256": CERTIFICATE } }),
  {
    ...issuer(
      "ES256",
      { issuer: PODS_ISSUER, subject: { kind: "kubernetes", accounts: [PODS] } },
      {
        sub: "system:serviceaccount:apps:web",
        "kubernetes.io": { namespace: "apps", serviceaccount: { name: "web", uid: "0c9d" } },
      },
    ),
    subject: /^sa:apps\/web$/,
  },
  {
    ...issuer(
      "EdDSA",
      {
        issuer: "coffer",
        subject: { kind: "own", claim: "sub" },
        tenants: { kind: "claim", claim: "tenants", any: true },
      },
      { sub: "user:alice", tenants: ["acme"], tenant_ids: { acme: "id-1" } },
    ),
    subject: /^(?:user|sa):\P{C}+$/u,
    tenants: (name) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name),
  },
];

function issuer(algorithm: Issuer["algorithm"], record: object, claims: object): Issuer {
  const name = { issuer: `https://${algorithm.toLowerCase()}.example` };
  const keys = { kind: "inline", keys: [keysFor(algorithm).jwk] };
  const made = recordOf({ ...name, keys, algorithms: [algorithm], ...record });
  return {
    record: made,
    algorithm,
    claims: JSON.parse(JSON.stringify(claimsOf({ iss: made.issuer, ...claims }))) as Json,
    subject: /^user:\P{C}+$/u,
    tenants: isFixed,
  };
}

/** Bearer tokens: forged, cut, and signed by issuers with claims that they should not have signed. */
export async function tokenTarget(): Promise<Target> {
  const { identity, authenticate } = bench([recordOf(), ...issuers.map(({ record }) => record)], {
    isRevoked: ({ tokenId }) => tokenId === STOLEN,
  });
  const good = await sign();
  const [header = "", payload = ""] = good.split(".").map(decoded);

  const forged = async (random: Prng): Promise<void> => {
    const text = forgery(random, { good, header, payload });
    const who = await unlessRefusedLater(text, () => authenticate(text));
    if (who !== undefined && !isTwin(text, good)) {
      throw new Finding("a token that nobody signed was taken", text);
    }
  };
  const signed = async (random: Prng): Promise<void> => {
    const by = pick(issuers, random);
    // One in eight by the key of an issuer that is another.
    const signer = random.below(8) === 0 ? pick(issuers, random) : by;
    const claims = wrongClaims(by.claims, random);
    const alg = signer.algorithm;
    const text = await signText(claims, { alg }, keysFor(alg));
    const shown = [undefined, CERTIFICATE, "b"][random.below(3)];
    const who = await unlessRefusedLater(claims, () => authenticate(`Bearer ${text}`, shown));
    if (who === undefined) return;
    const named = issuers.find(({ record }) => record.issuer === who.issuer);
    if (named?.algorithm !== alg) throw new Finding("another issuer's key was taken", claims);
    checkPrincipal(who, { by: named, claims });
    checkClaims(who, { claims, shown });
  };
  return {
    name: "token",
    attempt: (random) => (random.below(3) === 0 ? forged(random) : signed(random)),
    close: () => identity.close(),
  };
}

function wrongClaims(claims: Json, random: Prng): Buffer {
  switch (random.below(8)) {
    case 0:
      return Buffer.from(mutated(Buffer.from(JSON.stringify(claims)), random));
    case 1:
    case 2:
    case 3:
      return Buffer.from(mutatedText(JSON.stringify(claims), random, WORDS));
    case 4:
      return Buffer.from(JSON.stringify(claims));
    default:
      return Buffer.from(mutatedJson(claims, random));
  }
}

function forgery(
  random: Prng,
  from: { readonly good: string; readonly header: string; readonly payload: string },
): string {
  const { good, header, payload } = from;
  const signature = good.split(".")[2] ?? "";
  switch (random.below(4)) {
    case 0:
      return mutatedText(good, random, WORDS);
    case 1:
      return forge(mutatedText(header, random, WORDS), payload, signature);
    case 2:
      return forge(header, mutatedText(payload, random, WORDS), signature);
    default: {
      // Signed with the public key as if it were a shared secret.
      const secret = Buffer.from(JSON.stringify(keysFor("ES256").jwk));
      return forge(mutatedText('{"alg":"HS256"}', random, WORDS), payload, secret);
    }
  }
}

/** The same header, payload and signature in other characters, such as unused bits of base64url. */
function isTwin(text: string, good: string): boolean {
  const bytesOf = (token: string): string =>
    token
      .replace(/^bearer /i, "")
      .trim()
      .split(".")
      .slice(0, 2)
      .map(decoded)
      .join(".");
  return bytesOf(text) === bytesOf(good);
}

function checkPrincipal(
  who: Principal,
  { by, claims }: { readonly by: Issuer; readonly claims: Buffer },
): void {
  const wrong = (what: string): Finding => new Finding(`${what}: ${JSON.stringify(who)}`, claims);
  if (!by.subject.test(who.subject)) throw wrong("an odd subject");
  if (/^(?:user|sa):(?:role|cert|system|group):/i.test(who.subject)) throw wrong("a role's name");
  if (Buffer.byteLength(who.subject) > 300) throw wrong("a subject without end");
  const isAny = who.tenants === "*";
  if (isAny && by.record.tenants.kind !== "claim") throw wrong("any tenant");
  if (!isAny && !who.tenants.every(by.tenants)) {
    throw wrong("a tenant that the issuer is not bound to");
  }
  if (!isAny && !who.tenants.includes(who.tenant)) throw wrong("a tenant out of reach");
  if (who.expires === undefined || !(who.expires > NOW * 1000 - 30_000)) throw wrong("no end");
  if (who.groups.some((name) => name === "" || RESERVED.test(name))) throw wrong("an odd group");
}

/** What the claims themselves say, read by the plainest parser. */
function checkClaims(
  who: Principal,
  { claims, shown }: { readonly claims: Buffer; readonly shown: string | undefined },
): void {
  const given = JSON.parse(claims.toString()) as {
    readonly cnf?: { readonly "x5t#S256"?: unknown };
    readonly jti?: unknown;
  };
  if (given.jti === STOLEN) throw new Finding("a revoked token was taken", claims);
  if (given.cnf !== undefined && given.cnf["x5t#S256"] !== shown) {
    throw new Finding("a token was taken with another certificate", claims);
  }
  if (who.issuer === PODS_ISSUER) checkPods(claims);
  if (who.tokenId !== given.jti) throw new Finding("another jti", claims);
}

/** Another pod's token under the same name, or another's name with a bound uid. */
function checkPods(claims: Buffer): void {
  const { sub, "kubernetes.io": own } = JSON.parse(claims.toString()) as {
    readonly sub: unknown;
    readonly "kubernetes.io": {
      readonly namespace: unknown;
      readonly serviceaccount: { readonly name: unknown; readonly uid: unknown };
    };
  };
  const { name, uid } = own.serviceaccount;
  if (!isDeepStrictEqual({ namespace: own.namespace, name, uid }, PODS)) {
    throw new Finding("another service account was taken", claims);
  }
  if (sub !== "system:serviceaccount:apps:web") throw new Finding("another sub", claims);
}

function decoded(part: string): string {
  return Buffer.from(part, "base64url").toString("latin1");
}
