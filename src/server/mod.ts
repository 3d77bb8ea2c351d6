/** One member put together from all rooms. */
export { aborted, fatal, runServer } from "./run-server.ts";
export { type Member, type MemberHost, startMember } from "./start-member.ts";
