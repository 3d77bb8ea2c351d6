import type { Principal } from "../../../src/identity/mod.ts";
import type { Prng } from "../../../src/stdx/mod.ts";
import { bench, claimsOf, forge, keysFor, sign, signText } from "../../identity/fixtures.ts";
import { mutated, mutatedText } from "../mutate.ts";
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
  '"jwk":{}',
  "user:",
  "system",
  "*",
  "null",
  "true",
  "1",
];

const RESERVED = /^(?:role|cert|system|group):/i;
const TENANTS: ReadonlySet<string> = new Set(["acme", "beta"]);

/** Bearer tokens: forged, cut, and signed by the issuer with claims that it should not have signed. */
export async function tokenTarget(): Promise<Target> {
  const { identity, authenticate } = bench();
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
    const claims = mutatedText(JSON.stringify(claimsOf()), random, WORDS);
    const bytes =
      random.below(8) === 0 ? mutated(Buffer.from(claims), random) : Buffer.from(claims);
    const text = await signText(bytes);
    const who = await unlessRefusedLater(claims, () => authenticate(`Bearer ${text}`));
    if (who !== undefined) checkPrincipal(who, claims);
  };
  return {
    name: "token",
    attempt: (random) => (random.below(2) === 0 ? forged(random) : signed(random)),
    close: () => identity.close(),
  };
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

function checkPrincipal(who: Principal, claims: string): void {
  const wrong = (what: string): Finding => new Finding(`${what}: ${JSON.stringify(who)}`, claims);
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  if (!/^user:[^\u0000-\u001f\u007f]+$/u.test(who.subject)) throw wrong("an odd subject");
  if (Buffer.byteLength(who.subject) > 300) throw wrong("a subject without end");
  if (who.tenants === "*" || !who.tenants.every((name) => TENANTS.has(name))) {
    throw wrong("a tenant that the issuer is not bound to");
  }
  if (!TENANTS.has(who.tenant)) throw wrong("a tenant out of reach");
  if (who.expires === undefined || !Number.isFinite(who.expires)) throw wrong("no end");
  if (who.groups.some((name) => name === "" || RESERVED.test(name))) throw wrong("an odd group");
}

function decoded(part: string): string {
  return Buffer.from(part, "base64url").toString("latin1");
}
