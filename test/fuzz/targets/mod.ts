import type { MakeTarget } from "../target.ts";
import { frameTarget } from "./frame.ts";
import { grpcTarget } from "./grpc.ts";
import { http2Target } from "./http2.ts";
import { policyTarget } from "./policy.ts";
import { recordTarget } from "./record.ts";
import { tokenTarget } from "./token.ts";
import { wireTarget } from "./wire.ts";

/** All that strangers' bytes reach, by name. */
export const targets: ReadonlyMap<string, MakeTarget> = new Map<string, MakeTarget>([
  ["http2", http2Target],
  ["grpc", grpcTarget],
  ["token", tokenTarget],
  ["policy", policyTarget],
  ["record", recordTarget],
  ["frame", frameTarget],
  ["wire", wireTarget],
]);
