import {
  DefaultRoleManager,
  EnforceContext,
  Enforcer,
  type Model,
  newModelFromString,
} from "casbin";
import { type KeyRange, isSingleKey, key, prefixRange } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { keyIn, rangeRel, singleKey } from "./object.ts";
import { type Grant, grantOf } from "./row.ts";

/** Casbin, asked one question at a time with only the rows that can match it. */
export interface Judge {
  ask(question: Question, grants: readonly Grant[]): Verdict;
}

export interface Question {
  readonly subject: string;
  readonly domain: string;
  readonly action: string;
  /** Not empty. */
  readonly range: KeyRange;
  /** All that the subject is: itself, its groups, its roles. */
  readonly closure: { has(member: string): boolean };
}

export interface Verdict {
  readonly allowed: boolean;
  /** The grant that decided. */
  readonly grant: Grant | undefined;
}

/**
 * A row that matches nothing, since no request holds a NUL; it denies. Casbin takes an empty policy
 * for one row of empty strings and may allow it, so the policy is never empty.
 */
const IMPOSSIBLE: string[] = ["\0", "\0", "\0", "\0", "deny"];

/**
 * Functions of casbin that no model may call: eval() turns the right to write policy into code, and
 * the matchers build regular expressions of rows, which can hang or match too much.
 */
const BANNED = /\b(eval|keyMatch\d?|keyGet\d?|regexMatch|globMatch|ipMatch)\s*\(/;

/**
 * The judge of a model. One enforcer serves all questions: its policy is set for the length of one
 * synchronous call, so no other code can ever see it half loaded (casbin's `loadPolicy` empties the
 * policy, then awaits). Throws CofferError `invalid-argument` for a model that does not parse, or
 * that does not decide as Coffer needs.
 */
export function createJudge(modelText: string): Judge {
  const banned = BANNED.exec(modelText)?.[1];
  if (banned !== undefined) throw modelError(`uses ${banned}(), which is never allowed`);
  const judge = judgeOf(modelText);
  probe(judge);
  return judge;
}

function judgeOf(modelText: string): Judge {
  const enforcer = new Enforcer();
  const model = parseModel(modelText);
  const policy = model.model.get("p")?.get("p");
  const roles = model.model.get("g")?.get("g");
  if (policy === undefined || roles === undefined) throw modelError("defines no p or no g");
  enforcer.setModel(model);
  // Async in name only: both are there when the calls return, or the probe would not pass.
  void enforcer.addFunction("keyIn", keyIn);
  void enforcer.addFunction("rangeRel", rangeRel);
  let closure: Question["closure"] = new Set<string>();
  const links = new DefaultRoleManager(0);
  links.syncedHasLink = (member, role): boolean => member === role || closure.has(role);
  roles.rm = links;
  const rangeContext = new EnforceContext("r2", "p", "e", "m2");
  policy.policy = [IMPOSSIBLE];

  const ask = (question: Question, grants: readonly Grant[]): Verdict => {
    const { subject, domain, action, range } = question;
    policy.policy = [...grants.map((grant) => grant.rule), IMPOSSIBLE];
    closure = question.closure;
    try {
      const [allowed, rule] = isSingleKey(range)
        ? enforcer.enforceExSync(subject, domain, range.lo, action)
        : enforcer.enforceExSync(rangeContext, subject, domain, range.lo, range.hi ?? "", action);
      return { allowed, grant: grants.find((grant) => grant.rule === rule) };
    } finally {
      policy.policy = [IMPOSSIBLE];
    }
  };
  return { ask };
}

/** Asks what every usable model must answer: a wrong file stops the start, and not a user. */
function probe(judge: Judge): void {
  const closure = new Set(["user:probe", "role:probe"]);
  const allow = (object: string): Grant => grantOf(["p", "role:probe", object, "*", "allow"], "d");
  const deny = grantOf(["p", "user:probe", "/a/b", "read", "deny"], "d");
  const foreign = [grantOf(allow("*").row, "e")];
  const others = [grantOf(["p", "user:x", "*", "*", "allow"], "d")];
  const otherAction = [grantOf(["p", "user:probe", "*", "write", "allow"], "d")];
  const one = singleKey("/a/b");
  const all = prefixRange(key("/a/"));
  const probes: readonly (readonly [string, boolean, KeyRange, readonly Grant[]])[] = [
    ["a key that no row allows", false, one, []],
    ["a range that no row allows", false, all, []],
    ["a key beside the one allowed", false, one, [allow("/a/bc")]],
    ["a key that a role is allowed", true, one, [allow("/a/*")]],
    ["a range that a role is allowed", true, all, [allow("/a/*")]],
    ["a range of which only one key is allowed", false, all, [allow("/a/b")]],
    ["a key that another row denies", false, one, [allow("*"), deny]],
    ["a range that another row denies a key of", false, all, [allow("*"), deny]],
    ["a key of another tenant", false, one, foreign],
    ["a range of another tenant", false, all, foreign],
    ["another's key", false, one, others],
    ["another's range", false, all, others],
    ["a key to another action", false, one, otherAction],
    ["a range to another action", false, all, otherAction],
  ];
  const common = { subject: "user:probe", domain: "d", action: "read", closure };
  for (const [name, expected, range, grants] of probes) {
    if (answerOf(judge, { ...common, range }, grants) === expected) continue;
    throw modelError(`${expected ? "refuses" : "allows"} ${name}`);
  }
}

function answerOf(judge: Judge, question: Question, grants: readonly Grant[]): boolean {
  try {
    return judge.ask(question, grants).allowed;
  } catch (cause) {
    throw modelError("cannot be evaluated", cause);
  }
}

function parseModel(text: string): Model {
  try {
    return newModelFromString(text);
  } catch (cause) {
    throw modelError("does not parse", cause);
  }
}

function modelError(fault: string, cause?: unknown): CofferError {
  const detail = `policy model ${fault}; restore policies/model.conf`;
  return new CofferError("invalid-argument", detail, { cause });
}
