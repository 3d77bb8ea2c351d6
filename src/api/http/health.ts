import type { Edge, HealthCheck, HealthResult } from "../../edge/mod.ts";
import { errorRow } from "../../errors.ts";
import { type WebResponse, response, textResponse } from "./response.ts";

/**
 * etcd's health endpoints (etcd server/etcdserver/api/etcdhttp/health.go). Open to all who reach the
 * port: they tell nothing but health.
 */

type Health = Pick<Edge, "health">;

/** Told of each answer to `/health`, and of no other: so etcd counts its health checks. */
export type HealthListener = (isHealthy: boolean) => void;

/** A name in a path or in `?verbose` output, and the edge's check. etcd's names use underscores. */
const CHECKS_OF = {
  livez: ["serializable-read"],
  readyz: ["data-corruption", "serializable-read", "linearizable-read", "non-learner", "audit"],
} as const satisfies Readonly<Record<string, readonly HealthCheck[]>>;

/** `GET /health`: one JSON object, 503 when it is not healthy. */
export async function health(
  edge: Health,
  query: URLSearchParams,
  onHealth?: HealthListener,
): Promise<WebResponse> {
  const read = query.get("serializable") === "true" ? "serializable-read" : "linearizable-read";
  const results = await edge.health(["space", "data-corruption", read]);
  const excluded = query.getAll("exclude");
  const failed = results.find(
    (result) => result.failure !== undefined && !excluded.includes(alarmOf(result)),
  );
  const isHealthy = failed === undefined;
  onHealth?.(isHealthy);
  const body = { health: String(isHealthy), reason: isHealthy ? "" : reasonOf(failed) };
  return response(isHealthy ? 200 : 503, "application/json", JSON.stringify(body));
}

/** `/livez`, `/readyz` and `/readyz/<check>`; undefined for any other path. */
export function probe(
  edge: Health,
  path: string,
  query: URLSearchParams,
): (() => Promise<WebResponse>) | undefined {
  const [, name = "", wanted, ...rest] = path.split("/");
  if ((name !== "livez" && name !== "readyz") || rest.length > 0) return undefined;
  const all: readonly HealthCheck[] = CHECKS_OF[name];
  const checks = wanted === undefined ? all : all.filter((check) => etcdName(check) === wanted);
  if (checks.length === 0) return undefined;
  return async () => {
    const excluded = query.getAll("exclude");
    const asked = checks.filter((check) => !excluded.includes(etcdName(check)));
    const results = asked.length === 0 ? [] : await edge.health(asked);
    return probeResponse(name, { checks, results, verbose: query.has("verbose") });
  };
}

interface ProbeOutcome {
  readonly checks: readonly HealthCheck[];
  readonly results: readonly HealthResult[];
  readonly verbose: boolean;
}

function probeResponse(name: string, { checks, results, verbose }: ProbeOutcome): WebResponse {
  const healthy = results.every((result) => result.failure === undefined);
  if (healthy && !verbose) return textResponse(200, "ok\n");
  const lines = checks.map((check) => {
    const result = results.find((candidate) => candidate.check === check);
    if (result === undefined) return `[+]${etcdName(check)} excluded: ok\n`;
    return result.failure === undefined
      ? `[+]${etcdName(check)} ok\n`
      : `[-]${etcdName(check)} failed: ${result.failure}\n`;
  });
  const verdict = healthy ? "ok" : `${name} check failed`;
  return textResponse(healthy ? 200 : 503, `${lines.join("")}${verdict}\n`);
}

function etcdName(check: HealthCheck): string {
  return check.replaceAll("-", "_");
}

const ALARMS: Partial<Record<HealthCheck, string>> = {
  space: "NOSPACE",
  "data-corruption": "CORRUPT",
};

/** The name that `?exclude=` knows a failure by. */
function alarmOf({ check }: HealthResult): string {
  return ALARMS[check] ?? "";
}

function reasonOf({ check, failure }: HealthResult): string {
  const alarm = ALARMS[check];
  if (alarm !== undefined) return `ALARM ${alarm}`;
  // A reason may follow.
  if (failure?.startsWith(errorRow("no-leader").text) === true) return "RAFT NO LEADER";
  return `RANGE ERROR:${failure ?? ""}`;
}
