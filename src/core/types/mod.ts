/** The words of the system: keys, revisions, requests, commands. Values only, no behaviour. */
export * from "./command.ts";
export * from "./ids.ts";
export * from "./key-range.ts";
export * from "./key-value.ts";
export * from "./member.ts";
export * from "./requests.ts";
export * from "./state-reader.ts";
export * from "./tenant.ts";
export * from "./watch.ts";
