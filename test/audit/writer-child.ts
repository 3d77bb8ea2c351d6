import { writeSync } from "node:fs";
import { openAudit } from "../../src/audit/mod.ts";
import { eventOf } from "./fixtures.ts";

/**
 * The process that `recover.test.ts` kills: appends without end, telling each acknowledged number.
 */
const folder = process.argv[2];
if (folder !== undefined) {
  const quiet = (): void => undefined;
  const audit = await openAudit({
    folder,
    memberId: "m1",
    clock: { now: () => Date.now() },
    log: { info: quiet, warn: quiet, error: quiet },
    fileBytesMax: 20_000,
  });
  for (;;) {
    await Promise.all([1, 2, 3, 4, 5].map(() => audit.append(eventOf())));
    writeSync(1, `${audit.head.seq}\n`);
  }
}
