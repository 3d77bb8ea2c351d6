import {
  type ConfChange,
  type ConfChangeSingle,
  DEFAULT_LIMITS,
  type Message,
  type PeerStatus,
  type ProposeResult,
  type ReadResult,
} from "../../../src/core/raft/mod.ts";
import type { Rules } from "../../../src/core/raft/rules.ts";
import { memberId, type MemberId } from "../../../src/core/types/mod.ts";
import {
  addMember,
  type Cluster,
  createCluster,
  ELECTION_TICKS,
  HEARTBEAT_TICKS,
  processApply,
  processReady,
  processSave,
  restart,
  type ScriptMember,
} from "./cluster.ts";
import {
  describeEntry,
  describeMessage,
  describePeer,
  describeReady,
  isMessageName,
  messageName,
  roleName,
} from "./describe.ts";
import type { Argument, ScriptCase } from "./parse.ts";

/** What a script's commands do. Each gives its text, line by line. */

export interface Session {
  readonly cluster: Cluster;
  isQuiet: boolean;
}

type Command = (session: Session, one: ScriptCase) => string[];

export function createSession(rules?: Rules): Session {
  return { cluster: createCluster(rules), isQuiet: false };
}

/** Runs one case. An error becomes its text: scripts may expect errors. */
export function runCase(session: Session, one: ScriptCase): string {
  const run = COMMANDS.get(one.command);
  let lines: string[];
  let failed = false;
  try {
    if (run === undefined) throw new Error(`unknown command "${one.command}"`);
    lines = run(session, one);
  } catch (error) {
    failed = true;
    lines = [error instanceof Error ? error.message : String(error)];
  }
  if (lines.length === 0 || (session.isQuiet && !failed)) return "ok\n";
  return lines.map((line) => `${line}\n`).join("");
}

const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ["add-nodes", addNodes],
  ["campaign", (s, c) => quietly(() => memberOf(s, c.args[0]).raft.campaign())],
  ["propose", propose],
  ["propose-conf-change", proposeConfChange],
  ["deliver-msgs", deliverMessages],
  ["process-ready", processReadies],
  ["process-append-thread", (s, c) => eachMember(s, c, "processing append thread", saveOnce)],
  ["process-apply-thread", (s, c) => eachMember(s, c, "processing apply thread", applyOnce)],
  ["stabilize", stabilize],
  ["tick-election", (s, c) => tick(memberOf(s, c.args[0]), ELECTION_TICKS)],
  ["tick-heartbeat", (s, c) => tick(memberOf(s, c.args[0]), HEARTBEAT_TICKS)],
  ["set-randomized-election-timeout", setElectionTimeout],
  ["transfer-leadership", transferLeadership],
  ["report-unreachable", reportUnreachable],
  ["report-snapshot", reportSnapshot],
  ["send-snapshot", sendSnapshot],
  ["read-index", readIndex],
  ["compact", compact],
  ["restart", (s, c) => quietly(() => restart(memberOf(s, c.args[0])))],
  ["status", status],
  ["raft-log", raftLog],
  ["raft-state", raftState],
  ["log-level", logLevel],
]);

function addNodes({ cluster }: Session, { args }: ScriptCase): string[] {
  const count = Number(args[0]?.name);
  const ids = (name: string): MemberId[] => valuesOf(args, name).map(idOf);
  const flag = (name: string): boolean => valuesOf(args, name)[0] === "true";
  const number = (name: string, standard: number): number =>
    Number(valuesOf(args, name)[0] ?? standard);
  const options = {
    voters: ids("voters"),
    learners: ids("learners"),
    index: number("index", 0),
    preVote: flag("prevote"),
    checkQuorum: flag("checkquorum"),
    asyncSaves: flag("async-storage-writes"),
    limits: {
      inflightMessagesMax: number("inflight", 1024),
      inflightBytesMax: number("inflight-bytes", DEFAULT_LIMITS.inflightBytesMax),
      // A script that bounds the messages counts one message for each entry.
      messageBytesMax: number(
        "message-bytes",
        valuesOf(args, "inflight").length > 0 ? 1 : DEFAULT_LIMITS.messageBytesMax,
      ),
      uncommittedBytesMax: number("uncommitted-bytes", DEFAULT_LIMITS.uncommittedBytesMax),
      applyBytesMax: number("max-committed-size-per-ready", DEFAULT_LIMITS.applyBytesMax),
      // Small, so that scripts read old entries from storage, as a long-lived member does.
      cacheBytesMax: number("cache-bytes", 0),
    },
  };
  for (let i = 0; i < count; i++) addMember(cluster, options);
  return [];
}

function propose(session: Session, { args }: ScriptCase): string[] {
  const { raft } = memberOf(session, args[0]);
  const text = args[1]?.name ?? "";
  return refusalOf(raft.propose(new Uint8Array(Buffer.from(text))));
}

