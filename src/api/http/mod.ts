/** The plain HTTP endpoints: /health, /livez, /readyz, /version, /metrics. */
export { type Versions, type Web, type WebOptions, type WebRequest, createWeb } from "./web.ts";
export type { WebResponse } from "./response.ts";
