import { parseCommandLine } from "../config/mod.ts";
import {
  type Compare,
  type CompareResult,
  key,
  type LeaseId,
  type RequestOp,
  type TxnRequest,
} from "../core/types/mod.ts";
import { deleteOptions, deleteRequestOf } from "./commands/del.ts";
import { rangeOptions, rangeRequestOf } from "./commands/get.ts";
import { putOptions, putRequestOf } from "./commands/put.ts";
import { mistake, parseLease } from "./keys.ts";

/**
 * The grammar of `etcdctl txn` (etcdctl/README.md, TXN): three blocks of lines, each ended by an empty
 * line or the end of the input: compares, requests on success, requests on failure.
 *
 *     <compare> ::= TARGET("KEY") OPERATOR "OPERAND"
 *     TARGET    ::= c create m mod ver version val value lease
 *     OPERATOR  ::= = != < >
 *     <request> ::= get | put | del, with the arguments of these commands
 *
 * Strings in double quotes take Go's escapes; `\x41` is a byte.
 */
export function parseTxn(input: string): TxnRequest {
  const [compares = [], success = [], failure = [], rest = []] = blocks(input);
  if (rest.length > 0) throw mistake("a transaction has three blocks, and this has more");
  return {
    compare: compares.map(parseCompare),
    success: success.map(parseRequest),
    failure: failure.map(parseRequest),
  };
}

/** A line with its number, for messages. */
interface Line {
  readonly text: string;
  readonly number: number;
}

function blocks(input: string): readonly (readonly Line[])[] {
  const found: Line[][] = [[]];
  for (const [index, raw] of input.split("\n").entries()) {
    const text = raw.trim();
    if (text === "") found.push([]);
    else found.at(Math.min(found.length, 4) - 1)?.push({ text, number: index + 1 });
  }
  return found;
}

const COMPARE = /^([a-z]+)\(\s*("(?:[^"\\]|\\.)*")\s*\)\s*(=|!=|<|>)\s*("(?:[^"\\]|\\.)*")$/;

const results: { readonly [operator: string]: CompareResult } = {
  "=": "equal",
  "!=": "not-equal",
  "<": "less",
  ">": "greater",
};

function parseCompare({ text, number }: Line): Compare {
  const match = COMPARE.exec(text);
  if (match === null) {
    throw mistake(`line ${number} is no comparison such as mod("key") > "0"`);
  }
  const [, target = "", name = '""', operator = "=", value = '""'] = match;
  const on = {
    key: key(unquote(name, number).toString("latin1")),
    rangeEnd: key(""),
    result: results[operator] ?? "equal",
  };
  const operand = unquote(value, number);
  switch (target) {
    case "c":
    case "create":
      return { ...on, target: "create", operand: count(operand, number) };
    case "m":
    case "mod":
      return { ...on, target: "mod", operand: count(operand, number) };
    case "ver":
    case "version":
      return { ...on, target: "version", operand: count(operand, number) };
    case "val":
    case "value":
      return { ...on, target: "value", operand };
    case "lease":
      return { ...on, target: "lease", operand: leaseOperand(operand) };
    default:
      throw mistake(
        `line ${number} compares "${target}", not create, mod, version, value or lease`,
      );
  }
}

function count(operand: Buffer, line: number): number {
  const number = Number(operand.toString("utf8"));
  if (operand.length > 0 && Number.isSafeInteger(number)) return number;
  throw mistake(`line ${line} compares with what is no whole number`);
}

function leaseOperand(operand: Buffer): LeaseId {
  return parseLease(operand.toString("utf8"));
}

function parseRequest({ text, number }: Line): RequestOp {
  const [verb = "", ...argv] = words(text, number);
  switch (verb) {
    case "get": {
      const { values, positional } = parseCommandLine(rangeOptions, argv);
      checkCount(positional, 1, number);
      return { kind: "range", request: rangeRequestOf(values, positional.map(key)) };
    }
    case "put": {
      const { values, positional } = parseCommandLine(putOptions, argv);
      checkCount(positional, values.ignoreValue === true ? 1 : 2, number);
      const [name = "", value = ""] = positional;
      const bytes = Buffer.from(value, "latin1");
      return { kind: "put", request: putRequestOf(values, key(name), bytes) };
    }
    case "del": {
      const { values, positional } = parseCommandLine(deleteOptions, argv);
      checkCount(positional, 1, number);
      return { kind: "delete-range", request: deleteRequestOf(values, positional.map(key)) };
    }
    default:
      throw mistake(`line ${number} starts with ${JSON.stringify(verb)}, not get, put or del`);
  }
}

function checkCount({ length }: readonly string[], least: number, line: number): void {
  if (length >= least && length <= 2) return;
  throw mistake(`line ${line} has ${length < least ? "too few" : "too many"} arguments`);
}

const WORD = /"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"']\S*/g;

/** The words of a request line as byte strings: bare, 'literal' or "with escapes". */
function words(text: string, line: number): readonly string[] {
  if (text.replace(WORD, "").trim() !== "") throw mistake(`line ${line} has an open quote`);
  return (text.match(WORD) ?? []).map((word) => {
    if (word.startsWith('"')) return unquote(word, line).toString("latin1");
    const bare = word.startsWith("'") ? word.slice(1, -1) : word;
    return Buffer.from(bare, "utf8").toString("latin1");
  });
}

const SIMPLE: { readonly [escape: string]: number } = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  "\\": 92,
  '"': 34,
};

const PART =
  /\\x([0-9a-fA-F]{2})|\\([0-3][0-7]{2})|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\(.)|([^\\]+)/gu;

/** The bytes of a string in double quotes (Go specification, "String literals"). */
function unquote(quoted: string, line: number): Buffer {
  const parts = [...quoted.slice(1, -1).matchAll(PART)].map((part) => {
    const [, hex, octal, short, long, simple, plain] = part;
    if (plain !== undefined) return Buffer.from(plain, "utf8");
    if (hex !== undefined) return Buffer.from([Number.parseInt(hex, 16)]);
    if (octal !== undefined) return Buffer.from([Number.parseInt(octal, 8)]);
    const point = Number.parseInt(short ?? long ?? "", 16);
    if (point <= 0x10ffff) return Buffer.from(String.fromCodePoint(point), "utf8");
    const byte = SIMPLE[simple ?? ""];
    if (byte === undefined) throw mistake(`line ${line} has an unknown escape in a string`);
    return Buffer.from([byte]);
  });
  return Buffer.concat(parts);
}
