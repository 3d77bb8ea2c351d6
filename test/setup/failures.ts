import { relative } from "node:path";
import { inspect } from "node:util";
import type { TestEvent } from "node:test/reporters";

/**
 * A reporter for Node's test runner that says nothing until the run is over, and then each test that
 * failed: its file, its name with the suites around it, its error, and what its file last wrote to
 * standard error. A log of which only the end was kept names what failed.
 */

/** Lines of a file's standard error that are kept; a process that dies says why in its last ones. */
const KEPT_LINES = 30;

interface Failure {
  readonly file: string;
  readonly name: string;
  readonly error: Error;
}

// oxlint-disable-next-line import/no-default-export -- the form in which node takes a reporter
export default async function* failures(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const failed: Failure[] = [];
  const said = new Map<string, readonly string[]>();
  const names: string[] = [];
  for await (const { type, data } of events) {
    if (type === "test:start") {
      names[data.nesting] = data.name;
    } else if (type === "test:stderr") {
      const lines = [...(said.get(data.file) ?? []), ...data.message.trimEnd().split("\n")];
      said.set(data.file, lines.slice(-KEPT_LINES));
    } else if (type === "test:fail" && !failedByItsParts(data.details.error)) {
      const name = [...names.slice(0, data.nesting), data.name].join(" > ");
      failed.push({ file: data.file ?? data.name, name, error: data.details.error });
    }
  }
  for (const failure of failed) yield describe(failure, said.get(failure.file) ?? []);
}

/** A suite fails with each test in it; the test is told of by itself. */
function failedByItsParts(error: Error & { failureType?: unknown }): boolean {
  return error.failureType === "subtestsFailed";
}

function describe(failure: Failure, lines: readonly string[]): string {
  const { file, name, error } = failure;
  const path = relative(process.cwd(), file);
  // A file that died, or whose process failed after its tests, is told of under its own path.
  const title = name === file ? `${path}, the whole file` : `${path}: ${name}`;
  const cause = error.cause instanceof Error ? error.cause : error;
  return ["", `FAILED ${title}`, inspect(cause, { depth: 4 }), ...lines, ""].join("\n");
}
