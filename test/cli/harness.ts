import assert from "node:assert/strict";
import { Readable, Writable } from "node:stream";
import {
  type CofferClient,
  type Connect,
  type Io,
  type Reply,
  runCli,
  type Services,
} from "../../src/cli/mod.ts";
import {
  clusterId,
  key,
  type KeyValue,
  leaseId,
  memberId,
  revision,
} from "../../src/core/types/mod.ts";

/** Runs commands against a client of canned replies, and keeps what they asked. */

export interface Session {
  readonly client?: Partial<CofferClient>;
  readonly services?: Partial<Services>;
  readonly stdin?: string | Uint8Array;
  readonly env?: { readonly [name: string]: string };
  readonly files?: { readonly [path: string]: string | Uint8Array };
  readonly signal?: AbortSignal;
  readonly connect?: Connect;
  readonly isTty?: boolean;
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
}

export async function run(argv: readonly string[], session: Session = {}): Promise<Outcome> {
  const stdout = sink();
  const stderr = sink();
  let opened = 0;
  let closed = 0;
  const close = async (): Promise<void> => {
    closed++;
  };
  const io: Io = {
    stdin: Readable.from(session.stdin === undefined ? [] : [Buffer.from(session.stdin)]),
    stdout: Object.assign(stdout.stream, { isTTY: session.isTty ?? false }),
    stderr: stderr.stream,
    env: session.env ?? {},
    isTty: session.isTty ?? false,
    signal: session.signal ?? new AbortController().signal,
    readFile: (path) => {
      const content = session.files?.[path];
      if (content === undefined) throw new Error("ENOENT: no such file");
      return Buffer.from(content);
    },
  };
  const connect: Connect = async () => {
    opened++;
    return { ...refusingClient, ...session.client, close };
  };
  const services = { ...refusingServices, ...session.services };
  const code = await runCli(argv, io, { services, connect: session.connect ?? connect });
  assert.equal(closed, opened, "A command left a client open");
  const stdoutBytes = Buffer.concat(stdout.chunks);
  return {
    code,
    stdout: stdoutBytes.toString("utf8"),
    stdoutBytes,
    stderr: Buffer.concat(stderr.chunks).toString("utf8"),
  };
}

function sink(): { readonly stream: Writable; readonly chunks: Buffer[] } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, chunks };
}

const unexpected = (): never => assert.fail("The command asked what the test does not answer");

const refusingClient: CofferClient = {
  range: unexpected,
  put: unexpected,
  deleteRange: unexpected,
  txn: unexpected,
  compact: unexpected,
  watch: unexpected,
  leaseGrant: unexpected,
  leaseRevoke: unexpected,
  leaseKeepAlive: unexpected,
  leaseTimeToLive: unexpected,
  leaseLeases: unexpected,
  status: unexpected,
  clusterStatus: unexpected,
  memberList: unexpected,
  memberAdd: unexpected,
  memberRemove: unexpected,
  memberUpdate: unexpected,
  memberPromote: unexpected,
  moveLeader: unexpected,
  tenantCreate: unexpected,
  tenantList: unexpected,
  tenantShow: unexpected,
  tenantUpdate: unexpected,
  tenantDelete: unexpected,
  policyList: unexpected,
  policyChange: unexpected,
  policyAsk: unexpected,
  policyWhoCan: unexpected,
  policyExplain: unexpected,
  policyTry: unexpected,
  tokenIssue: unexpected,
  tokenRotateKey: unexpected,
  tokenRevoke: unexpected,
  tokenRevocations: unexpected,
  tokenUnrevoke: unexpected,
  issuerAdd: unexpected,
  issuerList: unexpected,
  issuerShow: unexpected,
  issuerRemove: unexpected,
  certificateRuleAdd: unexpected,
  certificateRuleList: unexpected,
  certificateRuleRemove: unexpected,
  certificateTest: unexpected,
  whoAmI: unexpected,
  history: unexpected,
  auditSearch: unexpected,
  auditCheckpoints: unexpected,
  close: unexpected,
};

export const refusingServices: Services = {
  version: "0.0.0-test",
  server: unexpected,
  dev: unexpected,
  verifyAudit: unexpected,
  pki: { init: unexpected, inspect: unexpected, sign: unexpected },
};

/** Larger than JavaScript's numbers hold, to see them whole in JSON. */
const header = {
  clusterId: clusterId(17368989521238926805n),
  memberId: memberId(17628310501313495538n),
  revision: revision(6),
  term: 2,
};

/** `"header":{...}` as it is in JSON. */
export const headerText =
  '"header":{"cluster_id":17368989521238926805,"member_id":17628310501313495538,"revision":6,"raft_term":2}';

export function reply<T>(body: T): Reply<T> {
  return { header, body };
}

/** A client method that keeps its arguments and answers `body`. */
export function answer<T>(body: T): {
  readonly asked: unknown[];
  readonly method: (...args: readonly unknown[]) => Promise<Reply<T>>;
} {
  const asked: unknown[] = [];
  const method = async (...args: readonly unknown[]): Promise<Reply<T>> => {
    asked.push(args.length === 1 ? args[0] : args);
    return reply(body);
  };
  return { asked, method };
}

export function kv(name: string, value: string | Uint8Array, at = 2): KeyValue {
  return {
    key: key(Buffer.from(name, "utf8").toString("latin1")),
    createRevision: revision(2),
    modRevision: revision(at),
    version: 1,
    lease: leaseId(0n),
    value: Buffer.from(value),
  };
}
