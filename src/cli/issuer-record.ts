import { mistake } from "./keys.ts";

/** What the flags of `issuer add` say. Times in milliseconds. */
export interface IssuerValues {
  readonly discovery?: boolean;
  readonly jwksUrl?: string;
  readonly jwksFile?: string;
  readonly ca?: string;
  readonly audience?: readonly string[];
  readonly algorithms?: readonly string[];
  readonly tenants?: readonly string[];
  readonly tenantsClaim?: string;
  readonly subjectClaim?: string;
  readonly subjectPrefix?: string;
  readonly groupsClaim?: string;
  readonly boundClaim?: readonly string[];
  readonly boundGlob?: readonly string[];
  readonly maxAge?: number;
  readonly clockTolerance?: number;
  readonly kubernetesAccount?: readonly string[];
}

type ReadFile = (path: string) => Uint8Array;

const MAX_AGE_MS = 3_600_000;

/** The record that the server checks; here only what the flags themselves leave open is a mistake. */
export function issuerRecordOf(issuer: string, values: IssuerValues, readFile: ReadFile): object {
  const { audience, algorithms, groupsClaim, clockTolerance } = values;
  if (audience === undefined) {
    throw mistake("issuer add needs --audience: what its tokens for this cluster have in aud");
  }
  if (algorithms === undefined) {
    throw mistake("issuer add needs --algorithms, such as ES256 or RS256: see the issuer's keys");
  }
  return {
    version: 1,
    issuer,
    keys: keysOf(values, readFile),
    audience,
    algorithms,
    maxAgeSeconds: Math.ceil((values.maxAge ?? MAX_AGE_MS) / 1000),
    ...(clockTolerance === undefined
      ? {}
      : { clockToleranceSeconds: Math.ceil(clockTolerance / 1000) }),
    tenants: tenantsOf(values),
    subject: subjectOf(values),
    ...(groupsClaim === undefined ? {} : { groupsClaim }),
    boundClaims: boundClaimsOf(values),
  };
}

function keysOf({ discovery, jwksUrl, jwksFile, ca }: IssuerValues, readFile: ReadFile): object {
  const given = [discovery === true ? true : undefined, jwksUrl, jwksFile];
  if (given.filter((one) => one !== undefined).length !== 1) {
    throw mistake("issuer add needs one of --discovery, --jwks-url and --jwks-file");
  }
  if (jwksFile !== undefined) {
    if (ca !== undefined) throw mistake("--ca goes with --discovery or --jwks-url");
    return { kind: "inline", keys: keysOfFile(jwksFile, readFile) };
  }
  const trusted = ca === undefined ? {} : { ca: Buffer.from(readFile(ca)).toString("utf8") };
  if (jwksUrl === undefined) return { kind: "discovery", ...trusted };
  return { kind: "url", url: jwksUrl, ...trusted };
}

function keysOfFile(path: string, readFile: ReadFile): readonly unknown[] {
  const text = Buffer.from(readFile(path)).toString("utf8");
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    throw mistake(`${path}: is not a JWK set in JSON`);
  }
  const keys = (set as { readonly keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw mistake(`${path}: is not a JWK set: it has no list "keys"`);
  return keys;
}

function tenantsOf({ tenants, tenantsClaim }: IssuerValues): object {
  if ((tenants === undefined) === (tenantsClaim === undefined)) {
    throw mistake("issuer add needs either --tenants or --tenants-claim");
  }
  if (tenants !== undefined) return { kind: "fixed", tenants };
  return { kind: "claim", claim: tenantsClaim };
}

function subjectOf(values: IssuerValues): object {
  const { subjectClaim, subjectPrefix, kubernetesAccount } = values;
  if (kubernetesAccount === undefined) {
    return { kind: "prefix", claim: subjectClaim ?? "sub", prefix: subjectPrefix ?? "user:" };
  }
  if (subjectClaim !== undefined || subjectPrefix !== undefined) {
    throw mistake("--kubernetes-account says who the subject is: no --subject-claim or -prefix");
  }
  const accounts = kubernetesAccount.map((account) => {
    const [namespace = "", name = "", uid = "", ...rest] = account.split("/");
    if (uid === "" || rest.length > 0) {
      throw mistake(
        `--kubernetes-account takes NAMESPACE/NAME/UID, not ${JSON.stringify(account)}; the uid is in: ` +
          "kubectl get serviceaccount NAME -n NAMESPACE -o jsonpath={.metadata.uid}",
      );
    }
    return { namespace, name, uid };
  });
  return { kind: "kubernetes", accounts };
}

function boundClaimsOf({ boundClaim = [], boundGlob = [] }: IssuerValues): object {
  const claims = new Map<string, unknown>();
  const note = (name: string, value: unknown): void => {
    if (claims.has(name)) throw mistake(`claim ${JSON.stringify(name)} is bound twice`);
    claims.set(name, value);
  };
  for (const pair of boundClaim) {
    const { name, value, isTyped } = splitPair("--bound-claim", pair);
    note(name, isTyped ? typedValue(pair, value) : value);
  }
  for (const pair of boundGlob) {
    const { name, value } = splitPair("--bound-glob", pair);
    note(name, { glob: value });
  }
  return Object.fromEntries(claims);
}

function splitPair(
  flag: string,
  pair: string,
): { readonly name: string; readonly value: string; readonly isTyped: boolean } {
  const [, name, colon, value] = /^([^=]+?)(:?)=(.+)$/su.exec(pair) ?? [];
  if (name === undefined || value === undefined) {
    throw mistake(`${flag} takes NAME=VALUE, not ${JSON.stringify(pair)}`);
  }
  return { name, value, isTyped: colon === ":" };
}

function typedValue(pair: string, value: string): unknown {
  if (value === "true" || value === "false") return value === "true";
  if (/^-?\d+(?:\.\d+)?$/.test(value)) return Number(value);
  throw mistake(`${pair}: NAME:= takes true, false or a number; NAME= takes a text`);
}