function proposeConfChange(session: Session, { args, input }: ScriptCase): string[] {
  const { raft } = memberOf(session, args[0]);
  const transition = valuesOf(args, "transition")[0] ?? "auto";
  const names: Readonly<Record<string, ConfChange["transition"]>> = {
    auto: "auto",
    implicit: "joint-implicit",
    explicit: "joint-explicit",
  };
  const known = names[transition];
  if (known === undefined) throw new Error(`unknown transition ${transition}`);
  const words = input.join(" ").split(/\s+/);
  const changes = words.filter((word) => word !== "").map(parseSingle);
  return refusalOf(
    raft.proposeConfChange({ transition: known, changes, context: new Uint8Array(0) }),
  );
}

function parseSingle(word: string): ConfChangeSingle {
  const types: Readonly<Record<string, ConfChangeSingle["type"]>> = {
    v: "add-voter",
    l: "add-learner",
    r: "remove",
  };
  const type = types[word.slice(0, 1)];
  if (type === undefined) throw new Error(`unknown change "${word}"`);
  return { type, id: idOf(word.slice(1)) };
}

function deliverMessages({ cluster }: Session, { args }: ScriptCase): string[] {
  const type = valuesOf(args, "type")[0];
  if (type !== undefined && !isMessageName(type)) throw new Error(`unknown message type ${type}`);
  const lines: string[] = [];
  const taken = (id: MemberId): Message[] =>
    takeMessages(cluster, (m) => m.to === id && (type === undefined || messageName(m) === type));
  for (const { name, values } of args) {
    if (values.length === 0) {
      const id = idOf(name);
      lines.push(...deliver(cluster, id, taken(id)));
    } else if (name === "drop") {
      for (const id of values.map(idOf)) {
        for (const m of taken(id)) lines.push(...`dropped: ${describeMessage(m)}`.split("\n"));
      }
    }
  }
  return lines.length === 0 ? ["no messages"] : lines;
}

function processReadies(session: Session, one: ScriptCase): string[] {
  return eachMember(session, one, "handling Ready", ({ cluster }, member) => {
    const ready = member.raft.ready();
    if (ready === undefined) return ["nothing to do"];
    processReady(cluster, member, ready);
    return describeReady(ready);
  });
}

function saveOnce({ cluster }: Session, member: ScriptMember): string[] {
  const ready = processSave(cluster, member);
  if (ready === undefined) return ["no append work to perform"];
  return ["Processing:", ...describeReady({ ...ready, messages: [], committedEntries: [] })];
}

function applyOnce(_: Session, member: ScriptMember): string[] {
  const entries = processApply(member);
  if (entries === undefined) return ["no apply work to perform"];
  return ["Processing:", ...entries.map(describeEntry)];
}

/** Does all work of the members named, or of all, until none is left. */
function stabilize(session: Session, one: ScriptCase): string[] {
  const { cluster } = session;
  const level = valuesOf(one.args, "log-level")[0];
  const named = one.args.filter(({ values }) => values.length === 0);
  const members =
    named.length > 0 ? named.map((arg) => memberOf(session, arg)) : [...cluster.members];
  const lines: string[] = [];
  const add = (title: string, more: readonly string[]): void => {
    lines.push(`> ${title}`, ...more.map((line) => `  ${line}`));
  };
  for (let turns = 0; turns < STABILIZE_TURNS_MAX; turns++) {
    const before = lines.length;
    for (const member of members) {
      const ready = member.raft.ready();
      if (ready === undefined) continue;
      processReady(cluster, member, ready);
      add(`${member.id} handling Ready`, describeReady(ready));
    }
    for (const { id } of members) {
      const messages = takeMessages(cluster, (m) => m.to === id);
      if (messages.length > 0) add(`${id} receiving messages`, deliver(cluster, id, messages));
    }
    for (const member of members) {
      while (member.saves.length > 0) {
        add(`${member.id} processing append thread`, saveOnce(session, member));
      }
    }
    for (const member of members) {
      while (member.applies.length > 0) {
        add(`${member.id} processing apply thread`, applyOnce(session, member));
      }
    }
    if (lines.length === before) return level === "none" ? [] : lines;
  }
  throw new Error(`the members are still busy after ${STABILIZE_TURNS_MAX} turns`);
}

const STABILIZE_TURNS_MAX = 1000;

function tick(member: ScriptMember, ticks: number): string[] {
  for (let i = 0; i < ticks; i++) member.raft.tick();
  return [];
}

function setElectionTimeout(session: Session, { args }: ScriptCase): string[] {
  memberOf(session, args[0]).timeout.ticks = Number(valuesOf(args, "timeout")[0]);
  return [];
}

function transferLeadership(session: Session, { args }: ScriptCase): string[] {
  const { raft } = memberOf(session, { name: valuesOf(args, "from")[0] ?? "", values: [] });
  return refusalOf(raft.transferLeader(idOf(valuesOf(args, "to")[0] ?? "")));
}

function reportUnreachable(session: Session, { args }: ScriptCase): string[] {
  memberOf(session, args[0]).raft.reportUnreachable(idOf(args[1]?.name ?? ""));
  return [];
}

