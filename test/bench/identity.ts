import { CLUSTER_SCOPE } from "../../src/core/types/mod.ts";
import {
  type Identity,
  builtinIssuerRecord,
  createBuiltinIssuer,
  createIdentity,
  createRevocationIndex,
  issueToken,
  planRevocation,
} from "../../src/identity/mod.ts";
import { usedHeap } from "./policy.ts";

/**
 * `npm run bench -- --identity`: what it costs to know who calls. Tokens as a member sees them, each
 * time in a new string; asked in turn, so that no one of them stays in the processor's cache.
 */

const TOKENS = 1000;
const USES = 20_000;
const ROUNDS = 15;
const REVOCATIONS = 10_000;

export async function benchIdentity(): Promise<void> {
  const key = await createBuiltinIssuer();
  const names = { issuer: "coffer", audience: "coffer" };
  const record = builtinIssuerRecord({ ...names, keys: [key], maxAgeSeconds: 30 * 86_400 });
  const records = [record];
  const index = createRevocationIndex(() => undefined);
  const clock = { now: () => Date.now() };
  const identity = createIdentity({
    issuers: () => records,
    clock,
    log: { info: () => undefined, warn: () => undefined },
    isRevoked: index.isRevoked,
    isCertificateRevoked: (thumbprint) => index.isCertificateRevoked(CLUSTER_SCOPE, thumbprint),
  });
  const tokens = await Promise.all(
    Array.from({ length: TOKENS }, async (_, i) => {
      const order = { subject: `user:u${i}`, groups: ["dev", "ops"], tenants: ["default"] };
      const now = Date.now();
      return (await issueToken(key, { ...names, ...order, ttlSeconds: 3600, now })).token;
    }),
  );
  const begun = performance.now();
  for (const token of tokens) await authenticate(identity, `Bearer ${token}`);
  const each = (performance.now() - begun) / TOKENS;
  print("a new token (ES256)", `${(each * 1000).toFixed(0)} us`);
  print("a cached token", perUse(identity, tokens));
  const memoryBefore = usedHeap();
  const slices = fill(index).toSorted((a, b) => a - b);
  const slice = `${(slices.at(-1) ?? 0).toFixed(1)} ms (longest of ${slices.length} slices)`;
  print(`${REVOCATIONS} revocations read`, slice);
  print("memory for each", `${Math.round((usedHeap() - memoryBefore) / REVOCATIONS)} bytes`);
  print(`a cached token, ${REVOCATIONS} revoked`, perUse(identity, tokens));
  identity.close();
}

function authenticate(identity: Identity, authorization: string): unknown {
  return identity.authenticate({ authorization, certificate: undefined, tenantName: undefined });
}

/** Microseconds of processor time, the median of ROUNDS: others may share the processor. */
function perUse(identity: Identity, tokens: readonly string[]): string {
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const shown = Array.from({ length: USES }, (_, i) => {
      return Buffer.from(`Bearer ${tokens[i % tokens.length]}`).toString("latin1");
    });
    const begun = process.cpuUsage();
    for (const authorization of shown) authenticate(identity, authorization);
    const { user, system } = process.cpuUsage(begun);
    rounds.push((user + system) / USES);
  }
  const sorted = rounds.toSorted((a, b) => a - b);
  const [median = 0, worst = 0] = [sorted[Math.floor(ROUNDS / 2)], sorted.at(-1)];
  return `${median.toFixed(2)} us (slowest round ${worst.toFixed(2)} us)`;
}

/** Milliseconds of processor time that each slice took. */
function fill(index: ReturnType<typeof createRevocationIndex>): readonly number[] {
  const now = Date.now();
  const rest = { by: "user:admin", now, maxAgeSeconds: 3600, certificateEnds: undefined };
  const records = Array.from({ length: REVOCATIONS }, (_, i) => {
    const target = { kind: "token", issuer: "coffer", tokenId: `revoked-${i}` } as const;
    const [change] = planRevocation({ ...rest, target, recordsMax: 1 }, []).changes;
    return { id: change?.id ?? "", data: change?.data ?? new Uint8Array() };
  });
  const slices: number[] = [];
  const steps = index.replace(CLUSTER_SCOPE, records);
  for (let isOver = false; !isOver;) {
    const begun = process.cpuUsage();
    isOver = steps.next().done === true;
    const { user, system } = process.cpuUsage(begun);
    slices.push((user + system) / 1000);
  }
  return slices;
}

function print(name: string, figure: string): void {
  process.stdout.write(`${name.padEnd(36)} ${figure}\n`);
}
