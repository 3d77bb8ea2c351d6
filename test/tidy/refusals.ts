import type { SourceFile } from "./sources.ts";

/** The table of refusals in SECURITY.md, and the test titles that it must be in step with. */

/** The numbers of SECURITY.md that must have a test: all but 53, which waits for the rotation of keys. */
export const REQUIRED: readonly number[] = [...span(1, 52), ...span(54, 65)];

function span(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

const TITLE = /["'`]refusals? (\d+(?:, ?\d+)*)/g;

/** The test files that have each number in a title. */
export function testedRefusals(
  tests: readonly SourceFile[],
): ReadonlyMap<number, readonly string[]> {
  const found = new Map<number, string[]>();
  for (const { path, text } of tests) {
    if (!path.endsWith(".test.ts") || path === "test/tidy.test.ts") continue;
    const numbers = [...text.matchAll(TITLE)].flatMap((match) => (match[1] ?? "").split(","));
    for (const number of new Set(numbers.map(Number))) {
      found.set(number, [...(found.get(number) ?? []), path]);
    }
  }
  return found;
}

const ROW = /^\| (\d+) \|([^|]*)\|([^|]*)\|[^|]*\|$/;

/** The text of SECURITY.md with its last column as the titles say. */
export function withTestedColumn(
  markdown: string,
  tested: ReadonlyMap<number, readonly string[]>,
): string {
  const lines = markdown.split("\n").map((line) => {
    const match = ROW.exec(line);
    if (match === null) return line;
    const files = tested.get(Number(match[1]))?.map((path) => `\`${path}\``);
    return `| ${match[1]} |${match[2]}|${match[3]}| ${files?.join(", ") ?? "not yet"} |`;
  });
  return lines.join("\n");
}

/** The numbers of the table. */
export function tableNumbers(markdown: string): readonly number[] {
  return markdown.split("\n").flatMap((line) => {
    const number = ROW.exec(line)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
}
