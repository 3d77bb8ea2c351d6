import type { Client } from "../../src/client/mod.ts";
import type { Prng } from "../../src/stdx/mod.ts";
import type { LeaseLine } from "./history.ts";
import {
  CALL_MS_MAX,
  StickyClient,
  type World,
  isUnknown,
  keyBytes,
  pause,
  spread,
  textOfError,
} from "./world.ts";

/**
 * Clients that grant leases, put keys under them, renew some, and leave them to end. They do not look at
 * the keys: when they went is known from the revision (see leases.ts).
 */

export const LEASE_PREFIX = "lease/";

const TTL_S_MIN = 2;
const RENEWALS_MAX = 3;
const PAST_TTL_MS = 2000;

/** Runs until the world stops and its last lease has had its time. Never rejects. */
export async function runLeaseClient(
  world: World,
  { prng, first }: { readonly prng: Prng; readonly first: number },
): Promise<void> {
  const sticky = new StickyClient(world.target, first);
  let process = world.nextProcess();
  while (!world.stop.aborted) {
    const lease = String(1 + prng.below(2 ** 31 - 2) * 2 ** 20 + process);
    const life = { lease, process, ttl: TTL_S_MIN + prng.below(3) };
    const went = await runLease(world, { life, prng, sticky });
    if (!went) {
      process = world.nextProcess();
      sticky.move();
    }
    await pause(spread(prng, 500), world.stop);
  }
  await sticky.close();
}

interface Life {
  readonly lease: string;
  readonly process: number;
  readonly ttl: number;
}

/** One lease from grant to after its end. False: some outcome is unknown, and the process is over. */
async function runLease(
  world: World,
  about: { readonly life: Life; readonly prng: Prng; readonly sticky: StickyClient },
): Promise<boolean> {
  const { life, prng, sticky } = about;
  const { lease } = life;
  const ID = BigInt(lease);
  const step = createStep(world, { life, sticky });
  const granted = await step({ f: "lease-grant", ttl: life.ttl }, async (client) => {
    const { TTL, header } = await client.leaseGrant({ ID, TTL: BigInt(life.ttl) });
    return { ttl: Number(TTL), rev: Number(header?.revision ?? 0n) };
  });
  if (granted === undefined) return false;
  const keys = 1 + prng.below(2);
  for (let i = 0; i < keys; i++) {
    const [key, value] = [`${LEASE_PREFIX}${lease}/${i}`, world.nextValue()];
    const put = await step({ f: "lease-put", key, value }, async (client) => {
      const request = { key: keyBytes(key), value: keyBytes(value), lease: ID };
      const { header } = await client.put(request);
      return { rev: Number(header?.revision ?? 0n) };
    });
    if (put === undefined) return false;
  }
  const ttl = granted.ttl ?? life.ttl;
  for (let renewals = prng.below(RENEWALS_MAX + 1); renewals > 0; renewals--) {
    await pause(prng.next() * 700 * ttl, world.stop);
    const renewed = await step({ f: "lease-renew" }, (client) => renew(client, ID));
    if (renewed === undefined) return false;
    if (renewed.ttl === 0) return true;
    // Some are renewed through another member each time.
    if (prng.below(2) === 0) sticky.move();
  }
  // Nothing cuts this short: at the end of a run the last leases must have had their time.
  await pause(1000 * ttl + PAST_TTL_MS, new AbortController().signal);
  return true;
}

type Told = Pick<LeaseLine, "ttl" | "rev">;
type Asked = Omit<LeaseLine, "process" | "type" | "time" | "lease">;
type Step = (asked: Asked, run: (client: Client) => Promise<Told>) => Promise<Told | undefined>;

/** Runs one request and writes it down; undefined if it failed or its outcome is unknown. */
function createStep(
  { history }: World,
  { life, sticky }: { readonly life: Life; readonly sticky: StickyClient },
): Step {
  return async (asked, run) => {
    const line = { ...asked, lease: life.lease, process: life.process, member: sticky.member };
    history.append({ ...line, type: "invoke", time: history.now() });
    try {
      const told = await run(sticky.client);
      history.append({ ...line, ...told, type: "ok", time: history.now() });
      return told;
    } catch (error) {
      const type = isUnknown(error) ? "info" : "fail";
      history.append({ ...line, type, error: textOfError(error), time: history.now() });
      return undefined;
    }
  };
}

async function renew(client: Client, id: bigint): Promise<Told> {
  const stream = client.keepAlive({ timeoutMs: CALL_MS_MAX });
  try {
    stream.renew(id);
    for await (const { TTL } of stream.replies()) return { ttl: Number(TTL) };
  } finally {
    stream.close();
  }
  throw new Error("The stream ended without a reply");
}
