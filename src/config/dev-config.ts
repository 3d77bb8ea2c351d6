import { parseCommandLine, usage } from "./command-line.ts";
import type { Option } from "./option.ts";
import { integer, onOff, oneOf, path } from "./parsers.ts";

/** What `coffer dev` can be told. */
export interface DevConfig {
  readonly dataDir: string;
  readonly members: 1 | 3;
  readonly clientPort: number;
  /** Remove the data folder first. */
  readonly reset: boolean;
  /** Start a member again that has died. */
  readonly restart: boolean;
}

interface DevOptions {
  readonly [field: string]: Option<unknown>;
  readonly dataDir: Option<string>;
  readonly members: Option<"1" | "3">;
  readonly clientPort: Option<number>;
  readonly reset: Option<boolean>;
  readonly restart: Option<boolean>;
}

export const devOptions: DevOptions = {
  dataDir: { name: "data-dir", parser: path("FOLDER"), help: "data folder (.coffer)" },
  members: { name: "members", parser: oneOf(["1", "3"]), help: "size of the cluster (1)" },
  clientPort: {
    name: "client-port",
    parser: integer({ min: 1, max: 65_515 }),
    help: "port of the first member; the others are 10 and 20 above (2379)",
  },
  reset: { name: "reset", parser: onOff, help: "remove the data folder and start afresh" },
  restart: { name: "restart", parser: onOff, help: "start a member again that has died" },
};

/** The options of `coffer dev`. Throws CofferError `invalid-argument`. */
export function parseDevConfig(argv: readonly string[]): DevConfig {
  const { values, positional } = parseCommandLine(devOptions, argv);
  if (positional[0] !== undefined) {
    throw usage(`coffer dev takes options only, not ${JSON.stringify(positional[0])}`);
  }
  return {
    dataDir: values.dataDir ?? ".coffer",
    members: values.members === "3" ? 3 : 1,
    clientPort: values.clientPort ?? 2379,
    reset: values.reset ?? false,
    restart: values.restart ?? false,
  };
}
