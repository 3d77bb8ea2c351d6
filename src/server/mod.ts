/** One member put together from all rooms. */
export { type Member, type MemberHost, startMember } from "./start-member.ts";
