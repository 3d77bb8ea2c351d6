/** One member put together from all rooms. */
export { clusterIdOf, clusterIdText, firstMemberId } from "./member-file.ts";
export { aborted, fatal, runServer } from "./run-server.ts";
export { type Member, type MemberHost, startMember } from "./start-member.ts";
export { type VerifyOrder, verifyTrails } from "./verify-audit.ts";
