import type { Caller, Edge } from "../../edge/mod.ts";
import type { Logger } from "../../telemetry/mod.ts";
import { type HealthListener, health, probe } from "./health.ts";
import { metrics } from "./metrics.ts";
import { type WebResponse, response, textResponse } from "./response.ts";

/** The plain HTTP endpoints: health, version and metrics; nothing else is served. */

export interface WebRequest {
  readonly method: string;
  readonly caller: Caller;
  /** Path and query, as sent. */
  readonly target: string;
}

export interface Versions {
  /** The etcd version that is claimed, such as 3.6.14. */
  readonly etcd: string;
  /** The cluster's, such as 3.6.0. */
  readonly cluster: string;
  readonly coffer: string;
}

export interface WebOptions {
  readonly edge: Pick<Edge, "health" | "tenantMetrics">;
  readonly log: Logger;
  readonly versions: Versions;
  /** Prometheus text. */
  metricsText(): Promise<string> | string;
  readonly onHealth?: HealthListener;
}

/** Answers one request; never rejects. */
export type Web = (request: WebRequest) => Promise<WebResponse>;

const TARGET_CHARS_MAX = 2048;
const JSON_TYPE = "application/json";

export function createWeb(options: WebOptions): Web {
  return async (request) => {
    try {
      return await route(options, request);
    } catch (error) {
      options.log.error("HTTP request failed", { error });
      return textResponse(500, "coffer: internal error\n");
    }
  };
}

async function route(options: WebOptions, request: WebRequest): Promise<WebResponse> {
  if (request.target.length > TARGET_CHARS_MAX) {
    return textResponse(414, "coffer: the request target is too long\n");
  }
  const url = parseTarget(request.target);
  const answer = url === undefined ? undefined : endpoint(options, url, request.caller);
  if (answer === undefined) return notFound();
  if (request.method !== "GET" && request.method !== "HEAD") {
    const refusal = textResponse(405, "coffer: this endpoint answers GET and HEAD only\n");
    return { ...refusal, headers: { ...refusal.headers, allow: "GET, HEAD" } };
  }
  return answer();
}

function endpoint(
  options: WebOptions,
  url: URL,
  caller: Caller,
): (() => Promise<WebResponse>) | undefined {
  const { pathname, searchParams } = url;
  switch (pathname) {
    case "/health":
      return async () => health(options.edge, searchParams, options.onHealth);
    case "/version":
      return async () => versionResponse(options.versions);
    case "/metrics":
      return () => metrics(options, caller);
    default:
      return probe(options.edge, pathname, searchParams);
  }
}

function versionResponse({ etcd, cluster, coffer }: Versions): WebResponse {
  const body = { etcdserver: etcd, etcdcluster: cluster, storage: cluster, coffer };
  return response(200, JSON_TYPE, JSON.stringify(body));
}

function notFound(): WebResponse {
  return textResponse(
    404,
    "coffer: no such page; this port serves gRPC (etcd v3), /health, /livez, /readyz, " +
      "/version and /metrics\n",
  );
}

/** The host is of no interest, and may not be well formed. */
function parseTarget(target: string): URL | undefined {
  if (!target.startsWith("/")) return undefined;
  const text = `http://localhost${target}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.host === "localhost" ? url : undefined;
}
