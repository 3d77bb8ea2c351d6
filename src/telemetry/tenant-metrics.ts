import { setImmediate as nextTurn } from "node:timers/promises";

/**
 * Series for each tenant, in the Prometheus text format. Written by hand and in pieces, each in a turn of
 * the event loop of its own: thousands of tenants make megabytes. Their names are for the cluster's
 * operators alone, so these are no part of the registry that anyone may read.
 */

/** One tenant at a scrape. */
export interface TenantSample {
  /** Of a-z, 0-9 and "-". */
  readonly name: string;
  readonly suspended: boolean;
  readonly usage: {
    readonly keys: number;
    readonly leases: number;
    readonly bytes: number;
    readonly liveBytes: number;
  };
  readonly limits: {
    readonly bytesMax?: number;
    readonly keysMax?: number;
    readonly leasesMax?: number;
    readonly watchesMax?: number;
    readonly requestsPerSecond?: number;
  };
  /** On this member. */
  readonly watches: number;
  /** By cause, on this member since its start. */
  readonly refused: ReadonlyMap<string, number>;
}

interface Family {
  readonly name: string;
  readonly type: "gauge" | "counter";
  readonly help: string;
  /** Undefined: no sample. */
  readonly read: (sample: TenantSample) => number | undefined;
}

const gauge = (name: string, help: string, read: Family["read"]): Family => {
  return { name: `coffer_tenant_${name}`, type: "gauge", help, read };
};

const families: readonly Family[] = [
  gauge("keys", "Keys of the tenant.", ({ usage }) => usage.keys),
  gauge("keys_limit", "Keys that it may have.", ({ limits }) => limits.keysMax),
  gauge("bytes", "Bytes of keys and sealed values, history included.", ({ usage }) => usage.bytes),
  gauge("live_bytes", "Bytes of the latest revision alone.", ({ usage }) => usage.liveBytes),
  gauge("bytes_limit", "Bytes that it may have.", ({ limits }) => limits.bytesMax),
  gauge("leases", "Leases of the tenant.", ({ usage }) => usage.leases),
  gauge("leases_limit", "Leases that it may have.", ({ limits }) => limits.leasesMax),
  gauge("watches", "Watches that run on this member.", ({ watches }) => watches),
  gauge("watches_limit", "Watches it may have on each member.", ({ limits }) => limits.watchesMax),
  gauge(
    "requests_per_second_limit",
    "Requests per second that each member takes.",
    ({ limits }) => limits.requestsPerSecond,
  ),
  gauge("suspended", "Whether the tenant is suspended: 1 or 0.", ({ suspended }) =>
    Number(suspended),
  ),
];

const REFUSED = "coffer_tenant_requests_refused_total";
/** Samples of one piece: well under a millisecond. */
const PIECE = 500;

/** The text, in pieces; what reads it should write each before it asks for the next. */
export async function* tenantMetricsText(samples: readonly TenantSample[]): AsyncGenerator<string> {
  for (const { name, type, help, read } of families) {
    yield heading(name, type, help);
    yield* pieces(samples, (sample) => {
      const value = read(sample);
      return value === undefined ? "" : `${name}{coffer_tenant="${sample.name}"} ${value}\n`;
    });
  }
  yield heading(REFUSED, "counter", "Requests that a limit or suspension refused on this member.");
  yield* pieces(samples, ({ name, refused }) =>
    [...refused]
      .map(([cause, count]) => `${REFUSED}{coffer_tenant="${name}",cause="${cause}"} ${count}\n`)
      .join(""),
  );
}

function heading(name: string, type: string, help: string): string {
  return `\n# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

async function* pieces(
  samples: readonly TenantSample[],
  lineOf: (sample: TenantSample) => string,
): AsyncGenerator<string> {
  for (let at = 0; at < samples.length; at += PIECE) {
    const text = samples
      .slice(at, at + PIECE)
      .map(lineOf)
      .join("");
    if (text !== "") yield text;
    await nextTurn();
  }
}
