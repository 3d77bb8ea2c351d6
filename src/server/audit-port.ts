import { type Audit, createCursors, viewOf } from "../audit/mod.ts";
import type { EdgeParts } from "../edge/mod.ts";

/** The audit log as the edge needs it. */
export function auditPort(audit: Audit): EdgeParts["audit"] {
  const cursors = createCursors();
  return {
    append: (event) => audit.append(event),
    get blocked() {
      return audit.blocked;
    },
    async search(search, { tenant, asker }) {
      const { fromTime, toTime, oldestFirst, cursor, ...filter } = search;
      const page = await audit.search({
        ...filter,
        tenant,
        order: oldestFirst ? "oldest" : "newest",
        from: cursors.open(cursor, asker),
        fromMs: fromTime,
        toMs: toTime,
      });
      return {
        lines: tenant === undefined ? page.lines : page.lines.map(viewOf),
        next: cursors.seal(page.next, asker),
        done: page.isDone,
        end: cursors.seal(page.end, asker),
      };
    },
  };
}
