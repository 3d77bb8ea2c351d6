import { randomInt } from "node:crypto";
import type { ClusterId, MemberId, MemberInfo } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type ForwardReply, decodeForward, encodeForward } from "../wire/mod.ts";
import { Bell } from "./bell.ts";
import type { Network, Receiver } from "./network.ts";

/**
 * A member without data asks the others who it is before it takes part. One that joins learns its id
 * so. And one that is told to begin a cluster learns whether it had data once: it may have voted and
 * saved what others count on, so under its old id it must never come back empty (Raft §5.4 takes the
 * disk for safe).
 */

export interface IntroductionDeps {
  readonly name: string;
  readonly clusterId: ClusterId;
  /** Whom to ask. */
  readonly others: readonly string[];
  readonly network: Network;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

type Answer = Extract<ForwardReply, { kind: "member" }>;

/** Milliseconds until those who have not answered are asked again. */
const ASK_AGAIN_MS = 250;
const TELL_MS = 5000;
/** Milliseconds that those who have not answered are waited for, once enough others have. */
const PATIENCE_MS = 2000;

/**
 * The member as the cluster knows it, and the others. Rejects with `invalid-argument` if those asked
 * know of no such member, and with `stopped` when `signal` ends the wait.
 */
export async function joinCluster(
  deps: IntroductionDeps,
): Promise<{ readonly member: MemberInfo; readonly members: readonly MemberInfo[] }> {
  const waiting =
    `No member has told who this one is: is one of ${deps.others.join(", ")} running, and was this ` +
    `member added (etcdctl member add ${deps.name} --peer-urls=https://${deps.name}:2380), since it ` +
    "last had data?";
  const answers = await ask(deps, {
    kind: "join",
    waiting,
    enough: 1,
    known: ({ member }) => member !== undefined,
    // One that begins itself knows nobody. And one that lags may still know the member that had this
    // name before: who has been heard of had data, and this one has none.
    counts: ({ members, started }) => members.length > 0 && !started,
  });
  for (const { member, members } of answers.values()) {
    if (member !== undefined) return { member, members };
  }
  throw new CofferError(
    "invalid-argument",
    `'${deps.name}' is not a member of the cluster that ${[...answers.keys()].join(", ")} belongs ` +
      `to; add it first: etcdctl member add ${deps.name} --peer-urls=https://${deps.name}:2380`,
  );
}

/**
 * Resolves if this member may begin without data. Rejects with `invalid-argument` if the cluster knows
 * it already. As many of the others must answer as make a majority with it: whoever had its
 * announcement committed is among them, unless more disks were lost than the cluster can bear.
 */
export async function refuseLostData(deps: IntroductionDeps, own: MemberId): Promise<void> {
  const waiting =
    `Waiting for a majority of the members to begin with: this one has no data, and others must say ` +
    `whether it had any (${deps.others.join(", ")})`;
  const enough = Math.floor((deps.others.length + 1) / 2);
  const isOther = ({ member }: Answer): boolean => member !== undefined && member.id !== own;
  const known = (answer: Answer): boolean => answer.started || isOther(answer);
  const question = { kind: "who-am-i", waiting, enough, known, counts: () => true } as const;
  const answers = await ask(deps, question);
  if ([...answers.values()].some(isOther)) {
    throw new CofferError(
      "invalid-argument",
      `'${deps.name}' was added to the running cluster anew: start it with ` +
        "--initial-cluster-state existing, on an empty --data-dir",
    );
  }
  if (![...answers.values()].some(({ started }) => started)) return;
  throw new CofferError(
    "invalid-argument",
    `'${deps.name}' has been a member of the running cluster and its data is lost: remove it ` +
      `(coffer member remove ${deps.name}), add it again (coffer member add ${deps.name}), and ` +
      "start it with --initial-cluster-state existing",
  );
}

interface Question {
  /** "join" is answered by those who know it for certain, "who-am-i" by all. */
  readonly kind: "join" | "who-am-i";
  /** What the log says while too few have answered. */
  readonly waiting: string;
  /** Answers after which the rest is not waited for much longer. */
  readonly enough: number;
  /** An answer that settles it alone. */
  readonly known: (answer: Answer) => boolean;
  /** Whether an answer is one. */
  readonly counts: (answer: Answer) => boolean;
}

async function ask(
  deps: IntroductionDeps,
  question: Question,
): Promise<ReadonlyMap<string, Answer>> {
  const { network, others, signal, log } = deps;
  const answers = new Map<string, Answer>();
  // Answers to an earlier life of this member carry another number.
  const id = randomInt(2 ** 47);
  const bell = new Bell();
  network.transport.setPeers(others);
  network.deliverTo(
    receiver(deps, id, (from, answer) => {
      if (!question.counts(answer)) return;
      answers.set(from, answer);
      bell.ring();
    }),
  );
  let told = performance.now();
  let enoughSince: number | undefined;
  try {
    for (;;) {
      const now = performance.now();
      if ([...answers.values()].some(question.known) || answers.size === others.length) {
        return answers;
      }
      if (answers.size >= question.enough) enoughSince ??= now;
      if (enoughSince !== undefined && now - enoughSince >= PATIENCE_MS) return answers;
      if (now - told >= TELL_MS) {
        told = now;
        log.warn(question.waiting, { answered: [...answers.keys()] });
      }
      const body = { kind: question.kind, name: deps.name };
      const message = encodeForward({ kind: "request", id, body });
      for (const name of others) {
        if (!answers.has(name)) network.transport.send(name, "fwd", message);
      }
      await bell.wait(ASK_AGAIN_MS, signal);
    }
  } finally {
    network.deliverTo(undefined);
  }
}

/** Takes answers, and tells others that ask likewise: this one is as new as they are. */
function receiver(
  { clusterId, network }: IntroductionDeps,
  id: number,
  onAnswer: (from: string, answer: Answer) => void,
): Receiver {
  return {
    receive: (from, channel, payload) => {
      if (channel !== "fwd") return;
      const message = decoded(payload);
      if (message?.kind === "reply" && message.id === id && message.body.kind === "member") {
        if (message.body.clusterId === clusterId) onAnswer(from, message.body);
      }
      if (message?.kind === "request" && message.body.kind === "who-am-i") {
        const body = { kind: "member", member: undefined, clusterId, started: false } as const;
        const reply = { kind: "reply", id: message.id, body: { ...body, members: [] } } as const;
        network.transport.send(from, "fwd", encodeForward(reply));
      }
    },
    unreachable: () => undefined,
  };
}

/** Others may be newer; what cannot be read is no answer. */
function decoded(payload: Uint8Array): ReturnType<typeof decodeForward> | undefined {
  try {
    return decodeForward(payload);
  } catch (error) {
    if (error instanceof CofferError) return undefined;
    throw error;
  }
}
