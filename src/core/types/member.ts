import type { MemberId } from "./ids.ts";

export interface MemberInfo {
  readonly id: MemberId;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/**
 * Changes of the member table. The first three come as the context of the conf-change entry that
 * changes the voters and learners alike; an update, which changes neither, in an entry of its own.
 */
export type MemberCommand =
  /** Refused with `member-exists` (also for an id that was removed) or `peer-url-exists`. */
  | { readonly kind: "member-add"; readonly member: MemberInfo }
  /** The id stays known as removed, and is never taken in again. */
  | { readonly kind: "member-remove"; readonly id: MemberId }
  /** Refused with `member-not-found` or `member-not-learner`. */
  | { readonly kind: "member-promote"; readonly id: MemberId }
  /** Refused with `member-not-found` or `peer-url-exists`. */
  | {
      readonly kind: "member-update";
      readonly id: MemberId;
      readonly peerUrls: readonly string[];
    };

/** A change of the cluster as an operator asks for it (etcd's MemberAdd, -Remove, -Promote, -Update). */
export type MemberChange =
  | {
      readonly kind: "add";
      /** Drawn at random by the member that takes the request. */
      readonly id: MemberId;
      readonly peerUrls: readonly string[];
      readonly isLearner: boolean;
    }
  | { readonly kind: "remove"; readonly id: MemberId }
  | { readonly kind: "promote"; readonly id: MemberId }
  | { readonly kind: "update"; readonly id: MemberId; readonly peerUrls: readonly string[] };

/** What a member tells of itself to another, for a view of the whole cluster. */
export interface MemberReport {
  readonly member: MemberId;
  readonly name: string;
  readonly role: "follower" | "pre-candidate" | "candidate" | "leader";
  readonly term: number;
  /** 0n: none known. */
  readonly leader: MemberId;
  /** The last index of its log. */
  readonly raftIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly isLearner: boolean;
  /** Coffer's own. */
  readonly version: string;
  /** Bytes of the state, and those of it in use. */
  readonly dbBytes: number;
  readonly dbBytesInUse: number;
}
