/** The commands. `runCli` is the whole of it; main.ts gives it a client and the services. */
export type {
  AuditFound,
  AuditSearch,
  CofferClient,
  Connect,
  FleetMember,
  LeaseTimeToLive,
  MemberStatus,
  PolicyQuestion,
  PolicyRow,
  Reply,
  ReplyHeader,
} from "./client-port.ts";
export type { AuditVerdict, Services, VerifiedTrail, VerifyOrder } from "./command.ts";
export type { Io } from "./io.ts";
export { processIo } from "./process-io.ts";
export { type CliDependencies, runCli } from "./run.ts";