function reportSnapshot(session: Session, { args }: ScriptCase): string[] {
  const delivered = args[2]?.name !== "failed";
  memberOf(session, args[0]).raft.reportSnapshot(idOf(args[1]?.name ?? ""), delivered);
  return [];
}

/** Queues a snapshot of the first member's present state for the second, unasked. */
function sendSnapshot(session: Session, { args }: ScriptCase): string[] {
  const from = memberOf(session, args[0]);
  const index = from.applied;
  const snapshot = { index, term: from.log.term(index) ?? 0, confState: from.confState };
  const to = idOf(args[1]?.name ?? "");
  const term = from.raft.term;
  const message: Message = { kind: "snapshot", from: from.id, to, term, snapshot };
  session.cluster.messages.push(message);
  return describeMessage(message).split("\n");
}

function readIndex(session: Session, { args }: ScriptCase): string[] {
  return refusalOf(memberOf(session, args[0]).raft.readIndex(Number(args[1]?.name)));
}

/** Forgets the log up to the index given, and shows what is left. */
function compact(session: Session, { args }: ScriptCase): string[] {
  const { log } = memberOf(session, args[0]);
  log.compact(Number(args[1]?.name));
  return log.all().map(describeEntry);
}

function status(session: Session, { args }: ScriptCase): string[] {
  const { raft, options } = memberOf(session, args[0]);
  const { role, id, saved, lastIndex, peers, isLearner, confState } = raft.status();
  if (role !== "leader") return [];
  const own: PeerStatus = {
    id,
    isLearner,
    state: "replicate",
    match: saved,
    next: lastIndex + 1,
    recentActive: true,
    paused: false,
    inflightMessages: 0,
    inflightBytes: 0,
    pendingSnapshot: 0,
  };
  const members = [confState.voters, confState.votersOutgoing, confState.learners];
  const all = members.some((ids) => ids.includes(id)) ? [own, ...peers] : [...peers];
  const messagesMax = options.limits.inflightMessagesMax ?? 0;
  const bytesMax = options.limits.inflightBytesMax ?? 0;
  return all
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map((peer) =>
      describePeer(peer, peer.inflightMessages === messagesMax || peer.inflightBytes >= bytesMax),
    );
}

function raftLog(session: Session, { args }: ScriptCase): string[] {
  const { log } = memberOf(session, args[0]);
  if (log.lastIndex < log.firstIndex) {
    return [`log is empty: first index=${log.firstIndex}, last index=${log.lastIndex}`];
  }
  return log.all().map(describeEntry);
}

function raftState({ cluster }: Session): string[] {
  return cluster.members.map(({ raft }) => {
    const { id, role, term, leader, confState } = raft.status();
    const isVoter = confState.voters.includes(id) || confState.votersOutgoing.includes(id);
    const voter = isVoter ? "Voter" : "Non-Voter";
    return `${id}: ${roleName(role)} (${voter}) Term:${term} Lead:${leader}`;
  });
}

function logLevel(session: Session, { args }: ScriptCase): string[] {
  session.isQuiet = args[0]?.name.toLowerCase() === "none";
  return [];
}

function deliver(cluster: Cluster, id: MemberId, messages: readonly Message[]): string[] {
  const member = cluster.members.find((one) => one.id === id);
  const lines: string[] = [];
  for (const message of messages) {
    lines.push(...describeMessage(message).split("\n"));
    // A member may be named in a configuration before it exists.
    member?.raft.step(message);
  }
  return lines;
}

function takeMessages(cluster: Cluster, wanted: (message: Message) => boolean): Message[] {
  const taken = cluster.messages.filter(wanted);
  cluster.messages = cluster.messages.filter((message) => !wanted(message));
  return taken;
}

/** Runs for each member named, under a title if there are several. */
function eachMember(
  session: Session,
  { args }: ScriptCase,
  title: string,
  run: (session: Session, member: ScriptMember) => string[],
): string[] {
  if (args.length === 1) return run(session, memberOf(session, args[0]));
  return args.flatMap((arg) => {
    const member = memberOf(session, arg);
    const lines = run(session, member).map((line) => `  ${line}`);
    return [`> ${member.id} ${title}`, ...lines];
  });
}

function memberOf({ cluster }: Session, arg: Argument | undefined): ScriptMember {
  const id = idOf(arg?.name ?? "");
  const member = cluster.members.find((one) => one.id === id);
  if (member === undefined) throw new Error(`there is no member ${id}`);
  return member;
}

function idOf(text: string): MemberId {
  if (!/^[0-9]+$/.test(text)) throw new Error(`"${text}" is not a member's id`);
  return memberId(BigInt(text));
}

function valuesOf(args: readonly Argument[], name: string): readonly string[] {
  return args.find((arg) => arg.name === name)?.values ?? [];
}

function refusalOf(result: ProposeResult | ReadResult): string[] {
  return result.kind === "refused" ? [`refused (${result.code}): ${result.reason}`] : [];
}

function quietly(run: () => void): string[] {
  run();
  return [];
}
