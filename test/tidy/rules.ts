import { codeOnly, withoutComments, type SourceFile } from "./sources.ts";

/** Rules over the text of single files. Each returns its findings as `path:line: what to do`. */

const LINES_MAX = 500;

interface Forbidden {
  readonly pattern: RegExp;
  readonly advice: string;
  /** Look into strings and comments too. */
  readonly everywhere?: boolean;
}

/** The words are put together here so that this file does not break its own rules. */
const word = (...parts: readonly string[]): RegExp => new RegExp(String.raw`\b${parts.join("")}\b`);

const everywhereRules: readonly Forbidden[] = [
  { pattern: word("TO", "DO"), advice: "do it or leave it out", everywhere: true },
  { pattern: word("FIX", "ME"), advice: "fix it", everywhere: true },
  {
    pattern: /@ts-(?:ignore|expect-error|nocheck)/,
    advice: "make the types true",
    everywhere: true,
  },
];

const sourceRules: readonly Forbidden[] = [
  {
    pattern: /[:<|&]\s*any\b(?!\s*[:(])|,\s*any\s*>|\bas any\b/,
    advice: "use unknown and narrow it",
  },
  { pattern: /^\s*(?:export\s+)?enum\s/, advice: "use a union of literals" },
];

const testRules: readonly Forbidden[] = [
  {
    pattern: /\b(?:test|it|describe|suite|t)\.(?:only|skip|todo)\(/,
    advice: "run every test, whole",
  },
  { pattern: /\b(?:only|skip|todo):\s*(?:true|"")/, advice: "run every test, whole" },
];

const pureRules: readonly Forbidden[] = [
  { pattern: /\basync\b|\bawait\b/, advice: "the core is synchronous" },
  { pattern: /\bPromise\b/, advice: "the core is synchronous" },
  { pattern: /\bnew Date\b|\bDate\./, advice: "take the time as an argument" },
  { pattern: /\bMath\.random\b/, advice: "take a Prng" },
  { pattern: /\blocaleCompare\b|\bIntl\./, advice: "use compareByteStrings" },
  {
    pattern: /\b(?:setTimeout|setInterval|queueMicrotask|process|Buffer|console)\b/,
    advice: "leave effects to a shell",
  },
];

/** Findings in a file of `src`. */
export function checkSource(file: SourceFile, pure: boolean): readonly string[] {
  const rules = [...everywhereRules, ...sourceRules, ...(pure ? pureRules : [])];
  return [...checkSize(file), ...find(file, rules)];
}

/** Findings in a file of `test`. */
export function checkTest(file: SourceFile): readonly string[] {
  const findings = [...checkSize(file), ...find(file, [...everywhereRules, ...testRules])];
  const asserts = /\bassert\b|\bassert[.(]/.test(withoutComments(file.text));
  if (file.path.endsWith(".test.ts") && !asserts) {
    return [...findings, `${file.path}: a test file without an assertion proves nothing`];
  }
  return findings;
}

function checkSize(file: SourceFile): readonly string[] {
  const lines = file.text.split("\n").length - 1;
  return lines > LINES_MAX ? [`${file.path}: ${lines} lines, at most ${LINES_MAX}`] : [];
}

function find(file: SourceFile, rules: readonly Forbidden[]): readonly string[] {
  const all = file.text.split("\n");
  const code = codeOnly(file.text).split("\n");
  return rules.flatMap(({ pattern, advice, everywhere }) =>
    (everywhere === true ? all : code).flatMap((line, index) => {
      const match = pattern.exec(line)?.[0].trim();
      return match === undefined ? [] : [`${file.path}:${index + 1}: "${match}": ${advice}`];
    }),
  );
}

const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{30}/;
const PRIVATE_JWK = /"d"\s*:\s*"[A-Za-z0-9_-]{40,}"/;

/** Findings in any file that git holds. */
export function checkSecrets(file: SourceFile): readonly string[] {
  if (!PRIVATE_KEY.test(file.text) && !PRIVATE_JWK.test(file.text)) return [];
  return [`${file.path}: holds a private key; make it when the test runs`];
}

const EXPORTED = /(?:^|\n)export (?:async )?(?:function\*?|const|class) ([A-Za-z0-9_$]+)/g;

/** Exported functions, constants and classes that nothing names but their own declaration. */
export function deadExports(
  sources: readonly SourceFile[],
  others: readonly SourceFile[],
): readonly string[] {
  const uses = new Map<string, number>();
  // A room's mod.ts passes names on; it does not use them.
  const users = [...sources, ...others].filter(({ path }) => !/^src\/.*mod\.ts$/.test(path));
  for (const { text } of users) {
    for (const name of codeOnly(text).match(/[A-Za-z0-9_$]+/g) ?? []) {
      uses.set(name, (uses.get(name) ?? 0) + 1);
    }
  }
  return sources.flatMap((file) =>
    [...file.text.matchAll(EXPORTED)]
      .map((match) => match[1] ?? "")
      .filter((name) => (uses.get(name) ?? 0) < 2)
      .map((name) => `${file.path}: nothing uses ${name}; remove it`),
  );
}
