import type { Caller, Edge } from "../../edge/mod.ts";
import { CofferError, errorRow } from "../../errors.ts";
import { type TenantSample, tenantMetricsText } from "../../telemetry/mod.ts";
import { type WebResponse, response, textResponse } from "./response.ts";

/**
 * `/metrics`. The member's own series are for all who reach the port, as etcd's; they name no tenant.
 * Series of each tenant follow for a caller whose certificate or token may `metrics/read` in the system
 * scope: the names of tenants are not for other tenants.
 */

interface MetricsOptions {
  readonly edge: Pick<Edge, "tenantMetrics">;
  metricsText(): Promise<string> | string;
}

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export async function metrics(options: MetricsOptions, caller: Caller): Promise<WebResponse> {
  let note = "";
  if (caller.authorization !== undefined || caller.certificate !== undefined) {
    try {
      const { body: samples } = await options.edge.tenantMetrics(caller);
      if (samples !== undefined) return inPieces(await options.metricsText(), samples);
    } catch (error) {
      if (!(error instanceof CofferError)) throw error;
      // A token that is presented and does not count is told of. Whatever else keeps the series of
      // tenants away does not keep the member's own.
      if (error.code === "invalid-token") {
        return textResponse(errorRow(error.code).http, `${error.message}\n`);
      }
      note = `# Series of tenants are left out: ${error.message}\n`;
    }
  }
  return response(200, METRICS_TYPE, `${await options.metricsText()}${note}`);
}

function inPieces(own: string, samples: readonly TenantSample[]): WebResponse {
  const { "content-length": _, ...headers } = response(200, METRICS_TYPE, "").headers;
  return { status: 200, headers, body: join(own, samples) };
}

async function* join(own: string, samples: readonly TenantSample[]): AsyncGenerator<string> {
  yield own;
  yield* tenantMetricsText(samples);
}
