import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The scenarios lie in the source tree, which compiled tests run beside. */
export function scenariosFolder(): string {
  let at = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const folder = join(at, "test/raft/scenarios");
    if (existsSync(folder)) return folder;
    const above = dirname(at);
    if (above === at) throw new Error("The scenarios were not found above the tests");
    at = above;
  }
}
