import type { MakeTarget } from "../target.ts";
import { certificateTarget } from "./certificate.ts";
import { filesTarget } from "./files.ts";
import { frameTarget } from "./frame.ts";
import { grpcTarget } from "./grpc.ts";
import { http2Target } from "./http2.ts";
import { issuerTarget } from "./issuer.ts";
import { memberTarget } from "./member.ts";
import { policyTarget } from "./policy.ts";
import { recordTarget } from "./record.ts";
import { tokenTarget } from "./token.ts";
import { wireTarget } from "./wire.ts";

/** All that strangers' bytes reach, by name. */
export const targets: ReadonlyMap<string, MakeTarget> = new Map<string, MakeTarget>([
  ["http2", http2Target],
  ["member", memberTarget],
  ["grpc", grpcTarget],
  ["token", tokenTarget],
  ["issuer", issuerTarget],
  ["certificate", certificateTarget],
  ["policy", policyTarget],
  ["record", recordTarget],
  ["frame", frameTarget],
  ["wire", wireTarget],
  ["files", filesTarget],
]);
