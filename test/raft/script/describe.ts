import {
  decodeConfChange,
  type ConfState,
  type Entry,
  type Message,
  type PeerStatus,
  type Ready,
  type Role,
} from "../../../src/core/raft/mod.ts";

/** Texts for scripts, in the words that implementations of Raft share. */

const MESSAGE_NAMES: { readonly [kind in Message["kind"]]: string } = {
  append: "MsgApp",
  "append-resp": "MsgAppResp",
  heartbeat: "MsgHeartbeat",
  "heartbeat-resp": "MsgHeartbeatResp",
  vote: "MsgVote",
  "vote-resp": "MsgVoteResp",
  "pre-vote": "MsgPreVote",
  "pre-vote-resp": "MsgPreVoteResp",
  snapshot: "MsgSnap",
  "timeout-now": "MsgTimeoutNow",
  propose: "MsgProp",
  "read-index": "MsgReadIndex",
  "read-index-resp": "MsgReadIndexResp",
  "read-index-refused": "MsgReadIndexRefused",
  "transfer-leader": "MsgTransferLeader",
};

const ROLE_NAMES: { readonly [role in Role]: string } = {
  follower: "StateFollower",
  "pre-candidate": "StatePreCandidate",
  candidate: "StateCandidate",
  leader: "StateLeader",
};

const PROGRESS_NAMES = {
  probe: "StateProbe",
  replicate: "StateReplicate",
  snapshot: "StateSnapshot",
} as const;

export function messageName(message: Message): string {
  return MESSAGE_NAMES[message.kind];
}

export function isMessageName(name: string): boolean {
  return Object.values(MESSAGE_NAMES).includes(name);
}

export function roleName(role: Role): string {
  return ROLE_NAMES[role];
}

export function describeEntry(entry: Entry): string {
  const type = entry.kind === "normal" ? "EntryNormal" : "EntryConfChangeV2";
  return `${entry.term}/${entry.index} ${type} ${describeData(entry)}`.trimEnd();
}

export function describeConf(conf: ConfState): string {
  const list = (ids: readonly bigint[]): string => `[${ids.join(" ")}]`;
  return (
    `Voters:${list(conf.voters)} VotersOutgoing:${list(conf.votersOutgoing)} ` +
    `Learners:${list(conf.learners)} LearnersNext:${list(conf.learnersNext)} ` +
    `AutoLeave:${conf.autoLeave}`
  );
}

export function describeMessage(m: Message): string {
  return `${m.from}->${m.to} ${messageName(m)} Term:${m.term}${describeBody(m)}`;
}

export function describeReady(ready: Ready): string[] {
  const lines = [`Ready MustSync=${ready.mustSync}:`];
  const { leadership, hardState, snapshot } = ready;
  if (leadership !== undefined) {
    lines.push(`Lead:${leadership.leader} State:${ROLE_NAMES[leadership.role]}`);
  }
  if (hardState !== undefined) {
    const vote = hardState.vote === 0n ? "" : ` Vote:${hardState.vote}`;
    lines.push(`HardState Term:${hardState.term}${vote} Commit:${hardState.commit}`);
  }
  if (ready.readStates.length > 0) {
    const states = ready.readStates.map(({ ctx, index }) => `${ctx}@${index ?? "refused"}`);
    lines.push(`ReadStates [${states.join(" ")}]`);
  }
  if (snapshot !== undefined) {
    const { index, term, confState } = snapshot;
    lines.push(`Snapshot Index:${index} Term:${term} ConfState:${describeConf(confState)}`);
  }
  const section = (title: string, texts: readonly string[]): void => {
    if (texts.length > 0) lines.push(title, ...texts.flatMap((text) => text.split("\n")));
  };
  section("Entries:", ready.entries.map(describeEntry));
  section("CommittedEntries:", ready.committedEntries.map(describeEntry));
  section("Messages:", ready.messages.map(describeMessage));
  section("AfterSave:", ready.messagesAfterSave.map(describeMessage));
  return lines;
}

export function describePeer(peer: PeerStatus, isFull: boolean): string {
  const words = [`${peer.id}: ${PROGRESS_NAMES[peer.state]} match=${peer.match} next=${peer.next}`];
  if (peer.isLearner) words.push("learner");
  if (peer.paused) words.push("paused");
  if (peer.pendingSnapshot > 0) words.push(`pendingSnap=${peer.pendingSnapshot}`);
  if (!peer.recentActive) words.push("inactive");
  if (peer.inflightMessages > 0) {
    words.push(`inflight=${peer.inflightMessages}${isFull ? "[full]" : ""}`);
  }
  return words.join(" ");
}

function describeData(entry: Entry): string {
  if (entry.kind === "normal") return JSON.stringify(Buffer.from(entry.data).toString());
  const letters = { "add-voter": "v", "add-learner": "l", remove: "r" } as const;
  return decodeConfChange(entry.data)
    .changes.map(({ type, id }) => `${letters[type]}${id}`)
    .join(" ");
}

function describeBody(m: Message): string {
  switch (m.kind) {
    case "append": {
      const list = describeList(m.entries);
      return ` Log:${m.prevTerm}/${m.prevIndex}${describeCommit(m.commit)}${list}`;
    }
    case "append-resp":
      return m.rejected
        ? ` Log:${m.hintTerm}/${m.index} Rejected (Hint: ${m.hintIndex})` +
            (m.needsSnapshot ? " NeedsSnapshot" : "")
        : ` Log:0/${m.index}`;
    case "heartbeat":
      return ` Log:0/0${describeCommit(m.commit)}${m.round > 0 ? ` Round:${m.round}` : ""}`;
    case "heartbeat-resp":
      return ` Log:0/0${m.round > 0 ? ` Round:${m.round}` : ""}`;
    case "vote":
    case "pre-vote":
      return ` Log:${m.lastTerm}/${m.lastIndex}${m.transfer ? " Transfer" : ""}`;
    case "vote-resp":
    case "pre-vote-resp":
      return ` Log:0/0${m.rejected ? " Rejected (Hint: 0)" : ""}`;
    case "snapshot": {
      const { index, term, confState } = m.snapshot;
      const conf = describeConf(confState);
      return ` Log:0/0\n  Snapshot: Index:${index} Term:${term} ConfState:${conf}`;
    }
    case "timeout-now":
      return " Log:0/0";
    case "propose":
      return ` ${describeEntry({ index: 0, term: 0, kind: m.entryKind, data: m.data })}`;
    case "read-index":
    case "read-index-refused":
      return ` Ctx:${m.ctx}`;
    case "read-index-resp":
      return ` Ctx:${m.ctx} Index:${m.index}`;
    case "transfer-leader":
      return ` To:${m.transferee}`;
  }
}

function describeCommit(commit: number): string {
  return commit === 0 ? "" : ` Commit:${commit}`;
}

function describeList(entries: readonly Entry[]): string {
  if (entries.length === 0) return "";
  if (entries.length === 1) return ` Entries:[${describeEntry(entries[0] as Entry)}]`;
  return ` Entries:[\n${entries.map((entry) => `  ${describeEntry(entry)}`).join("\n")}\n]`;
}
