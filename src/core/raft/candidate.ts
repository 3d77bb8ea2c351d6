import type { MemberId } from "../types/mod.ts";
import { countVote, learnCommit, mayCampaign, startCampaign, type Campaign } from "./election.ts";
import { takeLead } from "./leader.ts";
import { becomeFollower } from "./roles.ts";
import type { RaftState } from "./state.ts";
import { NO_MEMBER, type VoteRespMessage } from "./types.ts";

/** What candidates of both kinds do with the answers, and how an election goes on. */

/** Starts an election if this member may. */
export function campaign(r: RaftState, kind: "timeout" | "transfer"): void {
  if (!mayCampaign(r)) return;
  if (kind === "transfer") advanceCampaign(r, "transfer");
  else advanceCampaign(r, r.preVote ? "pre-vote" : "vote");
}

/** Takes an answer to the election that this candidate runs now. */
export function handleVoteResp(r: RaftState, m: VoteRespMessage): void {
  const isPre = r.role === "pre-candidate";
  if (isPre !== (m.kind === "pre-vote-resp")) return;
  // A grant names the term asked about; one for an earlier pre-vote does not count.
  if (isPre && !m.rejected && m.term !== r.term + 1) return;
  if (m.rejected) {
    const { role } = r;
    learnCommit(r, m);
    if (r.role !== role) return;
  }
  conclude(r, m.from, !m.rejected);
}

/** The term and the own vote of a candidate are saved: now that vote counts. */
export function ownVoteSaved(r: RaftState): void {
  if (r.role === "candidate") conclude(r, r.id, true);
}

function advanceCampaign(r: RaftState, kind: Campaign): void {
  // A pre-vote is won at once by the only voter.
  if (startCampaign(r, kind) === "won") startCampaign(r, "vote");
}

function conclude(r: RaftState, voter: MemberId, granted: boolean): void {
  switch (countVote(r, voter, granted)) {
    case "won":
      if (r.role === "pre-candidate") startCampaign(r, "vote");
      else takeLead(r);
      return;
    case "lost":
      becomeFollower(r, r.term, NO_MEMBER);
      return;
    case "pending":
      return;
  }
}
