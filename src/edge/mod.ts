/** The one gate: every request is authenticated, authorised, sealed, proposed or read, and audited. */
export { createEdge } from "./create-edge.ts";
export type { EdgeParts } from "./gate.ts";
export type * from "./ports.ts";
export type * from "./requests.ts";
