import { CofferError, type ErrorCode, errorRow, exitCode, type ExitCode } from "../errors.ts";
import { type Io, isBrokenPipe } from "./io.ts";

const prefix = errorRow("invalid-argument").text;

/** Tells what went wrong in one line and what to do next in another, never with a stack. */
export function reportFailure(error: unknown, command: string, io: Io): ExitCode {
  if (error instanceof CofferError) {
    const cause = error.code === "invalid-argument" ? withoutPrefix(error.message) : error.message;
    io.stderr.write(`Error: ${oneLine(cause)}\n${oneLine(nextStep(error, command))}\n`);
    return errorRow(error.code).exit;
  }
  if (isAbort(error) || isBrokenPipe(error)) return exitCode.ok;
  const reason = error instanceof Error ? error.message : String(error);
  io.stderr.write(`Error: ${oneLine(reason)}\n`);
  io.stderr.write("This is likely a bug in Coffer: please report it with the command.\n");
  return exitCode.failed;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

function withoutPrefix(message: string): string {
  return message.startsWith(`${prefix}: `) ? message.slice(prefix.length + 2) : message;
}

/** A key or a reason from a server must not steer the terminal. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ");
}

const steps: { readonly [code in ErrorCode]?: string } = {
  "key-empty": "Give a key; for all keys use: coffer get --prefix ''",
  compacted:
    "Older revisions are gone: give a newer one, as coffer history KEY shows them, or leave --rev out.",
  "future-revision": "See the current revision with: coffer status -w json",
  "no-space":
    "The quota is used up: delete keys, run coffer compact, or let an operator raise it: that of the tenant with coffer tenant set NAME --max-bytes, the member's with --quota-bytes.",
  "too-many-requests":
    "Wait a moment and try again; the tenant's limit is in: coffer tenant show NAME",
  "tenant-suspended":
    "An operator can resume it: coffer tenant resume NAME --tenant system. Until then nobody uses it.",
  "quota-exceeded":
    "See what the tenant uses with: coffer tenant show NAME. An operator can raise a limit: coffer tenant set",
  "lease-not-found": "See the leases with: coffer lease list",
  "no-leader": "See the members with: coffer status",
  "member-not-found": "See the members with: coffer member list",
  "unhealthy-cluster":
    "A majority must be connected: see coffer status. One member alone needs --nats-urls first.",
  "not-enough-started-members":
    "Start the members that were added, or remove them: coffer member list",
  "too-many-learners": "Promote or remove the learner that is there: coffer member list",
  "member-not-learner": "It has a vote already: see coffer member list",
  "learner-not-ready": "Wait until coffer status shows that it lags no more.",
  "not-supported-for-learner": "Ask a member that votes: see coffer status",
  "peer-url-exists": "Each member needs a name of its own: see coffer member list",
  timeout: "See the members with: coffer status",
  "request-too-large": "A request holds at most 1.5 MiB: split the value over several keys.",
  "permission-denied":
    "See who you are with: coffer token whoami, and ask: coffer policy can-i ACTION KEY",
  "invalid-token":
    "Set COFFER_TOKEN to a token that is valid, or renew it: coffer token issue --help. With a certificate alone: coffer pki rule test FILE",
  "no-identity":
    "Set COFFER_TOKEN, or COFFER_CERT and COFFER_KEY; coffer dev writes them to .coffer/env",
  unimplemented: "The server is older than this command: see coffer status",
  "audit-blocked": "The member cannot write its audit log: check the disk of its data folder.",
  sealed: "Give the member its root key, or ask another member with --endpoints.",
  "deadline-exceeded":
    "See whether there is a leader: coffer status; or wait longer with --command-timeout.",
  "not-found": "See what there is: coffer get --prefix '' --keys-only, or coffer tenant list",
  "already-exists": "See what there is: coffer get --prefix '' --keys-only, or coffer tenant list",
  conflict: "Somebody changed it meanwhile: look again and repeat.",
};

const NO_RIGHT =
  "The credential is good, and has no right in this tenant: ask who may coffer policy add one, or name another with --tenant.";

/** What lists the things that a command, or a group of them, is about. */
const lists: readonly (readonly [words: string, list: string])[] = [
  ["tenant", "tenant list"],
  ["policy", "policy list"],
  ["issuer", "issuer list"],
  ["pki rule", "pki rule list"],
  ["token unrevoke", "token revocations"],
  ["token issue", "tenant list"],
  ["audit verify", "audit verify --help"],
];

function nextStep(error: CofferError, command: string): string {
  // A member that was removed; one that is stopped on purpose does not fail.
  if (command === "server" && error.code === "stopped") {
    return "Add it again with coffer member add, and start it on an empty --data-dir.";
  }
  if (command === "token whoami" && error.code === "permission-denied") return NO_RIGHT;
  const isNamed = error.code === "not-found" || error.code === "already-exists";
  const list = isNamed ? lists.find(([words]) => `${command} `.startsWith(`${words} `)) : undefined;
  if (list !== undefined) return `See what there is: coffer ${list[1]}`;
  const step = steps[error.code];
  if (step !== undefined) return step;
  const { exit } = errorRow(error.code);
  if (exit === exitCode.usage) return `See: coffer ${command === "" ? "" : `${command} `}--help`;
  if (exit === exitCode.unavailable) {
    if (command === "server" || command === "dev") return `See: coffer ${command} --help`;
    return "Check --endpoints (COFFER_ENDPOINTS) and that the server runs: coffer status";
  }
  return "See the server's log for the request, or: coffer status";
}
