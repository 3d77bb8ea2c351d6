/** One member put together from all rooms. */
export { COFFER_VERSION } from "./versions.ts";
export { aborted, fatal, runServer } from "./run-server.ts";
export { type Member, type MemberHost, startMember } from "./start-member.ts";
