/** The one gate: every request is authenticated, authorised, sealed, proposed or read, and audited. */
export type * from "./requests.ts";
